"""Miniature folders of OMOP and MIMIC tables, as they are published, missing values too."""

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]

OMOP_NOTE: Table = (
    (
        "note_id", "person_id", "note_date", "note_datetime", "note_type_concept_id",
        "note_class_concept_id", "note_title", "note_text", "encoding_concept_id",
        "language_concept_id", "provider_id", "visit_occurrence_id", "visit_detail_id",
        "note_source_value", "note_event_id", "note_event_field_concept_id",
    ),
    (
        (1, 42, "2024-03-01", "", 32831, 706391, "Discharge", "Cirrhosis with ascites.",
         32678, 4180186, "", 7, "", "", "", ""),
        (2, 42, "2024-04-11", "2024-04-11 10:00:00", 32831, 706391, "", "Ascites again.",
         32678, 4180186, "", "", "", "", "", ""),
        (3, 43, "2024-05-02", "", 32831, 706391, "", "Heart failure, ascites.",
         32678, 4180186, "", "", "", "", "", ""),
        (4, 44, "2024-05-09", "", 32831, 706391, "", "A shuffling gait.",
         32678, 4180186, "", "", "", "", "", ""),
        (5, 99, "2024-05-10", "", 32831, 706391, "", "Nobody in PERSON.",
         32678, 4180186, "", "", "", "", "", ""),
    ),
)  # fmt: skip
OMOP_PERSON: Table = (
    [
        "person_id",
        "gender_concept_id",
        "year_of_birth",
        "month_of_birth",
        "day_of_birth",
        "birth_datetime",
        "gender_source_value",
    ],
    (
        (42, 8532, 1971, 4, 11, "", "F"),
        (43, 8507, 1960, "", "", "", ""),
        (44, 0, "", "", "", "1950-05-10 00:00:00", "M"),
    ),
)
OMOP_EXPECTED: dict[str, tuple[str, Any, Any]] = {
    "1": ("42", 52 + 325 / 366, "F"),
    "2": ("42", 53.0, "F"),
    "3": ("43", 64.0, "M"),
    "4": ("44", 73 + 365 / 366, "M"),
    "5": ("99", None, None),
}
"""note -> (patient, age, sex), worked out by hand."""

_IV = [
    "note_id",
    "subject_id",
    "hadm_id",
    "note_type",
    "note_seq",
    "charttime",
    "storetime",
    "text",
]
DISCHARGE: Table = (
    _IV,
    (
        ("101-DS-1", 101, 9001, "DS", 1, "2180-05-07 00:00:00", "2180-05-09 15:26:00",
         "Sex:   F\n\nCirrhosis with ascites.\n"),
        ("101-DS-2", 101, 9002, "DS", 2, "2183-06-27 00:00:00", "", 'Ascites\n"again".'),
        ("102-DS-3", 102, 9003, "DS", 3, "2160-11-25 00:00:00", "", "Heart failure."),
    ),
)  # fmt: skip
RADIOLOGY: Table = (
    _IV,
    (
        ("102-RR-4", 102, "", "RR", 4, "2150-01-01 09:30:00", "", "Lungs clear."),
        ("103-RR-5", 103, "", "RR", 5, "2181-01-01 09:30:00", "", "No fracture."),
    ),
)
PATIENTS_IV: Table = (
    ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"],
    (
        (101, "F", 52, 2180, "2014 - 2016", ""),
        (102, "M", 91, 2158, "2014 - 2016", "2161-01-01"),
    ),
)
MIMIC_IV_EXPECTED: dict[str, tuple[str, Any, Any]] = {
    "101-DS-1": ("101", 52, "F"),
    "101-DS-2": ("101", 55, "F"),
    "102-DS-3": ("102", ">91", "M"),
    "102-RR-4": ("102", ">81", "M"),
    "103-RR-5": ("103", None, None),
}

NOTEEVENTS: Table = (
    [
        "ROW_ID",
        "SUBJECT_ID",
        "HADM_ID",
        "CHARTDATE",
        "CHARTTIME",
        "STORETIME",
        "CATEGORY",
        "DESCRIPTION",
        "CGID",
        "ISERROR",
        "TEXT",
    ],
    (
        (1, 70, 170, "2150-01-01", "2150-01-01 08:00:00", "", "Nursing", "Report", 5, "", "Fever."),
        (2, 70, 170, "2150-01-02", "", "", "Nursing", "Report", 5, 1, "Of another patient."),
        (3, 71, 171, "", "", "", "Physician ", "Note", "", "", "Chills."),
        (4, 72, "", "2150-02-02", "", "", "ECG", "Report", "", "", "Sinus rhythm."),
        (5, 73, "", "2150-02-02", "", "", "ECG", "Report", "", "0", "Fibrillation."),
    ),
)
PATIENTS_III: Table = (
    ["ROW_ID", "SUBJECT_ID", "GENDER", "DOB", "DOD", "DOD_HOSP", "DOD_SSN", "EXPIRE_FLAG"],
    (
        (1, 70, "F", "2100-01-02 00:00:00", "", "", "", 0),
        (2, 71, "M", "2090-03-05 00:00:00", "", "", "", 0),
        (3, 72, "M", "1850-02-02 00:00:00", "", "", "", 1),
    ),
)
ADMISSIONS_III: Table = (
    ["ROW_ID", "SUBJECT_ID", "HADM_ID", "ADMITTIME", "DISCHTIME"],
    ((1, 71, 171, "2150-03-05 10:00:00", "2150-03-09 10:00:00"),),
)
MIMIC_III_EXPECTED: dict[str, tuple[str, Any, Any]] = {
    "1": ("70", 49 + 364 / 365, "F"),
    "2": ("70", 50.0, "F"),
    "3": ("71", 60.0, "M"),
    "4": ("72", ">89", "M"),
    "5": ("73", None, None),
}


def write_table(path: Path, table: Table, form: str = ".csv") -> None:
    """Writes a table as CSV, as packed CSV or, with pyarrow, as Parquet without empty values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names, rows = table
    target = path.with_name(path.name + form)
    if form == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        values = [
            {name: None if value == "" else value for name, value in zip(names, row, strict=True)}
            for row in rows
        ]
        pq.write_table(pa.Table.from_pylist(values), target)
        return
    text = io.StringIO()
    csv.writer(text).writerows([names, *rows])
    data = text.getvalue().encode()
    target.write_bytes(gzip.compress(data) if form.endswith(".gz") else data)


def write_omop(folder: Path, form: str = ".csv") -> Path:
    """A folder of OMOP's NOTE and PERSON."""
    write_table(folder / "NOTE", OMOP_NOTE, form)
    write_table(folder / "person", OMOP_PERSON, form)
    return folder


def write_mimic_iv(folder: Path) -> Path:
    """A folder with MIMIC-IV-Note and hosp/patients."""
    write_table(folder / "note" / "discharge", DISCHARGE, ".csv.gz")
    write_table(folder / "note" / "radiology", RADIOLOGY, ".csv.gz")
    write_table(folder / "hosp" / "patients", PATIENTS_IV, ".csv.gz")
    return folder


def write_mimic_iii(folder: Path) -> Path:
    """A folder with MIMIC-III's NOTEEVENTS, PATIENTS and ADMISSIONS."""
    write_table(folder / "NOTEEVENTS", NOTEEVENTS, ".csv.gz")
    write_table(folder / "PATIENTS", PATIENTS_III)
    write_table(folder / "ADMISSIONS", ADMISSIONS_III)
    return folder
