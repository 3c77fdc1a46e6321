"""Merge kernels: compiled for the processor, or in NumPy with the same bits."""
