"""An embedded BM25 engine with exact scores, built for queries as long as a whole note."""
