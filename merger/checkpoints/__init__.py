"""Models on disk: configuration, tensors, vocabulary, adapters, and the dtypes of their numbers."""
