"""The plan of the search benchmark, and what is measured of each engine."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agreement import Agreement

EXACT_DEPTH = 1_000


class Workload(NamedTuple):
    """Queries of one kind, asked for k notes."""

    queries: str
    k: int

    def __str__(self) -> str:
        return f"{self.queries}@{self.k}"


WORKLOADS = tuple(Workload(queries, k) for queries in ("whole", "short") for k in (1_000, 10))


@dataclass(frozen=True)
class Plan:
    """What to compare, and where."""

    corpus: Path
    folder: Path
    size: int
    queries: int
    batch: int
    engines: tuple[str, ...]
    repeats: int
    lucene_python: str

    def counts(self) -> dict[str, int]:
        """How many queries of each kind there are."""
        return {"whole": self.queries, "short": self.queries, "batch": self.batch}

    def at_most(self, k: int) -> int:
        """k, or the number of notes where it is less: bm25s refuses more."""
        return min(k, self.size)


@dataclass
class Row:
    """What was measured of one engine. Times are seconds of a pass over `asked` queries."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    variants: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    prepare_ms: dict[str, float] = field(default_factory=dict)
    disk_mb: float = 0.0
    peak_mb: dict[str, float] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    differing: int | None = None


@dataclass
class Analysis:
    """All rows of one analysis, and what the corpus is like under it."""

    stop_words: str
    corpus: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    touched: dict[str, float] = field(default_factory=dict)
    bandwidth: float = 0.0
    rows: list[Row] = field(default_factory=list)
