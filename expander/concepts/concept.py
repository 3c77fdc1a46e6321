"""Concepts and their names."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

Scope = Literal["EXACT", "NARROW", "BROAD", "RELATED"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ESCAPED = re.compile(r"\\(.)")
# Semantic tags of SNOMED CT, which nobody writes in a note.
_SEMANTIC_TAG = re.compile(
    r"\s*\((?:disorder|finding|morphologic abnormality|procedure|situation)\)$"
)


class ConceptName(NamedTuple):
    """A name of a concept. Ambiguous names add synonyms, but are not looked up in notes."""

    text: str
    scope: Scope = "EXACT"
    is_ambiguous: bool = False


class Concept(NamedTuple):
    """A concept with its names, the preferred one first, and the ids of its parents."""

    concept_id: str
    names: tuple[ConceptName, ...]
    parents: tuple[str, ...] = ()


def clean_name(text: str) -> str:
    """A name without escapes, surrounding space and SNOMED CT's semantic tags."""
    return _SEMANTIC_TAG.sub("", _ESCAPED.sub(r"\1", text).strip())


def parse_scope(text: str | None, default: Scope) -> Scope:
    """The scope that a text spells in capitals; the default for any other text."""
    return next((scope for scope in SCOPES if scope == text), default)


def distinct_names(names: Sequence[ConceptName]) -> tuple[ConceptName, ...]:
    """Each name once, in its first scope, ignoring case; empty names are dropped."""
    first: dict[str, ConceptName] = {}
    for name in names:
        if name.text:
            first.setdefault(name.text.lower(), name)
    return tuple(first.values())
