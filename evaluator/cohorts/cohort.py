"""An open cohort file: short columns in memory, whole stays read on demand."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from patientdx.capabilities import require_package
from patientdx.errors import InputError

from .file_format import METADATA_KEY, ROW_GROUP, VERSION, file_schema
from .metadata import CohortMeta, FlowStep
from .stay import Bin, Measurement, Stay

if TYPE_CHECKING:
    import pyarrow as pa

_SHORT_COLUMNS = ("stay_id", "subject_id", "died", "age", "sex", "unit")
_HINT = "make one with `patientdx cohort mimic-iv FOLDER --into cohort.parquet`"


@dataclass(frozen=True, repr=False, eq=False)
class Cohort:
    """A cohort file. Its short columns are in memory; iterating reads whole stays.

    Arrays and tuples have one entry per stay, in the order of the file; `age` is NaN where unknown.
    """

    path: Path
    meta: CohortMeta
    stay_ids: tuple[str, ...]
    subject_ids: tuple[str, ...]
    died: npt.NDArray[np.bool_]
    age: npt.NDArray[np.float64]
    sex: tuple[str | None, ...]
    unit: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.stay_ids)

    def __iter__(self) -> Iterator[Stay]:
        """The stays in order, one row group in memory at a time."""
        for batch in read_batches(self.path, file_schema().names):
            yield from (_to_stay(row) for row in batch.to_pylist())

    @property
    def deaths(self) -> int:
        """Number of stays that ended in death."""
        return int(self.died.sum())

    @property
    def one_class(self) -> bool:
        """True where all died or all lived, so that AUROC is undefined."""
        return self.deaths in {0, len(self)}


def read_cohort(path: Path) -> Cohort:
    """Opens a cohort file. Raises InputError for other files and for later versions."""
    with _open_parquet(path) as file:
        meta = _parse_metadata(path, file.metadata.metadata or {})
        columns = file.read(columns=list(_SHORT_COLUMNS)).to_pydict()
    age = [np.nan if value is None else value for value in columns["age"]]
    return Cohort(
        path=path,
        meta=meta,
        stay_ids=tuple(columns["stay_id"]),
        subject_ids=tuple(columns["subject_id"]),
        died=np.asarray(columns["died"], dtype=np.bool_),
        age=np.asarray(age, dtype=np.float64),
        sex=tuple(columns["sex"]),
        unit=tuple(columns["unit"]),
    )


def read_batches(path: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    """Some columns of a cohort file, at most `ROW_GROUP` rows at a time."""
    with _open_parquet(path) as file:
        yield from file.iter_batches(ROW_GROUP, columns=list(columns))


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    require_package("pyarrow", "mortality")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file", hint=_HINT) from None
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        raise InputError(f"{path}: this is no cohort file, or it is damaged", hint=_HINT) from None


def _parse_metadata(path: Path, metadata: dict[bytes, bytes]) -> CohortMeta:
    if METADATA_KEY not in metadata:
        raise InputError(f"{path}: this Parquet file is no cohort", hint=_HINT)
    value = json.loads(metadata[METADATA_KEY])
    if value.pop("format") > VERSION:
        raise InputError(f"{path}: written by a later version", hint="upgrade PatientDx")
    flow = tuple(FlowStep(*step) for step in value.pop("flow"))
    return CohortMeta(**value | {"flow": flow, "notes": tuple(value["notes"])})


def _to_stay(row: dict[str, Any]) -> Stay:
    for name in ("diagnosis_codes", "diagnoses", "procedures", "outputs"):
        row[name] = tuple(row[name])
    for name in ("charts", "medications"):
        row[name] = tuple(_to_measurement(**entry) for entry in row[name])
    row["bins"] = tuple(Bin(**entry) for entry in row["bins"])
    return Stay(**row)


def _to_measurement(name: str, mean: float | None) -> Measurement:
    return Measurement(name, math.nan if mean is None else mean)
