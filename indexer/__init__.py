"""The retrieval core: an embedded, exact BM25 engine for whole-note queries."""
