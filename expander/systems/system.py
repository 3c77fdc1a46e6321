"""Systems as a command line names them: `bm25`, `keywords`, `rrf(bm25,keywords)`.

    system  = NAME | FUSION ( part , part ... )
    part    = [WEIGHT *] system

NAME is `bm25`, `phrases` or a strategy, FUSION one of `ranx_fusion.FUSIONS`. Fusions nest.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from expander.fusion.methods import Fusion
from expander.fusion.ranx import FUSIONS, make_fusion
from expander.strategies.registry import STRATEGIES
from patientdx.errors import UsageError
from patientdx.protocols import Expander, Searcher

from .searchers import FusedSearcher, expanded_searcher

BM25, PHRASES = "bm25", "phrases"
_OWN = (BM25, PHRASES)
_TOKEN = re.compile(r"\s*([(),*]|[^\s(),*]+)")
_EXAMPLE = "for example `bm25`, `rm3`, `rrf(bm25,keywords)` or `min-max(bm25,0.3*rm3)`"


@dataclass(frozen=True)
class System:
    """A system by name; `parts` are those that a fusion fuses, each with its weight."""

    name: str
    parts: tuple[tuple[float, "System"], ...] = ()

    @property
    def leaves(self) -> frozenset[str]:
        """Everything that it is made of, fusions aside."""
        if not self.parts:
            return frozenset({self.name})
        return frozenset().union(*(part.leaves for _, part in self.parts))

    @property
    def strategies(self) -> frozenset[str]:
        """Every strategy that it uses."""
        return self.leaves - {*_OWN}

    def __str__(self) -> str:
        if not self.parts:
            return self.name
        parts = (f"{w:g}*{part}" if w != 1 else str(part) for w, part in self.parts)
        return f"{self.name}({','.join(parts)})"


def parse_system(text: str) -> System:
    """The system that a text names. Raises UsageError for one that names none."""
    tokens = [match.group(1) for match in _TOKEN.finditer(text)]
    reader = _Reader(text, iter([*tokens, ""]))
    system = reader.system()
    if reader.next:
        raise reader.error()
    return system


class _Reader:
    """Reads one system after another; `next` is the token that was not taken yet."""

    def __init__(self, text: str, tokens: Iterator[str]) -> None:
        self._text = text
        self._tokens = tokens
        self.next = next(tokens)

    def error(self) -> UsageError:
        """What to raise where a text goes on as none can."""
        return UsageError(f"`{self._text}` names no system", hint=_EXAMPLE)

    def system(self) -> System:
        """A name, or a fusion of parts."""
        name = self._taken()
        if self.next != "(":
            if name not in _OWN and name not in STRATEGIES:
                known = ", ".join((*_OWN, *STRATEGIES))
                raise UsageError(f"unknown system `{name}`", hint=f"one of {known}; {_EXAMPLE}")
            return System(name)
        if name not in FUSIONS:
            raise UsageError(f"unknown fusion `{name}`", hint=f"one of {', '.join(FUSIONS)}")
        parts = []
        while self.next in {"(", ","}:
            self._taken()
            parts.append(self._part())
        if self._taken() != ")" or len(parts) < 2:
            raise self.error()
        return System(name, tuple(parts))

    def _part(self) -> tuple[float, System]:
        weight = _number(self.next)
        if weight is None:
            return 1.0, self.system()
        self._taken()
        if self._taken() != "*":
            raise self.error()
        return weight, self.system()

    def _taken(self) -> str:
        token = self.next
        self.next = next(self._tokens, "")
        if not token:
            raise self.error()
        return token


def _number(token: str) -> float | None:
    """A weight: a number from 0 on, else None."""
    try:
        value = float(token)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def build_system(
    system: System,
    base: Searcher,
    strategy: Callable[[str], Expander],
    *,
    phrases: Searcher | None = None,
    rrf_k: float = 60,
    depth: int = 1000,
    wrap: Callable[[str, Searcher], Searcher] | None = None,
) -> Searcher:
    """The searcher of a system over a BM25 searcher; `strategy` makes the expander of a name.

    `phrases` is the searcher of that name, `rrf_k` the k of reciprocal rank fusion, `depth` how
    many hits a fusion takes of each part. `wrap` is given the name and the searcher of each part
    that is no fusion, and makes what is asked in its place.
    """

    def leaf(name: str) -> Searcher:
        if name == PHRASES and phrases is not None:
            return phrases
        return base if name == BM25 else expanded_searcher(base, strategy(name))

    def built(one: System) -> Searcher:
        if not one.parts:
            return wrap(one.name, leaf(one.name)) if wrap else leaf(one.name)
        return FusedSearcher([built(part) for _, part in one.parts], _fusion(one, rrf_k), depth)

    return built(system)


def _fusion(system: System, rrf_k: float) -> Fusion:
    weights = tuple(weight for weight, _ in system.parts)
    plain = all(weight == 1 for weight in weights)
    return make_fusion(system.name, k=rrf_k, weights=None if plain else weights)
