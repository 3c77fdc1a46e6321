"""What is printed where: results on stdout, notices on stderr, colour only on a terminal.

Every command receives one of three objects, which are option groups (see `option_groups`):
`Notices` for commands that print no results, `Output` with `--json` for those that do, and
`TableOutput` with `--tsv` too for those that list rows. They decide the form of everything.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from workflows.monitor import Progress, ignore_progress

from .terminal import escaped_json, rendered, without_controls

RESEARCH = "For research use; not a medical device."

Lines = Callable[[], Iterable[str]]
Rows = Callable[[], Iterable[Sequence[object]]]


@dataclass(frozen=True)
class Notices:
    """Remarks and progress on stderr; the Monitor of the command line."""

    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print results only (ids, where there are any)."),
    ] = False

    def notice(self, text: str) -> None:
        """Print a remark."""
        if not self.quiet:
            typer.echo(without_controls(text), err=True)

    def warning(self, text: str) -> None:
        """Print a warning."""
        self.notice(f"warning: {text}")

    def hint(self, text: str) -> None:
        """Print what to do next."""
        self.notice(f"hint: {text}")

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """A progress bar with the time passed and the time left; only on a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield ignore_progress
            return
        with _progress_bar(label, total) as report:
            yield report


@dataclass(frozen=True)
class Output(Notices):
    """Results as text or JSON."""

    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False

    def show(self, value: Callable[[], Any], lines: Lines, ids: Lines | None = None) -> None:
        """Print a result in the form that the options name: as JSON, ids only, or text.

        The forms are functions, so that only the one printed is worked out.
        """
        if self.as_json:
            self.json(value())
        elif not self.quiet:
            self.lines(lines())
        elif ids is not None:
            self.ids(ids())

    def json(self, value: Any) -> None:
        """Print a value as JSON, whatever the options."""
        typer.echo(escaped_json(json.dumps(value, ensure_ascii=False, indent=1)))

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines of results for people, whatever the options; control characters are shown."""
        for line in lines:
            typer.echo(rendered(line))

    def ids(self, ids: Iterable[str]) -> None:
        """Print ids, whatever the options: on a terminal as `lines`, else exactly as they are."""
        on_terminal = sys.stdout.isatty()
        for patient_id in ids:
            # Click would strip escape sequences from what goes into a pipe.
            typer.echo(rendered(patient_id) if on_terminal else patient_id, color=True)


@dataclass(frozen=True)
class TableOutput(Output):
    """Results as text, JSON or tab-separated values."""

    as_tsv: Annotated[
        bool, typer.Option("--tsv", help="Print results as tab-separated values with a header.")
    ] = False

    def show_table(
        self, value: Callable[[], Any], lines: Lines, rows: Rows, ids: Lines | None = None
    ) -> None:
        """Print a result that is a table; the first of `rows` names the columns."""
        if self.as_tsv and not self.as_json:
            self.lines("\t".join(map(_cell, row)) for row in rows())
        else:
            self.show(value, lines, ids)


def _cell(value: object) -> str:
    """A value as a cell of TSV: empty for None, white space folded."""
    return "" if value is None else " ".join(str(value).split())


def align_columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows as lines of aligned columns; the first `left` columns are flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@contextmanager
def _progress_bar(label: str, total: int | None) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Batches may take minutes: the time left is estimated from the pace of the last hour.
    with RichProgress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=3600
    ) as bar:
        task = bar.add_task(label, total=total, note="")
        yield lambda done, note="": bar.update(task, completed=done, note=note)
