"""Reading concepts from CSV or TSV lists of names, such as lists of abbreviations."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

from patientdx.errors import InputError
from patientdx.storage.text_files import Source, source_name
from patientdx.wording import count_noun

from .concept import Concept, ConceptName, clean_name, distinct_names, parse_scope

_ID_COLUMNS = frozenset({"id", "doid", "concept_id", "concept", "code", "cui"})
_KNOWN_COLUMNS = frozenset(
    {"abr", "abbreviation", "name", "term", "synonym", "long_form", *_ID_COLUMNS}
)
_HINT = "a list has a name and a synonym in each row, or columns id, name and type"


def read_name_list(lines: Iterable[tuple[int, str]], source: Source) -> list[Concept]:
    """The concepts of numbered lines; the header decides which of two formats it is.

    With columns for id, name and type each row is one name of the concept with that id. Otherwise
    each row is a name and a synonym, and a header is optional. Raises InputError.
    """
    rows = list(_rows(lines, source))
    header = [cell.strip().lower() for cell in rows[0][1]]
    known_columns = set(header) & _KNOWN_COLUMNS
    if {"name", "type"} <= set(header) and known_columns & _ID_COLUMNS:
        return _read_names_by_id(rows[1:], header, source)
    return _read_name_pairs(rows[1:] if len(known_columns) > 1 else rows, source)


def _rows(lines: Iterable[tuple[int, str]], source: Source) -> Iterator[tuple[int, list[str]]]:
    """The rows, each with the number of its last line: a quoted cell may span lines."""
    last_line = [0]
    first = next(iter(lines := iter(lines)))

    def texts() -> Iterator[str]:
        for number, text in chain([first], lines):
            last_line[0] = number
            yield text + "\n"

    try:
        for row in csv.reader(texts(), delimiter="\t" if "\t" in first[1] else ",", strict=True):
            if len(row) < 2:
                raise InputError.at(source_name(source), last_line[0], "one column", hint=_HINT)
            yield last_line[0], row
    except csv.Error as error:
        problem = f"malformed row ({error})"
        raise InputError.at(source_name(source), last_line[0], problem, hint=_HINT) from error


def _read_names_by_id(
    rows: list[tuple[int, list[str]]], header: list[str], source: Source
) -> list[Concept]:
    """Rows of one name each, with the id of its concept and a type such as `exact-synonym`."""
    id_column = next(i for i, cell in enumerate(header) if cell in _ID_COLUMNS)
    name_column, type_column = header.index("name"), header.index("type")
    names_by_id: dict[str, list[ConceptName]] = {}
    for line, row in rows:
        if len(row) != len(header):
            problem = f"{count_noun(len(row), 'column')} instead of {len(header)}"
            raise InputError.at(source_name(source), line, problem, hint=_HINT)
        kind = row[type_column].strip().upper().partition("-")[0]
        name = ConceptName(clean_name(row[name_column]), parse_scope(kind, "EXACT"))
        names = names_by_id.setdefault(row[id_column].strip(), [])
        names.insert(0, name) if kind == "NAME" else names.append(name)
    return [Concept(concept_id, distinct_names(names)) for concept_id, names in names_by_id.items()]


def _read_name_pairs(rows: list[tuple[int, list[str]]], source: Source) -> list[Concept]:
    """Rows of a name and a synonym: one concept per synonym, which is its preferred name.

    A name with several meanings (AF: atrial flutter, amniotic fluid) is ambiguous.
    """
    meanings: dict[str, list[ConceptName]] = {}
    for _, row in rows:
        name, synonym = clean_name(row[0]), clean_name(row[1])
        if name and synonym:
            meanings.setdefault(name, []).append(ConceptName(synonym))
    concepts = []
    for name, synonyms in meanings.items():
        distinct = distinct_names(synonyms)
        own_name = ConceptName(name, is_ambiguous=len(distinct) > 1)
        concept_id = f"{source_name(source)}#{name}"
        concepts += [Concept(concept_id, (synonym, own_name)) for synonym in distinct]
    return concepts
