"""Texts of completions, for tests that compare what models write."""

from collections.abc import Iterable

from patientdx.protocols import Completion


def texts(completions: Iterable[Completion]) -> list[str]:
    """The text of each completion."""
    return [completion.text for completion in completions]
