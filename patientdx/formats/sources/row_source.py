"""The seam between formats and patients: a source of rows with names for their values."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from patientdx.errors import InputError
from patientdx.formats.left_out import LeftOut
from patientdx.formats.rows import Row, SkippedRows


class RowSource(Protocol):
    """Rows, each with the number of its line, that become patients.

    `columns` are None for sources whose rows name their values themselves.
    """

    @property
    def name(self) -> str:
        """The file, as errors name it."""
        ...

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns of a table, once they are known."""
        ...

    @property
    def header_line(self) -> int:
        """Line of the names of the columns, 0 without one."""
        ...

    @property
    def separator(self) -> str:
        """What stands between the cells of a text table, once it is known; "" elsewhere."""
        ...

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """(line, row) of every row. Raises InputError."""
        ...

    def reject(self, line: int, problem: str) -> None:
        """Skips a row that cannot be used, or raises InputError."""
        ...


@dataclass
class Remarks:
    """Where a source reports rows: bad ones (refused where `skip` is None), others left out."""

    skip: SkippedRows | None = None
    left_out: LeftOut = field(default_factory=LeftOut)
    hint: str = "mend that row"

    def reject(self, name: str, line: int, problem: str) -> None:
        """Skips a row of a file, or raises InputError."""
        if self.skip is None:
            raise InputError.at(name, line, problem, hint=self.hint)
        self.skip.add(f"{name}:{line}: {problem}")


class PlainSource:
    """The part that most sources share: a name, and rows from an iterable."""

    def __init__(
        self,
        name: str,
        rows: Iterable[tuple[int, Row]],
        remarks: Remarks,
        columns: list[str] | None = None,
        header_line: int = 0,
    ) -> None:
        self.name = name
        self.columns = columns
        self.header_line = header_line
        self.separator = ""
        self.rows = rows
        self._remarks = remarks

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """See RowSource."""
        return iter(self.rows)

    def reject(self, line: int, problem: str) -> None:
        """See RowSource."""
        self._remarks.reject(self.name, line, problem)
