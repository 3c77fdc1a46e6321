"""Models in torch, run by transformers."""
