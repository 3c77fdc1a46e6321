"""Evidence about a choice: against its inputs, how certain, at what cost, and by which proxies."""
