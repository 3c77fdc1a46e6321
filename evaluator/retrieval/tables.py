"""What a table holds: systems, their figures, how they compare with the first; a CSV by query."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluator.statistics.intervals import Interval, bootstrap_interval
from patientdx.errors import EvaluationError

from .comparison import Comparison
from .evaluation import Evaluation

CAPTION = "For research use; not a medical device."

Extra = str | float | None
"""A cell beside the figures, such as a count; None where there is nothing to say."""


@dataclass(frozen=True)
class Figure:
    """A mean over queries and its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class ReportRow:
    """A system, the number of queries it was judged on, and its figure for each measure.

    `extra` holds further cells by column name; `dataset` is the set, where there are several.
    """

    system: str
    n: int
    figures: Mapping[str, Figure]
    extra: Mapping[str, Extra] = field(default_factory=dict)
    dataset: str = ""


@dataclass(frozen=True)
class Table:
    """Systems on the same measures, and where there are several, how they compare with one.

    `notes` say what was measured (corpus, split, settings), `method` how intervals and tests
    were made.
    """

    measures: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    notes: Mapping[str, str]
    method: str
    comparisons: tuple[Comparison, ...] = ()

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Names of the further columns of all rows, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.extra))


def report_row(
    system: str,
    evaluation: Evaluation,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> ReportRow:
    """The means of a system with their bootstrap intervals. Raises EvaluationError."""
    figures = {}
    for measure in evaluation.measures:
        values = evaluation.values(measure)
        interval = bootstrap_interval(values, level=level, resamples=resamples, seed=seed)
        figures[measure] = Figure(evaluation.mean(measure), interval)
    return ReportRow(system, len(evaluation.per_query), figures)


def build_table(
    evaluations: Mapping[str, Evaluation],
    notes: Mapping[str, str],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Table:
    """A row for each system, in the order given.

    Raises EvaluationError for no system, and for systems with different measures.
    """
    found = {evaluation.measures for evaluation in evaluations.values()}
    if len(found) != 1:
        raise EvaluationError("a table needs one system or more, all with the same measures")
    rows = [
        report_row(system, evaluation, level=level, resamples=resamples, seed=seed)
        for system, evaluation in evaluations.items()
    ]
    method = (
        f"[low, high]: {level * 100:g}% interval of the mean over n queries, percentile bootstrap,"
        f" {resamples:,} resamples, seed {seed}."
    )
    return Table(found.pop(), tuple(rows), dict(notes), method)


def per_query_csv(evaluations: Mapping[str, Evaluation]) -> str:
    """Every value of every system: a header, then `system,query_id,measure,value` rows.

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
