"""Invented stays in intensive care, and a cohort file of them with both outcomes."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.cohorts import Bin, CohortMeta, Measurement, Stay, write_cohort

META = CohortMeta("made up", {}, notes=("nothing in it is true",))


def make_stay(
    number: int,
    *,
    died: bool | None = None,
    marker: str = "",
    stays_per_subject: int = 1,
    without_events: Collection[int] = (),
) -> Stay:
    """A stay; every third patient dies, unless `died` says otherwise, and has a faster pulse.

    `marker` stands in ids and diagnoses, so that tests can search output for it. Stays whose
    numbers are in `without_events` have neither charts nor medications.
    """
    random = np.random.default_rng(number)
    dead = number % 3 == 0 if died is None else died
    rate = 80 + 15 * dead + float(random.normal(0, 8))
    events = number not in without_events
    return Stay(
        stay_id=f"{marker}stay-{number}",
        subject_id=f"{marker}subject-{number // stays_per_subject}",
        died=dead,
        age=float(random.integers(20, 90)),
        sex="FM"[number % 2],
        unit=("MICU", "SICU")[number % 2],
        diagnoses=(marker,) if marker and number % 2 else (),
        charts=(Measurement("HR", rate),) if events else (),
        bins=tuple(Bin(0, step, rate + step) for step in range(3)) if events else (),
        medications=(Measurement("Saline", 2.5),) if events and number % 4 else (),
    )


def write_stays(path: Path, count: int = 40, **options: Any) -> None:
    """A cohort file of `count` stays; options as of `make_stay`."""
    write_cohort(path, (make_stay(number, **options) for number in range(count)), META)
