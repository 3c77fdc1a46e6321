"""The fields of a file of queries: which hold the id and the text, and what was understood."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from patientdx.errors import InputError
from patientdx.records import Query

from .fields import RowProblemError, read_id, replace_surrogates

ID_NAMES = (
    *("_id", "id", "query_id", "qid", "patient_uid", "topic_id", "topic", "number"),
    *("docno", "doc_id", "patient_id"),
)
"""Usual names of a query's id, the most usual first, compared as `plain_name` has them."""

WHOLE_TEXT_NAMES = ("text", "query", "contents", "note", "patient")
"""Usual names of a text that is all of a query."""

TEXT_NAMES = (
    *WHOLE_TEXT_NAMES,
    *("summary", "description", "title", "question", "desc", "narrative"),
)
"""Usual names of a query's text: BEIR's, PyTerrier's, Pyserini's, PMC-Patients', then TREC's."""

_SIGNS = re.compile(r"[\W_]+")


def plain_name(name: str) -> str:
    """The name of a field without case and separators, for comparison."""
    return _SIGNS.sub("", name).casefold()


@dataclass(frozen=True)
class QueryFields:
    """Names of fields set by the user; None for those to guess.

    `text` may name several fields with plus signs, as in `title+desc`, whose texts are joined.
    """

    id: str | None = None
    text: str | None = None

    @property
    def are_set(self) -> bool:
        """Whether the user named a field."""
        return self.id is not None or self.text is not None

    def resolve(self, available: Collection[str], name: str, line: int) -> "ResolvedFields":
        """The fields of a source among those `available`. Raises InputError without them."""
        id_field = self._id_field(available, name, line)
        others = [column for column in available if column != id_field]
        if self.text is not None:
            text_fields = _named_fields(self.text, others)
            if text_fields is None:
                raise _missing(name, line, f"no field `{self.text}`", available)
            return ResolvedFields(id_field, text_fields)
        text_names = usual_fields(TEXT_NAMES, others) or (others if len(others) == 1 else [])
        if not text_names:
            raise _missing(name, line, f"field `{TEXT_NAMES[0]}` is missing", available)
        return ResolvedFields(id_field, (text_names[0],), tuple(text_names[1:]))

    def _id_field(self, available: Collection[str], name: str, line: int) -> str:
        if self.id is not None:
            named = usual_fields((self.id,), available)
            if not named:
                raise _missing(name, line, f"no field `{self.id}`", available)
            return named[0]
        id_names = usual_fields(ID_NAMES, available)
        if not id_names:
            raise _missing(name, line, f"field `{ID_NAMES[0]}` is missing", available)
        return id_names[0]


@dataclass(frozen=True)
class ResolvedFields:
    """The fields of one source: of the id, of the text, and others that might be the text."""

    id: str
    text: tuple[str, ...]
    also: tuple[str, ...] = ()

    def query(self, row: Mapping[str, Any]) -> Query:
        """The query of a row, whose text may be empty. Raises RowProblemError.

        Of several fields of the text a row may lack some.
        """
        query_id = read_id(dict(row), self.id)
        present = [name for name in self.text if name in row] or self.text[:1]
        return Query(query_id, "\n".join(filter(None, (_text(row, name) for name in present))))

    def fit(self, row: Mapping[str, Any]) -> "ResolvedFields":
        """The fields of a row that may spell its names otherwise than the first row does.

        A text that is missing is never taken from a title or another part.
        """
        ids, texts = usual_fields(ID_NAMES, row), usual_fields(WHOLE_TEXT_NAMES, row)
        id_field = self.id if self.id in row or not ids else ids[0]
        missing = not any(name in row for name in self.text)
        text = (texts[0],) if missing and texts and texts[0] not in self.also else self.text
        return ResolvedFields(id_field, text)


@dataclass
class QueryReport:
    """What was understood of a file of queries, for those who asked for it.

    `text_fields` are the fields that the text comes from, empty where the format names none;
    `other_fields` might hold a text too. `empty` are the ids of the queries that were left out, as
    their text is empty.
    """

    text_fields: tuple[str, ...] = ()
    other_fields: tuple[str, ...] = ()
    empty: list[str] = field(default_factory=list)

    def add_fields(self, fields: ResolvedFields) -> None:
        """Record the fields of a source."""
        self.text_fields = fields.text
        self.other_fields = tuple(dict.fromkeys((*self.other_fields, *fields.also)))


def usual_fields(names: Sequence[str], available: Collection[str]) -> list[str]:
    """The fields that have one of these names, in the order of the names."""
    by_name: dict[str, str] = {}
    for column in available:
        by_name.setdefault(plain_name(column), column)
    exact = [name for name in names if name in available]
    similar = [by_name[plain] for plain in map(plain_name, names) if plain in by_name]
    return list(dict.fromkeys((*exact[:1], *similar))) if exact else list(dict.fromkeys(similar))


def _named_fields(text: str, available: Collection[str]) -> tuple[str, ...] | None:
    """The fields that a name or several with plus signs stand for; None if one is missing."""
    parts = [text] if usual_fields((text,), available) else text.split("+")
    columns = [usual_fields((part,), available)[:1] for part in parts]
    return tuple(column[0] for column in columns if column) if all(columns) else None


def _text(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        raise RowProblemError(f"field `{name}` is missing")
    value = row[name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowProblemError(f"field `{name}` is no text")
    return replace_surrogates(value) if value.strip() else ""


def _missing(name: str, line: int, problem: str, available: Collection[str]) -> InputError:
    """The error of a field that is not there; names are shown only if they look like names."""
    shown = [column for column in available if re.fullmatch(r"[^\W\d][\w.-]{0,39}", column)]
    fields = f"; fields found: {', '.join(shown)}" if len(shown) == len(available) > 0 else ""
    hint = f"name it with --query-id-field and --query-text-field{fields}"
    return InputError.at(name, line, problem, hint=hint)
