"""The format of cohort files: Parquet, one row per stay, metadata as JSON.

Rows come in groups, so that a cohort of any size is written and read in bounded memory.
"""

from typing import TYPE_CHECKING

from patientdx.capabilities import require_package

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = b"patientdx.cohort"
VERSION = 1
ROW_GROUP = 1024
"""Stays in a row group."""


def file_schema() -> "pa.Schema":
    """The columns of a cohort file."""
    require_package("pyarrow", "mortality")
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    means = pa.list_(pa.struct([("name", text), ("mean", pa.float64())]))
    bins = pa.struct([("chart", pa.int32()), ("number", pa.int16()), ("value", pa.float32())])
    return pa.schema(
        [
            *((name, text) for name in ("stay_id", "subject_id")),
            ("died", pa.bool_()),
            ("age", pa.float64()),
            *((name, text) for name in ("sex", "unit", "race", "insurance")),
            *((name, texts) for name in ("diagnosis_codes", "diagnoses")),
            *((name, means) for name in ("charts", "medications")),
            *((name, texts) for name in ("procedures", "outputs")),
            ("bins", pa.list_(bins)),
        ]
    )
