"""Concepts and their names, out of OBO ontologies and out of CSV or TSV lists of names.

Read for instance the Human Phenotype Ontology, the Disease Ontology and lists of abbreviations.
Which of the two forms a file has is told by its first line.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple, get_args

from patientdx.errors import InputError
from patientdx.storage.text_files import Source, filled, open_lines, shown

Scope = Literal["EXACT", "NARROW", "BROAD", "RELATED"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_OBO_STARTS = ("format-version", "[term]", "!", "data-version")
_ID_NAMES = frozenset({"id", "doid", "concept_id", "concept", "code", "cui"})
_HEADER_NAMES = frozenset(
    {"abr", "abbreviation", "name", "term", "synonym", "long_form", *_ID_NAMES}
)
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]+)?\s*([\w-]+)?\s*(?:\[|$)')
_ESCAPED = re.compile(r"\\(.)")
# SNOMED CT's tags, which nobody writes in a note.
_TAG = re.compile(r"\s*\((?:disorder|finding|morphologic abnormality|procedure|situation)\)$")
_OBO_HINT = 'an OBO file has stanzas `[Term]` with lines `id:`, `name:` and `synonym: "…" EXACT []`'
_LIST_HINT = "a list has a name and a synonym in each row, or columns id, name and type"


class Name(NamedTuple):
    """One name of a concept. `found` is False for one that is too ambiguous to be looked for."""

    text: str
    scope: Scope = "EXACT"
    found: bool = True


class Concept(NamedTuple):
    """A thing that has several names, the preferred one first."""

    concept_id: str
    names: tuple[Name, ...]
    parents: tuple[str, ...] = ()


def read_vocabulary(source: Source, *, root: str | None = None) -> list[Concept]:
    """The concepts of an OBO, CSV or TSV file (plain, gzip or zstd).

    `root` keeps the concepts below one of an OBO file (HP:0000118 leaves out HPO's modifiers).
    Raises InputError for a file that is neither, a malformed row and an unknown root.
    """
    lines = filled(open_lines(source))
    first = next(lines, None)
    if first is None:
        raise InputError(f"{shown(source)}: the vocabulary is empty", hint=_OBO_HINT)
    every = chain([first], lines)
    if first[1].lower().startswith(_OBO_STARTS):
        return list(_below(root, _from_obo(every, source), source))
    if root is not None:
        raise InputError(f"{shown(source)}: only an OBO file has a root concept")
    return _from_list(every, source)


# --- OBO ----------------------------------------------------------------------------------------


def _from_obo(lines: Iterable[tuple[int, str]], source: Source) -> list[Concept]:
    concepts = []
    for start, stanza in _terms(lines):
        tags: dict[str, list[tuple[int, str]]] = {}
        for line, text in stanza:
            tag, colon, value = text.partition(":")
            if not colon:
                raise InputError.at(shown(source), line, "a tag without a value", hint=_OBO_HINT)
            tags.setdefault(tag.strip(), []).append((line, value.strip()))
        concept = _concept(tags, start, source)
        if concept is not None:
            concepts.append(concept)
    if not concepts:
        raise InputError(f"{shown(source)}: the ontology holds no terms", hint=_OBO_HINT)
    return concepts


def _terms(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """The line and the content of each stanza `[Term]`; other stanzas and comments are skipped."""
    stanza: list[tuple[int, str]] | None = None
    start = 0
    for line, text in lines:
        if text.startswith("["):
            if stanza is not None:
                yield start, stanza
            stanza, start = ([] if text.strip() == "[Term]" else None), line
        elif stanza is not None and not text.startswith("!"):
            stanza.append((line, text))
    if stanza is not None:
        yield start, stanza


def _concept(tags: dict[str, list[tuple[int, str]]], start: int, source: Source) -> Concept | None:
    """None for an obsolete term."""
    if any(value.startswith("true") for _, value in tags.get("is_obsolete", [])):
        return None
    if "id" not in tags or "name" not in tags:
        raise InputError.at(shown(source), start, "a term without id or name", hint=_OBO_HINT)
    names = [Name(_plain(tags["name"][0][1]))]
    names += (name for at in tags.get("synonym", []) if (name := _synonym(*at, source)))
    parents = tuple(value.split(" ")[0] for _, value in tags.get("is_a", []))
    return Concept(tags["id"][0][1], _distinct(names), parents)


def _synonym(line: int, value: str, source: Source) -> Name | None:
    """None for one that the ontology itself has given up."""
    match = _SYNONYM.match(value)
    if match is None:
        raise InputError.at(shown(source), line, "a malformed synonym", hint=_OBO_HINT)
    text, scope, kind = match.groups()
    if kind == "obsolete_synonym":
        return None
    known: Scope = next((one for one in SCOPES if one == scope), "RELATED")
    return Name(_plain(text), known)


def _plain(text: str) -> str:
    return _TAG.sub("", _ESCAPED.sub(r"\1", text).strip())


def _distinct(names: Sequence[Name]) -> tuple[Name, ...]:
    """Each name once, in its first scope, however it is capitalised."""
    first: dict[str, Name] = {}
    for name in names:
        if name.text:
            first.setdefault(name.text.lower(), name)
    return tuple(first.values())


def _below(root: str | None, concepts: list[Concept], source: Source) -> Iterator[Concept]:
    if root is None:
        yield from concepts
        return
    children: dict[str, list[str]] = {}
    for concept in concepts:
        for parent in concept.parents:
            children.setdefault(parent, []).append(concept.concept_id)
    if root not in children:
        raise InputError(f"{shown(source)}: no term is below `{root}`")
    below, waiting = set(), list(children[root])
    while waiting:
        concept_id = waiting.pop()
        if concept_id not in below:
            below.add(concept_id)
            waiting += children.get(concept_id, [])
    yield from (concept for concept in concepts if concept.concept_id in below)


# --- CSV and TSV --------------------------------------------------------------------------------


def _from_list(lines: Iterable[tuple[int, str]], source: Source) -> list[Concept]:
    rows = list(_rows(lines, source))
    header = [cell.strip().lower() for cell in rows[0][1]]
    named = set(header) & _HEADER_NAMES
    if {"name", "type"} <= set(header) and named & _ID_NAMES:
        return _by_id(rows[1:], header, source)
    return _by_name(rows[1:] if len(named) > 1 else rows, source)


def _rows(lines: Iterable[tuple[int, str]], source: Source) -> Iterator[tuple[int, list[str]]]:
    numbers = [0]
    first = next(iter(lines := iter(lines)))

    def texts() -> Iterator[str]:
        for number, text in chain([first], lines):
            numbers[0] = number
            yield text + "\n"

    try:
        for row in csv.reader(texts(), delimiter="\t" if "\t" in first[1] else ",", strict=True):
            if len(row) < 2:
                raise InputError.at(shown(source), numbers[0], "one column", hint=_LIST_HINT)
            yield numbers[0], row
    except csv.Error as error:
        problem = f"malformed row ({error})"
        raise InputError.at(shown(source), numbers[0], problem, hint=_LIST_HINT) from error


def _by_id(rows: list[tuple[int, list[str]]], header: list[str], source: Source) -> list[Concept]:
    """Rows of one name each, with the id of its concept and a type such as `exact-synonym`."""
    id_at = next(i for i, cell in enumerate(header) if cell in _ID_NAMES)
    name_at, type_at = header.index("name"), header.index("type")
    names: dict[str, list[Name]] = {}
    for line, row in rows:
        if len(row) != len(header):
            problem = f"{len(row)} columns instead of {len(header)}"
            raise InputError.at(shown(source), line, problem, hint=_LIST_HINT)
        kind = row[type_at].strip().upper().partition("-")[0]
        scope: Scope = next((one for one in SCOPES if one == kind), "EXACT")
        name = Name(_plain(row[name_at]), scope)
        known = names.setdefault(row[id_at].strip(), [])
        known.insert(0, name) if kind == "NAME" else known.append(name)
    return [Concept(concept_id, _distinct(known)) for concept_id, known in names.items()]


def _by_name(rows: list[tuple[int, list[str]]], source: Source) -> list[Concept]:
    """Rows of a name and a synonym.

    A name that stands for several things (AF: atrial flutter, amniotic fluid) is one more name
    of each of them, but is not looked for in notes.
    """
    meanings: dict[str, list[str]] = {}
    for _, row in rows:
        name, synonym = _plain(row[0]), _plain(row[1])
        if name and synonym:
            meanings.setdefault(name, []).append(synonym)
    return [
        Concept(f"{shown(source)}#{name}", (Name(synonym), Name(name, found=len(known) == 1)))
        for name, synonyms in meanings.items()
        for known in [_distinct([Name(synonym) for synonym in synonyms])]
        for synonym in [one.text for one in known]
    ]
