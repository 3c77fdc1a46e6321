"""Reading concepts from OBO ontologies such as HPO and the Disease Ontology."""

import re
from collections.abc import Iterable, Iterator

from patientdx.errors import InputError
from patientdx.storage.text_files import Source, source_name

from .concept import Concept, ConceptName, clean_name, distinct_names, parse_scope

OBO_HINT = 'an OBO file has stanzas `[Term]` with lines `id:`, `name:` and `synonym: "…" EXACT []`'

_FIRST_LINES = ("format-version", "[term]", "!", "data-version")
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]+)?\s*([\w-]+)?\s*(?:\[|$)')

_Tags = dict[str, list[tuple[int, str]]]
"""The tags of a stanza: name -> (line, value) of each."""


def is_obo(first_line: str) -> bool:
    """Whether a file with this first line is an OBO ontology."""
    return first_line.lower().startswith(_FIRST_LINES)


def read_obo(lines: Iterable[tuple[int, str]], source: Source) -> list[Concept]:
    """The concepts of numbered lines, without obsolete ones. Raises InputError."""
    concepts = []
    for start, stanza in _term_stanzas(lines):
        tags = _parse_tags(stanza, source)
        if not any(value.startswith("true") for _, value in tags.get("is_obsolete", [])):
            concepts.append(_parse_concept(tags, start, source))
    if not concepts:
        raise InputError(f"{source_name(source)}: the ontology holds no terms", hint=OBO_HINT)
    return concepts


def concepts_below(root: str, concepts: list[Concept], source: Source) -> list[Concept]:
    """The descendants of the root concept, in their order. Raises InputError without any."""
    children: dict[str, list[str]] = {}
    for concept in concepts:
        for parent in concept.parents:
            children.setdefault(parent, []).append(concept.concept_id)
    if root not in children:
        raise InputError(f"{source_name(source)}: no term is below `{root}`")
    descendants, stack = set(), list(children[root])
    while stack:
        concept_id = stack.pop()
        if concept_id not in descendants:
            descendants.add(concept_id)
            stack += children.get(concept_id, [])
    return [concept for concept in concepts if concept.concept_id in descendants]


def _term_stanzas(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """The first line and the content of each stanza `[Term]`, without comments."""
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


def _parse_tags(stanza: list[tuple[int, str]], source: Source) -> _Tags:
    tags: _Tags = {}
    for line, text in stanza:
        tag, colon, value = text.partition(":")
        if not colon:
            raise InputError.at(source_name(source), line, "a tag without a value", hint=OBO_HINT)
        tags.setdefault(tag.strip(), []).append((line, value.strip()))
    return tags


def _parse_concept(tags: _Tags, start: int, source: Source) -> Concept:
    if "id" not in tags or "name" not in tags:
        raise InputError.at(source_name(source), start, "a term without id or name", hint=OBO_HINT)
    names = [ConceptName(clean_name(tags["name"][0][1]))]
    for line, value in tags.get("synonym", []):
        synonym = _parse_synonym(line, value, source)
        if synonym is not None:
            names.append(synonym)
    parents = tuple(value.split(" ")[0] for _, value in tags.get("is_a", []))
    return Concept(tags["id"][0][1], distinct_names(names), parents)


def _parse_synonym(line: int, value: str, source: Source) -> ConceptName | None:
    """A synonym with its scope; None for one that the ontology marks as obsolete."""
    match = _SYNONYM.match(value)
    if match is None:
        raise InputError.at(source_name(source), line, "a malformed synonym", hint=OBO_HINT)
    text, scope, kind = match.groups()
    if kind == "obsolete_synonym":
        return None
    return ConceptName(clean_name(text), parse_scope(scope, "RELATED"))
