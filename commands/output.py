"""What is printed where: data on stdout, talk on stderr, colour only on a terminal."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import typer

RESEARCH = "For research use; not a medical device."


def data(text: str) -> None:
    """A line of results."""
    typer.echo(text)


def json_data(value: Any) -> None:
    """Results as JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 query`, `2 queries`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def say(text: str, *, quiet: bool = False) -> None:
    """A remark, on stderr."""
    if not quiet:
        typer.echo(text, err=True)


def hint(text: str, *, quiet: bool = False) -> None:
    """What to do next, on stderr."""
    say(f"hint: {text}", quiet=quiet)


def colour() -> bool:
    """True where emphasis can be shown."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def strong(text: str) -> str:
    """Emphasised: bold on a terminal, as it is elsewhere."""
    return f"\033[1m{text}\033[0m" if colour() else text


def marked(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    """A passage on one line with its matching words emphasised."""
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], strong(text[start:end])]
        at = end
    return " ".join("".join([*pieces, text[at:]]).split())


def _unseen(done: int, note: str = "") -> None:
    """Progress that nobody looks at."""
    del done, note


class Tick(Protocol):
    """Takes how much is done so far, and what to say beside the bar."""

    def __call__(self, done: int, note: str = "") -> None:
        """Moves the bar."""


@contextmanager
def progress(label: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Tick]:
    """A progress bar on stderr, with the time passed and the time left."""
    if quiet or not sys.stderr.isatty():
        yield _unseen
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.progress import TimeRemainingColumn as Remaining

    # Work here comes in batches that take minutes: the pace of the last hour tells the time left.
    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), Elapsed(), Remaining())
    noted = TextColumn("{task.fields[note]}")
    with Progress(
        *columns, noted, console=console, transient=True, speed_estimate_period=3600
    ) as bar:
        task = bar.add_task(label, total=total, note="")
        yield lambda done, note="": bar.update(task, completed=done, note=note)
