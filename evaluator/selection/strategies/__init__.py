"""Search strategies for λ; `registry.py` lists them by name and says how to add another."""
