"""What a workflow reports while it runs: notices, warnings and progress."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives how much of a piece of work is done."""

    def __call__(self, done: int, note: str = "") -> None:
        """Report that `done` units are complete; `note` is shown beside the bar."""
        ...


class Monitor(Protocol):
    """Where a workflow reports to. Messages never hold text of a patient."""

    def notice(self, text: str) -> None:
        """Report what the user may like to know."""
        ...

    def warning(self, text: str) -> None:
        """Report what the user should know before using the result."""
        ...

    def progress(self, label: str, total: int | None = None) -> AbstractContextManager[Progress]:
        """Report progress of one piece of work of `total` units, where the number is known."""
        ...


class LogMonitor:
    """Logs notices and warnings under the logger `patientdx`, and shows no progress."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("patientdx")

    def notice(self, text: str) -> None:
        """See Monitor."""
        self._logger.info(text)

    def warning(self, text: str) -> None:
        """See Monitor."""
        self._logger.warning(text)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """See Monitor."""
        del label, total
        yield ignore_progress


def ignore_progress(done: int, note: str = "") -> None:
    """A Progress that shows nothing."""
    del done, note


LOG = LogMonitor()
"""The default of workflows that are called from Python."""


class Accumulator:
    """Reports the sum of the steps so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, step: int) -> None:
        """Add a step of this size."""
        self._done += step
        self._progress(self._done)
