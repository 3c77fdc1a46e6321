"""The cohort file: Parquet, one row a stay, how it was made in the metadata, for its owner alone.

Rows of a file come in groups, so that a cohort of any size is written and read a part at a time.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import patientdx
from patientdx.capabilities import require
from patientdx.errors import InputError
from patientdx.formats import atomic_writer

from .cohort import Bin, Cohort, CohortMeta, FlowStep, Measured, Stay

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = b"patientdx.cohort"
VERSION = 1
ROWS = 1024
_LIGHT = ("stay_id", "subject_id", "died", "age", "sex", "unit")


def schema() -> "pa.Schema":
    """The columns of a cohort file."""
    require("pyarrow", "mortality")
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    measured = pa.list_(pa.struct([("name", text), ("mean", pa.float64())]))
    bins = pa.struct([("chart", pa.int32()), ("number", pa.int16()), ("value", pa.float32())])
    return pa.schema(
        [
            *((name, text) for name in ("stay_id", "subject_id")),
            ("died", pa.bool_()),
            ("age", pa.float64()),
            *((name, text) for name in ("sex", "unit", "race", "insurance")),
            *((name, texts) for name in ("diagnosis_codes", "diagnoses")),
            *((name, measured) for name in ("charts", "medications")),
            *((name, texts) for name in ("procedures", "outputs")),
            ("bins", pa.list_(bins)),
        ]
    )


@contextmanager
def cohort_writer(path: Path) -> Iterator["CohortWriter"]:
    """Takes tables of stays, and in the end how they were made; the file appears as one."""
    require("pyarrow", "mortality")
    import pyarrow.parquet as pq

    with (
        atomic_writer(path, "wb", private=True) as out,
        pq.ParquetWriter(out, schema(), compression="zstd") as writer,
    ):
        yield CohortWriter(writer)


class CohortWriter:
    """Writes row groups; `finish` must be called once, last."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, table: "pa.Table") -> None:
        """Appends stays; columns are cast to those of the file."""
        columns = schema()
        self._writer.write_table(table.select(columns.names).cast(columns))

    def finish(self, meta: CohortMeta) -> None:
        """Adds how the cohort was made."""
        value = asdict(meta) | {"format": VERSION, "version": patientdx.__version__}
        self._writer.add_key_value_metadata({FORMAT: json.dumps(value).encode()})


def write_cohort(path: Path, stays: Iterable[Stay], meta: CohortMeta) -> None:
    """Writes stays held in memory or made one by one."""
    require("pyarrow", "mortality")
    import pyarrow as pa

    columns, rest = schema(), iter(stays)
    with cohort_writer(path) as writer:
        while rows := [_row(stay) for stay in islice(rest, ROWS)]:
            writer.add(pa.Table.from_pylist(rows, schema=columns))
        writer.finish(meta)


def read_cohort(path: Path) -> Cohort:
    """Opens a cohort file. Raises InputError where it is none, or is of a later version."""
    with _parquet(path) as file:
        meta = _meta(path, file.metadata.metadata or {})
        light = file.read(columns=list(_LIGHT)).to_pydict()
    age = [np.nan if value is None else value for value in light["age"]]
    return Cohort(
        path=path,
        meta=meta,
        stay_ids=tuple(light["stay_id"]),
        subject_ids=tuple(light["subject_id"]),
        died=np.asarray(light["died"], dtype=np.bool_),
        age=np.asarray(age, dtype=np.float64),
        sex=tuple(light["sex"]),
        unit=tuple(light["unit"]),
    )


def read_stays(path: Path) -> Iterator[Stay]:
    """The stays of a file in order, a few in memory at a time."""
    for batch in read_batches(path, schema().names):
        yield from (_stay(row) for row in batch.to_pylist())


def read_batches(path: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    """Some columns of a file, a few rows at a time."""
    with _parquet(path) as file:
        yield from file.iter_batches(ROWS, columns=list(columns))


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    require("pyarrow", "mortality")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", hint=_MAKE) from None
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        raise InputError(f"{path}: this is no cohort file, or it is damaged", hint=_MAKE) from None


_MAKE = "make one with `patientdx cohort mimic-iv FOLDER --into cohort.parquet`"


def _meta(path: Path, metadata: dict[bytes, bytes]) -> CohortMeta:
    if FORMAT not in metadata:
        raise InputError(f"{path}: this Parquet file is no cohort", hint=_MAKE)
    value = json.loads(metadata[FORMAT])
    if value.pop("format") > VERSION:
        raise InputError(f"{path}: written by a later version", hint="upgrade PatientDx")
    flow = tuple(FlowStep(*step) for step in value.pop("flow"))
    return CohortMeta(**value | {"flow": flow, "notes": tuple(value["notes"])})


def _row(stay: Stay) -> dict[str, Any]:
    row = vars(stay).copy()
    for name in ("charts", "medications", "bins"):
        row[name] = [one._asdict() for one in row[name]]
    return row


def _stay(row: dict[str, Any]) -> Stay:
    for name in ("diagnosis_codes", "diagnoses", "procedures", "outputs"):
        row[name] = tuple(row[name])
    for name in ("charts", "medications"):
        row[name] = tuple(_measured(**one) for one in row[name])
    row["bins"] = tuple(Bin(one["chart"], one["number"], one["value"]) for one in row["bins"])
    return Stay(**row)


def _measured(name: str, mean: float | None) -> Measured:
    return Measured(name, math.nan if mean is None else mean)
