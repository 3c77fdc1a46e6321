"""What comes over the network, and only on request: data sets, model files, wheels with models."""
