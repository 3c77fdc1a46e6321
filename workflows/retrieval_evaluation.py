"""Measuring retrieval: systems over an index, or runs that exist, against judgements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator import (
    Evaluation,
    QueryCounts,
    Table,
    build_comparison_table,
    build_table,
    evaluate_run,
    evaluate_searcher,
    parse_measures,
    per_query_csv,
    plot_differences,
    read_tuned_settings,
    required_depth,
    was_tuned_on,
)
from expander import SystemSettings, parse_system_settings
from expander.systems.system import parse_system
from patientdx.errors import UsageError
from patientdx.formats import atomic_writer, read_qrels, read_run
from patientdx.frames import Library, html_table, to_frame
from patientdx.protocols import PatientIndex
from patientdx.records import Qrels, Run
from patientdx.wording import count_noun

from .generators import GeneratorSettings
from .judgements import JudgedQueries, check_judged_notes
from .monitor import LOG, Accumulator, Monitor
from .own_notes import OwnNotesChoice, find_own_hits, find_own_notes
from .systems import (
    KEYWORDS_NOTE,
    SystemBuilder,
    index_notes,
    open_resources,
    uses_generator,
)

DEFAULT_MEASURES = ("RR", "P@10", "nDCG@10", "R@1000")
PAPER_SYSTEMS = ("bm25", "keywords", "rrf(bm25,keywords)")
"""The systems of the paper's experiment."""


@dataclass(frozen=True, repr=False)
class RetrievalEvaluation:
    """Values of measures by system, their runs, and notes on how they came about."""

    evaluations: Mapping[str, Evaluation]
    notes: Mapping[str, str]
    runs: Mapping[str, Run] = field(default_factory=dict)

    def __repr__(self) -> str:
        means = [
            f"{name}: "
            + ", ".join(f"{measure} {values.mean(measure):.4f}" for measure in values.measures)
            for name, values in self.evaluations.items()
        ]
        return f"RetrievalEvaluation({'; '.join(means)})"

    def _repr_html_(self) -> str:
        return html_table(self.columns(), self.rows_of_values())

    def columns(self) -> tuple[str, ...]:
        """See Tabular."""
        return ("system", "n", "measure", "value", "low", "high")

    def rows_of_values(self) -> Iterator[tuple[Any, ...]]:
        """See Tabular: means with their intervals."""
        for row in self.table().rows:
            for measure, figure in row.estimates.items():
                interval = figure.interval
                yield row.system, row.n, measure, figure.value, interval.low, interval.high

    def to_frame(self, library: Library = "pandas") -> Any:
        """The means with their intervals as a data frame."""
        return to_frame(self, library)

    def table(self) -> Table:
        """Means with intervals; of several systems also comparisons with the first."""
        evaluations, notes = dict(self.evaluations), dict(self.notes)
        if len(evaluations) == 1:
            return build_table(evaluations, notes)
        with_keywords = any("keywords" in name for name in evaluations)
        reconstructed = [KEYWORDS_NOTE] if with_keywords else []
        return build_comparison_table(evaluations, notes, reconstructed=reconstructed)

    def mean_rows(self) -> list[tuple[str, ...]]:
        """One row a measure: measure and mean; of several systems, the system before them."""
        several = len(self.evaluations) > 1
        return [
            (*((name,) if several else ()), measure, f"{evaluation.mean(measure):.6f}")
            for name, evaluation in self.evaluations.items()
            for measure in evaluation.measures
        ]

    def write_per_query(self, path: Path | str) -> None:
        """Write the values of every query as CSV; "-" is standard output."""
        with atomic_writer(path) as stream:
            stream.write(per_query_csv(self.evaluations))

    def plot(self, paths: Sequence[Path]) -> None:
        """Draw differences query by query: in nDCG@10 where it was computed."""
        measures = next(iter(self.evaluations.values())).measures
        measure = "nDCG@10" if "nDCG@10" in measures else measures[0]
        plot_differences(self.evaluations, measure, paths)


def evaluate_systems(
    index: PatientIndex,
    systems: Mapping[str, SystemSettings],
    judged: JudgedQueries,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    depth: int = 1000,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    own_notes: OwnNotesChoice = "auto",
    keep_runs: bool = False,
    monitor: Monitor = LOG,
) -> RetrievalEvaluation:
    """Measure systems over an index; a system that can rank all patients has an exact RR.

    Reports the queries that were left out, the judged notes that the index lacks (InputError where
    it lacks all), and the queries whose own note is dropped by `own_notes`. `keep_runs` also
    returns the hits of each system.
    """
    missing_notes = check_judged_notes(index, judged, monitor)
    own = find_own_notes(index, judged, own_notes, monitor)
    strategies = frozenset().union(*(chosen.system.strategies for chosen in systems.values()))
    evaluations: dict[str, Evaluation] = {}
    runs: dict[str, Run] = {}
    total = len(systems) * len(judged.qrels)
    with (
        monitor.progress("evaluating", total) as report,
        open_resources(
            strategies,
            index,
            generator=generator,
            vocabularies=vocabularies,
            monitor=monitor,
        ) as resources,
    ):
        builder, advance = SystemBuilder(index, resources), Accumulator(report)
        for name, settings in systems.items():
            evaluations[name], run, counts = evaluate_searcher(
                builder.build_searcher(settings, depth),
                judged.queries,
                judged.qrels,
                measures,
                depth=depth,
                exclude_self=own.dropped,
                on_progress=advance,
            )
            if keep_runs:
                runs[name] = run
    _report_left_out(counts, monitor)
    notes = judged.notes() | missing_notes | dict(own.notes)
    notes |= _system_notes(index, list(systems.values()), generator)
    return RetrievalEvaluation(evaluations, notes, runs)


def evaluate_runs(
    runs: Mapping[str, Run] | Sequence[Path | str],
    qrels: Qrels | Path | str,
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    own_notes: OwnNotesChoice = "auto",
    of_patients: bool = False,
    monitor: Monitor = LOG,
) -> RetrievalEvaluation:
    """Measure runs that exist, or TREC files of runs; several are compared with the first.

    A file's run is named by the file. Hits with the id of their query are dropped by `own_notes`:
    with "auto" where the queries are patients of the corpus's own collection (`of_patients`).
    Reports a run that is shallower than a measure reads or has no judged hit, and judged queries
    that a run lacks, which score 0. Raises UsageError for two files of one name.
    """
    notes = {"RR": "over the hits of each run"}
    if not isinstance(qrels, dict):
        notes["qrels"] = str(qrels)
        qrels = read_qrels(qrels)
    if not isinstance(runs, Mapping):
        notes["runs"] = ", ".join(map(str, runs))
        runs = _read_runs([Path(path) for path in runs])
    own = find_own_hits(runs.values(), qrels, own_notes, monitor, of_patients=of_patients)
    evaluations = {}
    for name, run in runs.items():
        _report_shallow_run(name, run, measures, monitor)
        _report_unjudged_run(name, run, qrels, monitor)
        evaluations[name] = evaluate_run(qrels, run, measures, exclude_self=own.dropped)
    return RetrievalEvaluation(evaluations, notes | dict(own.notes), runs)


def _read_runs(paths: Sequence[Path]) -> dict[str, Run]:
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise UsageError("two runs have the same file name", hint="rename one of the files")
    return {path.name: read_run(path) for path in paths}


def resolve_systems(
    names: Sequence[str],
    settings_files: Sequence[Path],
    *,
    rrf_k: float = 60,
    k1: float | None = None,
    b: float | None = None,
) -> dict[str, SystemSettings]:
    """Systems by the names that tables show: those named, then those of settings files.

    Without either it is plain BM25. Raises UsageError for two systems of one name.
    """
    parsed = [parse_system(name) for name in names or ([] if settings_files else ["bm25"])]
    systems = {str(system): SystemSettings(system, k1, b, rrf_k) for system in parsed}
    if len(systems) < len(parsed):
        raise UsageError("a system is named twice")
    for path in settings_files:
        tuned = parse_system_settings(read_tuned_settings(path).settings)
        name = f"{tuned} [{path.stem}]"
        if name in systems:
            raise UsageError(f"two files of settings are called `{path.stem}`")
        systems[name] = tuned
    return systems


def optimism_notes(
    settings_files: Sequence[Path], qrels: Qrels, monitor: Monitor = LOG
) -> dict[str, str]:
    """A note, and a warning, where settings were chosen by the judgements they are measured on."""
    chosen_here = [
        path.name for path in settings_files if was_tuned_on(read_tuned_settings(path), qrels)
    ]
    if not chosen_here:
        return {}
    note = f"{', '.join(chosen_here)}: tuned on these judgements, so its figures flatter it"
    monitor.warning(note)
    return {"tuning": note}


def _system_notes(
    index: PatientIndex, systems: Sequence[SystemSettings], generator: GeneratorSettings | None
) -> dict[str, str]:
    notes = index_notes(index, systems[0].k1, systems[0].b)
    fusions = [settings for settings in systems if settings.system.parts]
    if fusions:
        constants = ", ".join(f"{k:g}" for k in sorted({settings.rrf_k for settings in fusions}))
        notes["fusion"] = f"k of RRF {constants}; RR of a fusion is over its hits only"
    if any(uses_generator(settings.system.strategies) for settings in systems):
        notes["model"] = (generator or GeneratorSettings()).describe()
    return notes


def _report_left_out(counts: QueryCounts, monitor: Monitor) -> None:
    dropped, missing = counts.unjudged_dropped, counts.missing_queries
    if dropped:
        queries = count_noun(dropped, "query", "queries")
        monitor.notice(f"{queries} without judgements: left out")
    if missing:
        queries = count_noun(missing, "judged query", "judged queries")
        monitor.notice(f"{queries} without a text: score 0")


def _report_unjudged_run(name: str, run: Run, qrels: Qrels, monitor: Monitor) -> None:
    """Report judged queries that a run lacks, and a run none of whose hits is judged."""
    missing = sum(query_id not in run for query_id in qrels)
    if missing:
        queries = count_noun(missing, "judged query", "judged queries")
        monitor.notice(f"{name}: {queries} not in this run: score 0")
    if not any(hit.doc_id in qrels.get(query_id, ()) for query_id in run for hit in run[query_id]):
        monitor.warning(f"{name}: no hit is judged; are run and judgements of the same notes?")


def _report_shallow_run(name: str, run: Run, measures: Sequence[str], monitor: Monitor) -> None:
    deepest = max((len(hits) for hits in run.values()), default=0)
    needed = required_depth(parse_measures(measures))
    if deepest < needed:
        monitor.notice(
            f"{name}: at most {deepest:,} hits a query, and these measures read {needed:,}: what "
            "lies below is taken for not retrieved"
        )
