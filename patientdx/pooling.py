"""How the notes of a patient make the patient's score."""

import re
from collections.abc import Iterable, Mapping

from .errors import InputError
from .records import Hit, ranked

_SUM = re.compile(r"sum:([1-9][0-9]{0,8})")


def pooled_notes(pool: str) -> int:
    """How many of a patient's notes count: 1 for `max`, K for `sum:K`. Raises InputError."""
    match = _SUM.fullmatch(pool)
    if match is None and pool != "max":
        raise InputError(
            f"`{pool}` is no way to score a patient by notes",
            hint="max (the best note) or sum:K (the K best notes), such as sum:3",
        )
    return int(match[1]) if match else 1


def pool_hits(notes: Iterable[Hit], owners: Mapping[str, str], best: int) -> list[Hit]:
    """The patients of ranked notes, best first, by the sum of the scores of their `best` best.

    `owners` maps ids of notes to those of patients. Scores are summed in float64 in the order of
    the hits, and rounded to float32.
    """
    totals: dict[str, float] = {}
    counts: dict[str, int] = {}
    for note_id, score in notes:
        patient_id = owners[note_id]
        counts[patient_id] = counts.get(patient_id, 0) + 1
        if counts[patient_id] <= best:
            totals[patient_id] = totals.get(patient_id, 0.0) + score
    return ranked(totals)
