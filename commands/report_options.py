"""Options of commands that end in a report: its format and its file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from console.option_groups import Excludes
from console.output import Output
from patientdx.errors import UsageError

ONE_FORMAT = Excludes(("form", "as_json"))
"""`--json` names a format, so that `--format` beside it would be ignored."""


@dataclass(frozen=True)
class ReportOptions(Output):
    """In which format a report is written, and where to."""

    form: Annotated[
        str, typer.Option("--format", help="Format of the report: text, markdown, latex or json.")
    ] = "text"
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write the report to (default: print it)."),
    ] = None

    @property
    def format_name(self) -> str:
        """The format. Raises UsageError for one that does not exist."""
        from evaluator import FORMATS

        if self.form not in FORMATS:
            hint = f"formats are {', '.join(FORMATS)}"
            raise UsageError(f"`{self.form}` is not a format of reports", hint=hint)
        return "json" if self.as_json else self.form

    def write(self, render: Callable[[str], str]) -> None:
        """Write a report, rendered in the chosen format, to its file or to stdout."""
        from patientdx.formats import atomic_writer

        with atomic_writer(self.out or "-") as stream:
            stream.write(render(self.format_name))
