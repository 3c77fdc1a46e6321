"""Segments: immutable parts of an index, how they are written, read, compacted and deleted from."""
