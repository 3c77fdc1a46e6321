"""Concepts in notes: reading vocabularies, finding their names in a text, and negation."""
