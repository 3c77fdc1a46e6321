"""Retrieval systems: strategies and fusions joined into searchers, with their settings."""
