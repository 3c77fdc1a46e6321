"""What an engine must do to be compared. The defaults suit most of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from texts import Note, TokenStore, Words

K1, B = 1.2, 0.75


class Engine(ABC):
    """One engine under test, in its own process.

    `variants` are ways of asking it the same thing; each workload is timed with the fastest.
    `limit` is the number of queries at most, for an engine too slow for more; it is then timed
    once, without a warm-up. `exact` is false where note lengths are kept in one byte. `choice`
    says what was chosen on its behalf, `included` what its indexing time covers.
    """

    title: ClassVar[str]
    choice: ClassVar[str]
    included: ClassVar[str]
    variants: ClassVar[tuple[str, ...]] = ("",)
    limit: ClassVar[int | None] = None
    batches: ClassVar[bool] = False
    saved: ClassVar[bool] = True
    exact: ClassVar[bool] = True
    notes_at_most: ClassVar[int | None] = None

    def __init__(self, words: Words) -> None:
        self.words = words

    @abstractmethod
    def build(self, tokens: TokenStore, notes: Iterable[Note], folder: Path) -> None:
        """Saves an index for searching, of the given tokens; `notes` are what they came from."""

    @abstractmethod
    def open(self, folder: Path, *, threads: int, mmap: bool) -> None:
        """Opens the saved index; `mmap` matters to bm25s alone."""

    @abstractmethod
    def prepare(self, text: str, variant: str) -> Any:
        """A query from its text, ready to be searched for."""

    @abstractmethod
    def search(self, query: Any, k: int, variant: str) -> Any:
        """The k best notes of one prepared query, as the engine gives them."""

    @abstractmethod
    def found(self, result: Any) -> tuple[Sequence[int], Sequence[float]]:
        """Numbers and scores of the notes of a result, best first."""

    def answers(self, texts: Sequence[str], k: int) -> list[tuple[Sequence[int], Sequence[float]]]:
        """Numbers and scores for each text, to be compared with the exact ones."""
        variant = self.variants[0]
        prepared = [self.prepare(text, variant) for text in texts]
        return [self.found(self.search(query, k, variant)) for query in prepared]

    def batch(self, queries: Sequence[Any], k: int) -> Any:
        """`search` for all queries in one call."""
        raise NotImplementedError

    def make(self, notes: Iterable[Note], folder: Path, *, stemmer: str, threads: int) -> None:
        """Builds and saves an index from the texts, as a user would; `stemmer` may be "none"."""
        raise NotImplementedError
