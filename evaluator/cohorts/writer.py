"""Writes cohort files atomically, readable by their owner alone."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import patientdx
from patientdx.capabilities import require_package
from patientdx.formats import atomic_writer

from .file_format import METADATA_KEY, ROW_GROUP, VERSION, file_schema
from .metadata import CohortMeta
from .stay import Stay

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def open_cohort_writer(path: Path) -> Iterator["CohortWriter"]:
    """A writer of stays in tables; the file appears when the block ends without an error."""
    require_package("pyarrow", "mortality")
    import pyarrow.parquet as pq

    with (
        atomic_writer(path, "wb", private=True) as out,
        pq.ParquetWriter(out, file_schema(), compression="zstd") as writer,
    ):
        yield CohortWriter(writer)


class CohortWriter:
    """Writes row groups; `finish` must be called once, last."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, table: "pa.Table") -> None:
        """Appends stays; columns are cast to those of the file."""
        columns = file_schema()
        self._writer.write_table(table.select(columns.names).cast(columns))

    def finish(self, meta: CohortMeta) -> None:
        """Adds the metadata."""
        value = asdict(meta) | {"format": VERSION, "version": patientdx.__version__}
        self._writer.add_key_value_metadata({METADATA_KEY: json.dumps(value).encode()})


def write_cohort(path: Path, stays: Iterable[Stay], meta: CohortMeta) -> None:
    """Writes stays, a row group in memory at a time."""
    require_package("pyarrow", "mortality")
    import pyarrow as pa

    columns, remaining = file_schema(), iter(stays)
    with open_cohort_writer(path) as writer:
        while rows := [_to_row(stay) for stay in islice(remaining, ROW_GROUP)]:
            writer.add(pa.Table.from_pylist(rows, schema=columns))
        writer.finish(meta)


def _to_row(stay: Stay) -> dict[str, Any]:
    row = vars(stay).copy()
    for name in ("charts", "medications", "bins"):
        row[name] = [entry._asdict() for entry in row[name]]
    return row
