"""The seams: what a searcher, an expander and a language model must offer.

Batches in, batches out, in the same order. Every model has a `digest`, which keys caches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from patientdx.records import Filter, Hit, Query


@runtime_checkable
class Searcher(Protocol):
    """Ranks patients for queries."""

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The `k` best hits of each query, best first; only hits with a score above zero."""
        ...


@runtime_checkable
class RankingSearcher(Searcher, Protocol):
    """A searcher that can tell the rank of given patients without listing the whole ranking."""

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The one-based rank of each given patient; None where its score is zero.

        `where` holds one filter a query (or None for all).
        """
        ...


@runtime_checkable
class CorpusView(Protocol):
    """What feedback and explanation need to know of an index."""

    @property
    def size(self) -> int:
        """Number of live patients."""
        ...

    def text(self, doc_id: str) -> str:
        """The title and note of a patient, as indexed."""
        ...

    def term_vector(self, doc_id: str) -> Mapping[str, int]:
        """Index terms of a patient with their frequencies."""
        ...

    def document_frequency(self, term: str) -> int:
        """Number of live patients that hold an index term."""
        ...

    def terms(self, text: str) -> list[str]:
        """A text as index terms, in order."""
        ...


@runtime_checkable
class Expander(Protocol):
    """Adds weighted terms to queries."""

    name: str

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The same queries, in order, with `weights` added."""
        ...


@dataclass(frozen=True)
class GenerationSettings:
    """How text is generated; greedy unless `temperature` is above zero."""

    max_new_tokens: int = 200
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@runtime_checkable
class Generator(Protocol):
    """A language model that writes."""

    name: str
    digest: str

    def generate(
        self, prompts: Sequence[str], settings: GenerationSettings = GenerationSettings()
    ) -> list[str]:
        """One continuation a prompt."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A language model that reads."""

    name: str
    digest: str

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Natural-log probabilities of the tokens of each continuation given its prompt.

        Pairs that share a prompt cost one forward pass. `("", text)` gives the token losses
        of a text.
        """
        ...
