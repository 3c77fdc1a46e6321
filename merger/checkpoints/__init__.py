"""Models on disk: configuration, tensors and their dtypes, and adapters."""
