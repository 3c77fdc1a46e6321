"""What a format's own rules leave out of an index, counted by reason: drafts, notes in error."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class LeftOut:
    """Numbers of rows, files and attachments that the rules of a format leave out, by reason.

    Unlike `SkippedRows` these are no defects: a note marked as entered in error, or a PDF.
    """

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, count: int = 1) -> None:
        """Counts what is left out for a reason, a plural such as `notes entered in error`."""
        self.counts[reason] = self.counts.get(reason, 0) + count

    def lines(self) -> Iterator[str]:
        """A line for each reason, in the order of their first appearance."""
        return (f"{reason}: {count:,}" for reason, count in self.counts.items())
