"""Tuning a retrieval system: its numbers chosen by grid on judged queries, cross-validated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator import (
    Folds,
    RunCache,
    SettingValue,
    Table,
    TuningResult,
    build_comparison_table,
    build_tuned_settings,
    parameter_grid,
    tune_searcher,
    write_tuned_settings,
)
from expander import SystemSettings, default_axes, parse_system_settings
from expander.systems.system import System, parse_system
from patientdx.errors import UsageError
from patientdx.protocols import PatientIndex, Searcher
from patientdx.wording import count_noun

from .generators import GeneratorSettings
from .judgements import JudgedQueries, check_judged_notes
from .monitor import LOG, Accumulator, Monitor
from .own_notes import OwnNotesChoice, find_own_notes
from .systems import (
    SystemBuilder,
    Wrap,
    index_notes,
    open_resources,
    uses_generator,
)

Candidate = Mapping[str, SettingValue]
"""Names and values of one combination that is tried, such as {"k1": 0.9, "b": 0.4}."""


@dataclass(frozen=True)
class RetrievalTuning:
    """What was chosen for a system, what it is worth, and notes on how it was chosen."""

    system: str
    tuning: TuningResult
    notes: Mapping[str, str]

    def table(self) -> Table:
        """Values under the defaults, and out of fold under the choice."""
        rows = {
            f"{self.system}, default": self.tuning.untuned,
            f"{self.system}, tuned": self.tuning.out_of_fold,
        }
        return build_comparison_table(rows, dict(self.notes))

    def write_settings(self, path: Path) -> None:
        """Write the chosen settings, for the option --settings of other commands."""
        write_tuned_settings(path, build_tuned_settings(self.tuning, self.notes))


def build_candidates(
    system: str, grid_values: Sequence[str], index: PatientIndex
) -> tuple[System, list[dict[str, SettingValue]]]:
    """A system and all combinations of values to try, the defaults first; all are valid.

    `grid_values` are like `k1=0.9,1.2` and replace the default values of their names. Raises
    UsageError for a name that the system does not have, InputError for values out of range.
    """
    parsed = parse_system(system)
    axes = default_axes(parsed, index.bm25.k1, index.bm25.b)
    axes |= dict(_parse_axis(text) for text in grid_values)
    candidates = parameter_grid({"system": [str(parsed)], **axes})
    for candidate in candidates:
        settings = parse_system_settings(candidate)
        index.with_bm25(settings.k1, settings.b)
    return parsed, candidates


def tune_system(
    index: PatientIndex,
    judged: JudgedQueries,
    system: str = "phrases",
    *,
    grid_values: Sequence[str] = (),
    measures: Sequence[str] = ("nDCG@10",),
    folds: int = 5,
    seed: int = 0,
    depth: int = 1000,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    own_notes: OwnNotesChoice = "auto",
    monitor: Monitor = LOG,
) -> RetrievalTuning:
    """Choose the numbers of a system by the first of `measures`, and judge them out of fold.

    `own_notes` and what is reported of the judgements are as in `evaluate_systems`.
    """
    parsed, candidates = build_candidates(system, grid_values, index)
    missing_notes = check_judged_notes(index, judged, monitor)
    own = find_own_notes(index, judged, own_notes, monitor)
    runs = RunCache() if parsed.parts else None
    monitor.notice(
        f"{count_noun(len(candidates), 'candidate')}, {len(judged.qrels):,} judged queries"
    )
    with (
        monitor.progress("tuning", len(candidates) * len(judged.qrels)) as report,
        open_resources(
            parsed.strategies,
            index,
            generator=generator,
            vocabularies=vocabularies,
            monitor=monitor,
        ) as resources,
    ):
        builder = SystemBuilder(index, resources)

        def build_searcher(candidate: Candidate) -> Searcher:
            settings = parse_system_settings(candidate)
            return builder.build_searcher(settings, depth, _share_runs(runs, settings))

        tuning = tune_searcher(
            build_searcher,
            candidates,
            list(judged.queries),
            judged.qrels,
            measures,
            folds=Folds(folds, seed),
            depth=depth,
            exclude_self=own.dropped,
            on_progress=Accumulator(report),
        )
    notes = judged.notes() | missing_notes | dict(own.notes)
    notes |= index_notes(index) | _tuning_notes(parsed, tuning, generator)
    return RetrievalTuning(str(parsed), tuning, notes)


def _share_runs(runs: RunCache | None, settings: SystemSettings) -> Wrap | None:
    """Lets candidates that differ only in their fusion share the runs that are fused."""
    if runs is None:
        return None

    def remember(name: str, searcher: Searcher) -> Searcher:
        own = tuple(sorted(settings.strategies.get(name, {}).items()))
        return runs.wrap((settings.k1, settings.b), (name, own), searcher)

    return remember


def _tuning_notes(
    system: System, tuning: TuningResult, generator: GeneratorSettings | None
) -> dict[str, str]:
    choices = len(set(tuning.fold_choices))
    notes = {
        "chosen": ", ".join(f"{name} {value}" for name, value in tuning.settings.items()),
        "of": f"{count_noun(len(tuning.candidates), 'candidate')}, by {tuning.measure}; its own "
        f"mean over the queries it was chosen by, {tuning.means[tuning.chosen]:.4f}, flatters it",
        "tuned": "each query under what was chosen without its fold; "
        f"{tuning.folds.number} folds, seed {tuning.folds.seed}, "
        f"{count_noun(choices, 'choice')} in all",
    }
    if uses_generator(system.strategies):
        notes["model"] = (generator or GeneratorSettings()).describe()
    return notes


def _parse_axis(text: str) -> tuple[str, list[SettingValue]]:
    name, equals, values = text.partition("=")
    if not name or not equals or not values:
        raise UsageError(f"--grid is NAME=VALUE,VALUE, not `{text}`", hint="--grid k1=0.9,1.2,2")
    return name.strip(), [_parse_value(value.strip()) for value in values.split(",")]


def _parse_value(text: str) -> SettingValue:
    """A truth value, a whole number or a number where the text is one, else the text."""
    if text in {"true", "false"}:
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
