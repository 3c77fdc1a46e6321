"""Miniatures of the other sources of cohorts: PhysioNet 2012 and MEDS."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import small_mimic

READINGS = (
    *((1, "00:00", name, value) for name, value in (("RecordID", 1), ("Age", 54), ("Gender", 0))),
    *((1, "00:00", name, value) for name, value in (("Height", -1), ("ICUType", 4))),
    (1, "00:00", "Weight", -1),
    (1, "00:07", "HR", 70),
    (1, "01:37", "HR", 80),
    (1, "06:00", "HR", 80),
    (1, "48:00", "HR", 75),
    (1, "02:00", "MechVent", 1),
    (1, "03:00", "Urine", 200),
    *((2, "00:00", name, value) for name, value in (("RecordID", 2), ("Age", 80), ("Gender", -1))),
    (2, "00:00", "Weight", 81.5),
    (3, "00:00", "Gender", 1),
    (9, "00:00", "HR", 60),
)
OUTCOMES = ((1, 0), (2, 1), (3, -1), (4, 0), (2, 1))


def physionet(folder: Path) -> Path:
    """Set a as one long table."""
    small_mimic.put(folder / "set-a.csv.gz", "RecordID,Time,Parameter,Value", READINGS)
    small_mimic.put(folder / "Outcomes-a.csv", "RecordID,In-hospital_death", OUTCOMES)
    return folder


def physionet_stays(folder: Path, count: int) -> Path:
    """Set a with `count` stays of 48 hours; every third patient dies and has a faster pulse."""
    readings: list[tuple[int, str, str, float]] = []
    for record in range(1, count + 1):
        pulse = 70 + record % 7 + (20 if record % 3 == 0 else 0)
        readings += [(record, "00:00", "RecordID", record), (record, "00:00", "Age", 40 + record)]
        readings += [(record, "00:00", "Gender", record % 2), (record, "00:00", "ICUType", 3)]
        readings += [(record, f"{hour:02}:00", "HR", pulse + hour % 5) for hour in range(1, 48, 4)]
    outcomes = [(record, int(record % 3 == 0)) for record in range(1, count + 1)]
    small_mimic.put(folder / "set-a.csv.gz", "RecordID,Time,Parameter,Value", readings)
    small_mimic.put(folder / "Outcomes-a.csv", "RecordID,In-hospital_death", outcomes)
    return folder


def physionet_records(folder: Path) -> Path:
    """Set a as the challenge gives it: a file a record."""
    for record in {row[0] for row in READINGS}:
        rows = [row[1:] for row in READINGS if row[0] == record]
        small_mimic.put(folder / "set-a" / f"13{record}.txt", "Time,Parameter,Value", rows)
    outcomes = [(f"13{record}", died) for record, died in OUTCOMES]
    small_mimic.put(folder / "Outcomes-a.txt", "RecordID,In-hospital_death", outcomes)
    return folder


PREDICTION = datetime.fromisoformat("2150-01-03 12:00:00")


def _before(hours: float) -> datetime:
    return PREDICTION - timedelta(hours=hours)


EVENTS: tuple[tuple[int, datetime | None, str, float | None], ...] = (
    (1, None, "GENDER//F", None),
    (1, None, "RACE//WHITE", None),
    (1, datetime.fromisoformat("2090-01-01"), "MEDS_BIRTH", None),
    (1, _before(500), "DIAGNOSIS//ICD//10//I10", None),
    (1, _before(60), "ICU_ADMISSION//Medical ICU", None),
    (1, _before(49), "LAB//HR", 50),  # before the window
    (1, _before(48), "LAB//HR", 70),  # bin 0
    (1, _before(46.5), "LAB//HR", 80),  # bin 0
    (1, _before(40), "LAB//HR", 90),  # bin 4
    (1, _before(0), "LAB//HR", 90),  # at the prediction: the last bin
    (1, _before(-1), "LAB//HR", 10),  # after it
    (1, _before(20), "LAB//TEXT", None),
    (1, _before(20), "INFUSION_START//221906", 2.0),
    (1, _before(10), "INFUSION_START//221906", 3.0),
    (1, _before(10), "MEDICATION//Aspirin", None),
    (1, _before(9), "PROCEDURE//Vent", None),
    (1, _before(8), "SUBJECT_FLUID_OUTPUT//Foley", 100.0),
    (1, _before(-5), "DIAGNOSIS//ICD//10//J96", None),  # not known yet
    (1, _before(-9), "MEDS_DEATH", None),
    (2, datetime.fromisoformat("2140-01-01"), "MEDS_BIRTH", None),
    (2, _before(5), "LAB//HR", 100.0),
    (3, _before(5), "LAB//HR", 60.0),
    (3, _before(4), "MEDS_DEATH", None),
    (4, _before(5), "LAB//HR", 60.0),
)
LABELS: tuple[tuple[int, datetime | None, bool | None], ...] = (
    (1, PREDICTION, True),
    (2, PREDICTION, False),  # ten years old
    (3, PREDICTION, True),  # dead already
    (4, PREDICTION, False),
    (4, PREDICTION, False),  # again
    (4, PREDICTION + timedelta(days=1), None),
    (4, None, True),
    (5, PREDICTION, False),  # no events
)


def meds(folder: Path, time: Any = None) -> Path:
    """A MEDS folder with `labels.parquet` beside its data; needs pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    time = time or pa.timestamp("us")
    (folder / "data" / "train").mkdir(parents=True)
    (folder / "metadata").mkdir()
    kinds = (pa.int64(), time, pa.string(), pa.float32())
    for shard in (0, 1):
        columns = zip(*EVENTS[shard::2], strict=True)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
        table = pa.table(arrays, names=["subject_id", "time", "code", "numeric_value"])
        pq.write_table(table, folder / "data" / "train" / f"{shard}.parquet")
    codes = {"code": ["LAB//HR", "LAB//TEXT"], "description": ["Heart rate", None]}
    pq.write_table(pa.table(codes), folder / "metadata" / "codes.parquet")
    names = ("subject_id", "prediction_time", "boolean_value")
    label_kinds = (pa.int64(), pa.timestamp("us"), pa.bool_())
    columns = zip(*LABELS, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, label_kinds, strict=True)]
    pq.write_table(pa.table(arrays, names=names), folder / "labels.parquet")
    return folder
