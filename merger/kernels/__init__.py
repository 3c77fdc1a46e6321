"""Merge kernels: compiled for the processor at hand, or in NumPy with the same bits."""
