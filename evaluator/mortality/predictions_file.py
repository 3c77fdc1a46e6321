"""Predictions as meds-evaluation 0.0.6 reads them: Parquet, for its owner alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from patientdx.capabilities import require_package
from patientdx.formats import atomic_writer

from .predictions import Outcomes, Prediction

PREDICTION_TIME = datetime(1970, 1, 1) + timedelta(hours=48)  # noqa: DTZ001 - MEDS has no zone
"""A cohort has no dates; this stands for 48 hours after every admission."""


def write_predictions(path: Path | str, prediction: Prediction, outcomes: Outcomes) -> None:
    """Writes one row per stay, in the order of the cohort.

    The columns are `subject_id`, `prediction_time` (always `PREDICTION_TIME`), `boolean_value`
    (died), `predicted_boolean_value` (the probability is 1/2 or more) and
    `predicted_boolean_probability`; meds-evaluation allows no other.
    """
    require_package("pyarrow", "mortality")
    import pyarrow as pa
    import pyarrow.parquet as pq

    probabilities = prediction.probability
    table = pa.table(
        {
            "subject_id": pa.array(subject_numbers(outcomes.patients), pa.int64()),
            "prediction_time": pa.array([PREDICTION_TIME] * len(outcomes), pa.timestamp("us")),
            "boolean_value": pa.array(outcomes.died, pa.bool_()),
            "predicted_boolean_value": pa.array(probabilities >= 0.5, pa.bool_()),
            "predicted_boolean_probability": pa.array(probabilities, pa.float32()),
        }
    )
    with atomic_writer(path, "wb", private=True) as out:
        pq.write_table(table, out)


def subject_numbers(patients: Sequence[str]) -> list[int]:
    """Patient ids as MEDS requires them, int64: numbers as they are, else a hash of each id.

    Where any id is no number all are hashed, so that a hash cannot equal a number.
    """
    numbers = [
        int(patient)
        for patient in patients
        if patient.isascii() and patient.isdigit() and len(patient) < 19
    ]
    if len(numbers) == len(patients) and len(set(numbers)) == len(set(patients)):
        return numbers
    return [
        int.from_bytes(blake2b(patient.encode(), digest_size=8).digest(), "big") >> 1
        for patient in patients
    ]
