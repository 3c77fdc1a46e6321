"""Features of a cohort for the baselines: measurements in the window, one row per stay."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.cohorts.cohort import Cohort, read_batches

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STATISTICS = ("mean", "least", "greatest", "first", "last", "bins")
"""The statistics of a quantity over its bins; `bins` is the number of filled ones."""


class FeatureMatrix(NamedTuple):
    """A matrix (stays x names, float32), NaN where a quantity was not measured."""

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]


def extract_features(cohort: Cohort, *, min_share: float = 0.05) -> FeatureMatrix:
    """Age, sex (1 is female), six statistics per quantity, the mean of each medication, procedures.

    Only names that occur in `min_share` of the stays or more become features. A medication or a
    procedure that a stay lacks is 0; a procedure is 1 otherwise. No diagnosis and no outcome is
    among the features.
    """
    quantities, drugs, procedures = (
        _common_names(cohort, section, min_share)
        for section in ("charts", "medications", "procedures")
    )
    names = [
        *("age", "female"),
        *(f"{name}: {statistic}" for name in quantities for statistic in STATISTICS),
        *(f"{name}: given" for name in drugs),
        *(f"{name}: done" for name in procedures),
    ]
    matrix = np.full((len(cohort), len(names)), np.nan, dtype=np.float32)
    matrix[:, 0] = cohort.age
    matrix[:, 1] = [np.nan if sex is None else sex == "F" for sex in cohort.sex]
    charts = matrix[:, 2 : 2 + len(STATISTICS) * len(quantities)]
    charts[:, STATISTICS.index("bins") :: len(STATISTICS)] = 0
    treatments = matrix[:, 2 + len(STATISTICS) * len(quantities) :]
    treatments[:] = 0
    drug_means, procedure_flags = treatments[:, : len(drugs)], treatments[:, len(drugs) :]
    start = 0
    for batch in read_batches(cohort.path, ("charts", "bins", "medications", "procedures")):
        rows = slice(start, start + batch.num_rows)
        _fill_charts(charts[rows], batch, quantities)
        _fill_means(drug_means[rows], batch.column("medications"), drugs)
        _fill_flags(procedure_flags[rows], batch.column("procedures"), procedures)
        start += batch.num_rows
    return FeatureMatrix(tuple(names), matrix)


def _common_names(cohort: Cohort, section: str, min_share: float) -> dict[str, int]:
    """Name -> column of the names that occur in enough stays, in alphabetical order."""
    counts: Counter[str] = Counter()
    for batch in read_batches(cohort.path, (section,)):
        stays, names = _flatten(batch.column(section))
        if section != "procedures":
            names = names.field("name")
        counts.update(name for _, name in set(zip(stays.tolist(), names.to_pylist(), strict=True)))
    min_stays = min_share * len(cohort)
    common = sorted(name for name, count in counts.items() if count >= min_stays)
    return {name: column for column, name in enumerate(common)}


def _fill_charts(rows: Any, batch: "pa.RecordBatch", columns: Mapping[str, int]) -> None:
    """Six columns per quantity, from the bins; quantities of the same name count as the same."""
    stays, charts = _flatten(batch.column("charts"))
    chart_columns = [columns.get(name, -1) for name in charts.field("name").to_pylist()]
    starts = np.searchsorted(stays, np.arange(batch.num_rows))
    owners, bins = _flatten(batch.column("bins"))
    column = np.asarray(chart_columns, int)[starts[owners] + bins.field("chart").to_numpy()]
    for stay, quantity, values in _group_bins(
        owners[column >= 0],
        column[column >= 0],
        bins.field("number").to_numpy()[column >= 0],
        bins.field("value").to_numpy()[column >= 0],
    ):
        statistics = (values.mean(), values.min(), values.max(), values[0], values[-1], len(values))
        rows[stay, quantity * len(STATISTICS) : (quantity + 1) * len(STATISTICS)] = statistics


def _group_bins(
    stays: Ints, columns: Ints, numbers: Ints, values: Floats
) -> Iterator[tuple[int, int, Floats]]:
    """The values of each stay and column, in the order of their bins."""
    order = np.lexsort((numbers, columns, stays))
    stays, columns, values = stays[order], columns[order], values[order]
    changes = np.flatnonzero((np.diff(stays) != 0) | (np.diff(columns) != 0)) + 1
    bounds = [0, *changes.tolist(), len(values)]
    for start, end in pairwise(bounds):
        if end > start:
            yield int(stays[start]), int(columns[start]), values[start:end]


def _fill_means(rows: Any, column: "pa.ListArray", columns: Mapping[str, int]) -> None:
    stays, values = _flatten(column)
    names, means = values.field("name").to_pylist(), values.field("mean").to_pylist()
    for stay, name, mean in zip(stays.tolist(), names, means, strict=True):
        if name in columns and mean is not None:
            rows[stay, columns[name]] = mean


def _fill_flags(rows: Any, column: "pa.ListArray", columns: Mapping[str, int]) -> None:
    stays, names = _flatten(column)
    for stay, name in zip(stays.tolist(), names.to_pylist(), strict=True):
        if name in columns:
            rows[stay, columns[name]] = 1


def _flatten(column: "pa.ListArray") -> tuple[Ints, Any]:
    """The row of each entry of a column of lists, and the entries."""
    lengths = column.value_lengths().fill_null(0).to_numpy()
    return np.repeat(np.arange(len(column)), lengths), column.flatten()
