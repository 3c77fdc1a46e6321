"""Fusion: several lists of hits a query, one list out; our own methods and those of ranx."""
