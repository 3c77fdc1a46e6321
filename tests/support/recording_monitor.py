"""A Monitor that keeps what a workflow reports."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from workflows.monitor import Progress


@dataclass
class RecordingMonitor:
    """Notices, warnings, and the highest progress of each label."""

    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)

    def notice(self, text: str) -> None:
        """See Monitor."""
        self.notices.append(text)

    def warning(self, text: str) -> None:
        """See Monitor."""
        self.warnings.append(text)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """See Monitor."""
        self.steps.setdefault(label, 0)

        def report(done: int, note: str = "") -> None:
            assert total is None or done <= total
            self.steps[label] = max(self.steps[label], done)

        yield report
