"""Rows of Parquet and Arrow (Feather) files, a few at a time; pyarrow reads the files."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from patientdx.capabilities import require_package
from patientdx.errors import InputError
from patientdx.formats.rows import Row
from patientdx.formats.tables import check_names

from .cells import plain_value
from .row_source import PlainSource, Remarks

PARQUET = b"PAR1"
ARROW_FILE = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"

_ROWS = 32  # turned into Python values at a time; a text may have 64 MiB
_BUFFER = 1 << 20  # bytes of a column read at a time
_LARGEST = 1 << 26  # bytes of one text
_TOO_LARGE = "a text has more than 64 MiB"


def is_arrow_table(head: bytes) -> bool:
    """True for the first bytes of a Parquet file, an Arrow file or an Arrow stream."""
    return head.startswith((PARQUET, ARROW_FILE, ARROW_STREAM))


@contextmanager
def open_arrow_table(path: Path, head: bytes, remarks: Remarks) -> Iterator[PlainSource]:
    """The rows of a Parquet or Arrow file, numbered from 1.

    Raises ExtraMissingError without pyarrow and InputError for a file that is damaged.
    """
    require_package("pyarrow", "parquet")
    with ExitStack() as files, _one_sentence(path):
        schema, batches = (
            _parquet(path, files) if head.startswith(PARQUET) else _arrow(path, head, files)
        )
        names = list(schema.names)
        check_names(str(path), 1, names)
        yield PlainSource(str(path), _rows(path, batches, remarks), remarks, names, 1)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turns the many errors of pyarrow into an InputError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(
            f"{path}: this Parquet or Arrow file is damaged, or of a kind that pyarrow cannot read",
            hint="write it again, or convert it to CSV or JSON lines",
        ) from error


def _parquet(path: Path, files: ExitStack) -> tuple[Any, Iterator[Any]]:
    import pyarrow.parquet as pq

    table = files.enter_context(pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False))
    return table.schema_arrow, table.iter_batches(batch_size=_ROWS, use_threads=False)


def _arrow(path: Path, head: bytes, files: ExitStack) -> tuple[Any, Iterator[Any]]:
    import pyarrow as pa
    from pyarrow import ipc

    data = files.enter_context(pa.OSFile(str(path)))
    if head.startswith(ARROW_STREAM):
        stream = files.enter_context(_entered(ipc.open_stream(data)))
        return stream.schema, iter(stream)
    table = files.enter_context(_entered(ipc.open_file(data)))
    batches = (table.get_batch(number) for number in range(table.num_record_batches))
    return table.schema, batches


def _entered(reader: Any) -> AbstractContextManager[Any]:
    """The reader as what mypy can see to be a context manager; pyarrow has no types."""
    manager: AbstractContextManager[Any] = reader
    return manager


def _rows(path: Path, batches: Iterator[Any], remarks: Remarks) -> Iterator[tuple[int, Row]]:
    number = 0
    with _one_sentence(path):
        for batch in batches:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, _ROWS):
                for row in _plain_rows(batch.slice(start, _ROWS)):
                    number += 1
                    if any(
                        isinstance(value, str) and len(value) > _LARGEST for value in row.values()
                    ):
                        remarks.reject(str(path), number, _TOO_LARGE)
                    else:
                        yield number, row


def _plain_rows(batch: Any) -> Iterator[Row]:
    """The rows of a batch, with plain values."""
    names = batch.schema.names
    columns = [_plain_column(column) for column in batch.columns]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _plain_column(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        # Python's times end at microseconds; pyarrow refuses finer ones.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return [plain_value(value) for value in column.to_pylist()]
