"""Made-up stays in intensive care: a cohort file with both outcomes."""

from pathlib import Path

from evaluator.cohorts import Bin, CohortMeta, Measurement, Stay, write_cohort


def write_stays(path: Path, number: int = 40) -> None:
    """A cohort in which every third patient dies, with a faster pulse."""
    meta = CohortMeta("made up", {}, notes=("nothing in it is true",))
    write_cohort(path, map(_stay, range(number)), meta)


def _stay(number: int) -> Stay:
    rate = 80.0 + 15 * (number % 3 == 0) + number % 7
    return Stay(
        stay_id=f"stay-{number}",
        subject_id=f"subject-{number}",
        died=number % 3 == 0,
        age=float(20 + number),
        sex="FM"[number % 2],
        unit="MICU",
        diagnoses=(),
        charts=(Measurement("HR", rate),),
        bins=tuple(Bin(0, step, rate + step) for step in range(2)),
        medications=(),
    )
