"""Models on disk: configuration, tensors and their dtypes, vocabulary and adapters."""
