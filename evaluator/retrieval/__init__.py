"""Retrieval evaluation: measures of runs and searchers, comparisons of systems, tuning."""
