"""Merges in memory: a loaded model whose weights are merged again in place."""
