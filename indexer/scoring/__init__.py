"""Scoring queries with BM25 over all segments, compiled or in NumPy, and ranking the hits."""
