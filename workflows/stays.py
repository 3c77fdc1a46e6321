"""Stays of a cohort file, all of them or a sample, and their records as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.cohorts.cohort import Cohort, read_cohort
from evaluator.cohorts.sections import Templates, parse_sections, render_stay
from evaluator.mortality.predictions import Outcomes
from evaluator.mortality.sampling import sample_stratified, sample_uniform

PAPER_TASKS = ("mortality", "mortality-hard")
"""The record sets of the paper."""

TaskSections = Mapping[str, tuple[str, ...]]
"""Name of a task -> the sections that its records hold."""


def parse_tasks(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The sections of each task: a preset, or section names between commas. UsageError."""
    return {name: parse_sections(name) for name in names}


@dataclass(frozen=True, repr=False)
class StaySample:
    """Stays of a cohort that are evaluated, and their outcomes; all of the cohort or a sample.

    `positions` are those of the sampled stays in the file, in ascending order. `stratified` says
    that the sample has the cohort's share of deaths.
    """

    cohort: Cohort
    positions: tuple[int, ...]
    outcomes: Outcomes
    seed: int = 0
    stratified: bool = False

    def __len__(self) -> int:
        return len(self.positions)

    def describe(self) -> str:
        """Size and seed of the sample; empty where it is the whole cohort."""
        if len(self) == len(self.cohort):
            return ""
        how = "stratified by outcome, " if self.stratified else ""
        return f"{len(self):,} of {len(self.cohort):,}, {how}seed {self.seed}"


def sample_stays(
    cohort: Cohort | Path | str, size: int | None = None, *, seed: int = 0, stratified: bool = False
) -> StaySample:
    """A random sample of `size` stays of a cohort or its file; all stays where that is None.

    A `stratified` sample has the cohort's share of deaths. Raises InputError for a file that is
    no cohort, EvaluationError for a cohort without stays.
    """
    if not isinstance(cohort, Cohort):
        cohort = read_cohort(Path(cohort))
    if stratified and size is not None:
        positions = sample_stratified(cohort.died, size, seed)
    else:
        positions = sample_uniform(len(cohort), size, seed)
    outcomes = Outcomes.from_cohort(cohort, positions)
    return StaySample(cohort, tuple(positions), outcomes, seed, stratified)


class StayRecords:
    """Records of the sampled stays: the texts of the chosen sections, in the order of the sample.

    Each iteration reads the cohort file anew, so that no more than one batch is in memory.
    """

    def __init__(self, sample: StaySample, sections: Sequence[str], templates: Templates) -> None:
        self._sample = sample
        self._sections = sections
        self._templates = templates
        self.empty = 0
        """Number of records without any text, as of the last complete iteration."""

    def __len__(self) -> int:
        return len(self._sample)

    def __iter__(self) -> Iterator[list[str]]:
        positions = set(self._sample.positions)
        empty = 0
        for position, stay in enumerate(self._sample.cohort):
            if position in positions:
                texts = render_stay(stay, self._sections, templates=self._templates)
                empty += not texts
                yield [section.text for section in texts]
        self.empty = empty


def sample_notes(
    sample: StaySample,
    tasks: TaskSections,
    *,
    empty: Mapping[str, int],
    models: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Notes of a report: the cohort's file, sections, how models were run, sample, empty records.

    `empty` is the number of empty records by task, `models` a description by model.
    """
    sections = (f"{task}: {', '.join(names)}" for task, names in tasks.items())
    notes = {"cohort": str(sample.cohort.path), "sections": "; ".join(sections)}
    notes |= {f"model {name}": description for name, description in (models or {}).items()}
    if drawn := sample.describe():
        notes["sample"] = drawn
    counts = [f"{count:,} ({task})" for task, count in empty.items() if count]
    if counts:
        notes["empty records"] = f"{', '.join(counts)}: asked about all the same"
    return notes
