"""Model merging. Empty so far."""
