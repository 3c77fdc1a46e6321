"""Concepts in notes: vocabularies of names, finding them in a text, and what is negated."""
