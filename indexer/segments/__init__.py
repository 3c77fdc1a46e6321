"""Segments, the immutable parts of an index: writing, reading, merging, deleting from them."""
