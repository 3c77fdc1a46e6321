"""Retrieval systems: expansion strategies and fusions combined into searchers, with settings."""
