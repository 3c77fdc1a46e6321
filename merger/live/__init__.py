"""Merges in memory: a loaded model whose weights are mixed anew in place."""
