"""Numbers of a cohort for baselines: what was measured in the window, a row a stay."""

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
"""What is told of a quantity: of its bins, but for `bins`, which is how many were filled."""


class Features(NamedTuple):
    """A matrix (stays x names, float32), NaN where a quantity was not measured."""

    names: tuple[str, ...]
    matrix: npt.NDArray[np.float32]


def features(cohort: Cohort, *, min_share: float = 0.05) -> Features:
    """Age, sex (1 is female), six statistics of every quantity, the mean of every medication.

    A name counts that occurs in `min_share` of the stays or more. A medication that was not given
    is 0, as is a procedure that was not done (else 1). No diagnosis and no outcome is among them.
    """
    columns = _common(cohort, "charts", min_share)
    drugs, done = (
        _common(cohort, "medications", min_share),
        _common(cohort, "procedures", min_share),
    )
    names = [
        *("age", "female"),
        *(f"{name}: {what}" for name in columns for what in STATISTICS),
        *(f"{name}: given" for name in drugs),
        *(f"{name}: done" for name in done),
    ]
    matrix = np.full((len(cohort), len(names)), np.nan, dtype=np.float32)
    matrix[:, 0] = cohort.age
    matrix[:, 1] = [np.nan if sex is None else sex == "F" for sex in cohort.sex]
    charts = matrix[:, 2 : 2 + len(STATISTICS) * len(columns)]
    charts[:, STATISTICS.index("bins") :: len(STATISTICS)] = 0
    flags = matrix[:, 2 + len(STATISTICS) * len(columns) :]
    flags[:] = 0
    given, performed = flags[:, : len(drugs)], flags[:, len(drugs) :]
    at = 0
    for batch in read_batches(cohort.path, ("charts", "bins", "medications", "procedures")):
        rows = slice(at, at + batch.num_rows)
        _fill_charts(charts[rows], batch, columns)
        _fill_means(given[rows], batch.column("medications"), drugs)
        _fill_flags(performed[rows], batch.column("procedures"), done)
        at += batch.num_rows
    return Features(tuple(names), matrix)


def _common(cohort: Cohort, section: str, min_share: float) -> dict[str, int]:
    """The names of enough stays in order, and the place of each."""
    counts: Counter[str] = Counter()
    for batch in read_batches(cohort.path, (section,)):
        stays, names = _flat(batch.column(section))
        if section != "procedures":
            names = names.field("name")
        counts.update(name for _, name in set(zip(stays.tolist(), names.to_pylist(), strict=True)))
    least = min_share * len(cohort)
    common = sorted(name for name, count in counts.items() if count >= least)
    return {name: at for at, name in enumerate(common)}


def _fill_charts(rows: Any, batch: "pa.RecordBatch", columns: Mapping[str, int]) -> None:
    """Six columns a quantity, from the bins; two quantities of one name count as one."""
    stays, charts = _flat(batch.column("charts"))
    known = np.asarray([columns.get(name, -1) for name in charts.field("name").to_pylist()], int)
    starts = np.searchsorted(stays, np.arange(batch.num_rows))
    owners, bins = _flat(batch.column("bins"))
    column = known[starts[owners] + bins.field("chart").to_numpy()]
    for stay, at, values in _groups(
        owners[column >= 0],
        column[column >= 0],
        bins.field("number").to_numpy()[column >= 0],
        bins.field("value").to_numpy()[column >= 0],
    ):
        told = (values.mean(), values.min(), values.max(), values[0], values[-1], len(values))
        rows[stay, at * len(STATISTICS) : (at + 1) * len(STATISTICS)] = told


def _groups(
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
    stays, values = _flat(column)
    names, means = values.field("name").to_pylist(), values.field("mean").to_pylist()
    for stay, name, mean in zip(stays.tolist(), names, means, strict=True):
        if name in columns and mean is not None:
            rows[stay, columns[name]] = mean


def _fill_flags(rows: Any, column: "pa.ListArray", columns: Mapping[str, int]) -> None:
    stays, names = _flat(column)
    for stay, name in zip(stays.tolist(), names.to_pylist(), strict=True):
        if name in columns:
            rows[stay, columns[name]] = 1


def _flat(column: "pa.ListArray") -> tuple[Ints, Any]:
    """The entries of all lists of a batch in a row, and the row of each."""
    lengths = column.value_lengths().fill_null(0).to_numpy()
    return np.repeat(np.arange(len(column)), lengths), column.flatten()
