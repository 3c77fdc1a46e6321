"""Tables of systems: their mean measures and comparisons with a baseline; a CSV by query."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluator.statistics.intervals import Interval, bootstrap_interval
from patientdx.errors import EvaluationError
from patientdx.wording import count_noun

from .comparison import Comparison
from .evaluation import Evaluation

Extra = str | float | None
"""A cell beside the measures, such as a count; None for an empty cell."""


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over queries and its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class ReportRow:
    """A system, the number of its judged queries, and the mean of each measure.

    `extra` holds further cells by column name; `dataset` names the set if there are several.
    """

    system: str
    n: int
    estimates: Mapping[str, MeanEstimate]
    extra: Mapping[str, Extra] = field(default_factory=dict)
    dataset: str = ""


@dataclass(frozen=True)
class Table:
    """Systems on the same measures, and their comparisons with a baseline.

    `notes` describe what was measured (corpus, split, settings), `method` how intervals and tests
    were computed.
    """

    measures: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    notes: Mapping[str, str]
    method: str
    comparisons: tuple[Comparison, ...] = ()

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Names of the extra columns of all rows, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.extra))


def build_report_row(
    system: str,
    evaluation: Evaluation,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> ReportRow:
    """The means of a system with their bootstrap intervals. Raises EvaluationError."""
    estimates = {}
    for measure in evaluation.measures:
        values = evaluation.values(measure)
        interval = bootstrap_interval(values, level=level, resamples=resamples, seed=seed)
        estimates[measure] = MeanEstimate(evaluation.mean(measure), interval)
    return ReportRow(system, len(evaluation.per_query), estimates)


def build_table(
    evaluations: Mapping[str, Evaluation],
    notes: Mapping[str, str],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Table:
    """One row per system, in order.

    Raises EvaluationError without systems, and for systems with different measures.
    """
    measures = {evaluation.measures for evaluation in evaluations.values()}
    if len(measures) != 1:
        raise EvaluationError("a table needs one system or more, all with the same measures")
    rows = [
        build_report_row(system, evaluation, level=level, resamples=resamples, seed=seed)
        for system, evaluation in evaluations.items()
    ]
    method = (
        f"[low, high]: {level * 100:g}% interval of the mean over n queries, percentile bootstrap,"
        f" {count_noun(resamples, 'resample')}, seed {seed}."
    )
    return Table(measures.pop(), tuple(rows), dict(notes), method)


def per_query_csv(evaluations: Mapping[str, Evaluation]) -> str:
    """All values of all systems as CSV: a header, then `system,query_id,measure,value` rows.

    Values are written in the shortest form that reads back as the same number.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("system", "query_id", "measure", "value"))
    for system, evaluation in evaluations.items():
        for query_id, values in evaluation.per_query.items():
            writer.writerows(
                (system, query_id, measure, values[measure]) for measure in evaluation.measures
            )
    return out.getvalue()
