"""Tantivy through its Python package. Its k1 and b are fixed at 1.2 and 0.75."""

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tantivy
from texts import Note, TokenStore

from .base import Engine

HEAP = 800_000_000


class Tantivy(Engine):
    title = f"tantivy {version('tantivy')}"
    choice = (
        "one segment where one writer thread leaves one; frequencies without positions; queries "
        "by the API; the fastest of boosts and repeated clauses, pruned and exhaustive"
    )
    included = "analysis in Rust, postings with frequencies, a number for each note; no texts"
    exact = False
    variants = ("boosts", "boosts exhaustive", "repeated", "repeated exhaustive")

    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        del notes
        texts = (" ".join(words) for words in tokens.documents())
        _write(texts, folder, tantivy.Tokenizer.whitespace(), threads=1)

    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        del threads, mmap
        index = tantivy.Index.open(str(folder))
        self.schema, self.searcher = index.schema, index.searcher()

    def prepare(self, text: str, variant: str) -> Any:
        clauses: list[Any] = []
        for word, count in Counter(self.words(text)).items():
            term = tantivy.Query.term_query(self.schema, "text", word, "freq")
            if variant.startswith("repeated"):
                clauses += [(tantivy.Occur.Should, term)] * count
            else:
                boosted = term if count == 1 else tantivy.Query.boost_query(term, float(count))
                clauses.append((tantivy.Occur.Should, boosted))
        return tantivy.Query.boolean_query(clauses)

    def search(self, query: Any, k: int, variant: str) -> Any:
        # Counting all hits turns pruning off, which is often faster for long queries.
        return self.searcher.search(query, k, count=variant.endswith("exhaustive"))

    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        addresses = [address for _, address in result.hits]
        numbers: Any = self.searcher.fast_field_values("number", addresses)
        return numbers, [score for score, _ in result.hits]

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        if stemmer != "none":
            raise NotImplementedError
        _write((note.text for note in notes), folder, tantivy.Tokenizer.simple(), threads=threads)


def _write(texts: Iterable[str], folder: Path, tokenizer: Any, *, threads: int) -> None:
    folder.mkdir(parents=True)
    schema = tantivy.SchemaBuilder()
    schema.add_text_field("text", tokenizer_name="words", index_option="freq")
    schema.add_integer_field("number", fast=True)
    index = tantivy.Index(schema.build(), path=str(folder))
    analyzer = tantivy.TextAnalyzerBuilder(tokenizer).filter(tantivy.Filter.lowercase())
    index.register_tokenizer("words", analyzer.build())
    writer = index.writer(HEAP, threads)
    for number, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=text, number=number))
    writer.commit()
    writer.wait_merging_threads()
