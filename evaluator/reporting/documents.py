"""A report as a document of tables; `rendering.py` writes it in each format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .text_table import TextTable

DISCLAIMER = "For research use; not a medical device."


@dataclass(frozen=True)
class DocumentPart:
    """A table with its title and a note on how to read it.

    `more_tables` follow under the same title, and in LaTeX under the same caption.
    """

    title: str
    table: TextTable
    note: str = ""
    more_tables: tuple[TextTable, ...] = ()

    @property
    def tables(self) -> tuple[TextTable, ...]:
        """All tables of the part."""
        return (self.table, *self.more_tables)


@dataclass(frozen=True)
class Document:
    """Parts under a title; a document of a single table needs no title.

    `notes` name what was measured, `method` says how; `data` is the full content for JSON.
    """

    title: str
    parts: tuple[DocumentPart, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
