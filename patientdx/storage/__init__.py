"""Files that are safe to write: atomic, locked, private to their owner."""
