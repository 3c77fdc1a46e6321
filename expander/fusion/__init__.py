"""Fusion of rankings: several lists of hits per query become one list."""
