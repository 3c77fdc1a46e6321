"""Systems and their names: `bm25`, `keywords`, `rrf(bm25,keywords)`.

    system  = NAME | FUSION ( part , part ... )
    part    = [WEIGHT *] system

NAME is `bm25`, `phrases` or a strategy, FUSION one of `expander.fusion.registry.FUSIONS`. Fusions
can be nested.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from expander.fusion.registry import FUSIONS
from expander.strategies.registry import STRATEGIES
from patientdx.errors import UsageError

BM25, PHRASES = "bm25", "phrases"
_NOT_STRATEGIES = (BM25, PHRASES)
_TOKEN = re.compile(r"\s*([(),*]|[^\s(),*]+)")
_EXAMPLE = "for example `bm25`, `rm3`, `rrf(bm25,keywords)` or `min-max(bm25,0.3*rm3)`"


@dataclass(frozen=True)
class System:
    """A retrieval system: a name, and for a fusion its weighted `parts`."""

    name: str
    parts: tuple[tuple[float, "System"], ...] = ()

    @property
    def leaves(self) -> frozenset[str]:
        """The names of all systems in it that are not fusions."""
        if not self.parts:
            return frozenset({self.name})
        return frozenset().union(*(part.leaves for _, part in self.parts))

    @property
    def strategies(self) -> frozenset[str]:
        """The names of all strategies that it uses."""
        return self.leaves - {*_NOT_STRATEGIES}

    def __str__(self) -> str:
        if not self.parts:
            return self.name
        parts = (f"{w:g}*{part}" if w != 1 else str(part) for w, part in self.parts)
        return f"{self.name}({','.join(parts)})"


def parse_system(text: str) -> System:
    """The system that a text describes. Raises UsageError for an invalid text."""
    tokens = [match.group(1) for match in _TOKEN.finditer(text)]
    parser = _Parser(text, iter([*tokens, ""]))
    system = parser.parse_system()
    if parser.lookahead:
        raise parser.syntax_error()
    return system


class _Parser:
    """A recursive-descent parser; `lookahead` is the first token not consumed yet."""

    def __init__(self, text: str, tokens: Iterator[str]) -> None:
        self._text = text
        self._tokens = tokens
        self.lookahead = next(tokens)

    def syntax_error(self) -> UsageError:
        """The error to raise where the text does not follow the grammar."""
        return UsageError(f"`{self._text}` is not a system", hint=_EXAMPLE)

    def parse_system(self) -> System:
        """Parses a name, or a fusion of parts."""
        name = self._consume()
        if self.lookahead != "(":
            if name not in _NOT_STRATEGIES and name not in STRATEGIES:
                known = ", ".join((*_NOT_STRATEGIES, *STRATEGIES))
                raise UsageError(f"unknown system `{name}`", hint=f"one of {known}; {_EXAMPLE}")
            return System(name)
        if name not in FUSIONS:
            raise UsageError(f"unknown fusion `{name}`", hint=f"one of {', '.join(FUSIONS)}")
        parts = []
        while self.lookahead in {"(", ","}:
            self._consume()
            parts.append(self._parse_part())
        if self._consume() != ")" or len(parts) < 2:
            raise self.syntax_error()
        return System(name, tuple(parts))

    def _parse_part(self) -> tuple[float, System]:
        weight = _parse_weight(self.lookahead)
        if weight is None:
            return 1.0, self.parse_system()
        self._consume()
        if self._consume() != "*":
            raise self.syntax_error()
        return weight, self.parse_system()

    def _consume(self) -> str:
        token = self.lookahead
        self.lookahead = next(self._tokens, "")
        if not token:
            raise self.syntax_error()
        return token


def _parse_weight(token: str) -> float | None:
    """The weight that a token spells, a finite number of 0 or more; None for any other token."""
    try:
        value = float(token)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
