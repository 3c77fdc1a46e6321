"""Scoring: BM25 of queries over all segments, compiled or in NumPy, and the ranking of hits."""
