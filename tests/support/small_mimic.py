"""A miniature MIMIC whose every value is worked out by hand, in the layouts of its versions."""

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

Rows = Sequence[Sequence[object]]

ARRIVAL = datetime.fromisoformat("2150-01-10 10:00:00")
"""When stay 21, whose values the tests check, begins; it lasts 54 hours to the second."""

HEART_RATE, PRESSURE, GLUCOSE, TEMPERATURE, WEIGHT, REPEATED = 101, 102, 103, 104, 105, 106
NOREPINEPHRINE, PROPOFOL, BOLUS = 201, 202, 203
VENTILATION, DIALYSIS, FOLEY = 301, 302, 401

ITEMS = (
    (HEART_RATE, "Heart Rate"),
    (PRESSURE, "Blood Pressure"),
    (GLUCOSE, "Glucose"),
    (TEMPERATURE, "Temperature"),
    (WEIGHT, "Weight"),
    (REPEATED, "Repeated"),
    (NOREPINEPHRINE, "Norepinephrine"),
    (PROPOFOL, "Propofol"),
    (BOLUS, "Bolus"),
    (VENTILATION, "Ventilation"),
    (DIALYSIS, "Dialysis"),
    (FOLEY, "Foley"),
)


def at(clock: str, arrival: datetime = ARRIVAL) -> str:
    """`H:MM` or `H:MM:SS` after an arrival, as MIMIC writes times."""
    sign = -1 if clock.startswith("-") else 1
    hours, minutes, *seconds = (int(part) for part in clock.lstrip("-").split(":"))
    passed = timedelta(hours=hours, minutes=minutes, seconds=seconds[0] if seconds else 0)
    return str(arrival + sign * passed)


def stays() -> Rows:
    """One stay for each rule; (subject, admission, stay, arrival, leaving)."""
    first = datetime.fromisoformat("2150-01-01 10:00:00")
    return (
        (1, 1001, 11, first, "2150-01-05 12:00:00"),  # died on the last day
        (2, 1002, 21, ARRIVAL, at("54:00")),  # exactly long enough
        (2, 1002, "21.0", ARRIVAL, at("54:00")),  # the same stay again, as pandas writes it
        (3, 1003, 31, ARRIVAL, at("53:59:59")),  # a second too short
        (4, 1004, 41, ARRIVAL, at("99:00")),  # 17 years old
        (5, 1005, 51, ARRIVAL, "2150-01-14 23:00:00"),  # dies on the day after leaving
        (6, 1006, 61, ARRIVAL, at("99:00")),  # dod is the day of arrival, at midnight before it
        (7, 1007, 71, ARRIVAL, "2150-01-09 10:00:00"),  # ends before it begins
        (7, 1007, 72, ARRIVAL, ""),  # no end
        (99, 1007, 81, ARRIVAL, at("99:00")),  # unknown patient
        (7, 1999, 91, ARRIVAL, at("99:00")),  # unknown admission
        (8, 1008, 95, ARRIVAL, at("99:00")),  # unknown age
        (7, 1007, "", ARRIVAL, at("99:00")),  # no id
    )


PATIENTS: Rows = (
    (1, "F", 70, "2150-01-05"),
    (2, "M", 50, ""),
    (3, "M", 60, ""),
    (4, "F", 17, ""),
    (5, "F", 91, "2150-01-15"),
    (6, "M", 40, "2150-01-10"),
    (7, "M", 30, ""),
    (8, "M", "", ""),
)

ADMISSIONS: Rows = (
    *(
        (1000 + subject, subject, "2150-02-01 00:00:00", "", "")
        for subject in (1, 3, 4, 5, 6, 7, 8)
    ),
    (1002, 2, "2150-02-01 00:00:00", "WHITE", "Medicare"),
    (2002, 2, "2149-12-01 00:00:00", "WHITE", "Medicare"),
)

DIAGNOSES: Rows = (
    (1002, 3, "4280", 9),  # its family goes to I50, which the stay has already
    (1002, 1, "I10", 10),
    (1002, 2, "I5020", 10),
    (1002, 4, "40390", 9),  # 403 -> I12
    (1002, 5, "V4581", 9),  # nowhere
    (2002, 1, "E119", 10),
    (1001, 1, "I10", 10),
)

TITLES: Rows = (
    ("I10", 10, "Hypertension"),
    ("I50", 10, "Heart failure"),
    ("I5020", 10, "Systolic heart failure"),
    ("I12", 10, "Hypertensive kidney disease"),
    ("E11", 10, "Diabetes"),
    ("4280", 9, "Congestive heart failure"),
)

ICD_MAP = "diagnosis_code\ticd10cm\n4281\tI501\n4280\tI509\n4280\tX99\n40301\tI120\nV4581\tNoDx\n"


def charts() -> Rows:
    """(stay, time, item, number, unit)."""
    return (
        *((21, at(clock), HEART_RATE, value, "bpm") for clock, value in HEART_RATES),
        (21, at("4:00"), PRESSURE, 100, "mmHg"),
        (21, at("4:01"), PRESSURE, 100, "mmHg"),
        (21, at("10:00"), PRESSURE, 50, "mmHg"),
        # 1 to 51: the 98th percentile is 50, and only 51 lies above it
        *((21, at(f"0:{value}"), GLUCOSE, value, "mg") for value in range(1, 50)),
        *((31, at(f"0:{value}"), GLUCOSE, value, "mg") for value in (50, 51)),
        *((41, at("0:30"), GLUCOSE, 10_000, "mg") for _ in range(30)),  # not an adult's
        *((21, at(f"1:{minute}"), TEMPERATURE, 98.5, "F") for minute in range(20)),
        (21, at("3:00"), TEMPERATURE, 37, "C"),  # 20 of 21 rows are in F: above 95 %
        *((21, at(f"1:{minute}"), WEIGHT, 80, "kg") for minute in range(19)),
        (21, at("9:00"), WEIGHT, 70, "lb"),  # 19 of 20: 95 %, not above it
        (21, at("0:10"), REPEATED, 1, ""),
        (21, at("0:10"), REPEATED, 1, ""),
        (21, at("0:20"), REPEATED, 4, ""),
        (21, at("0:30"), REPEATED, 4, ""),
        (21, at("0:40"), REPEATED, "", ""),
        (21, at("0:40"), REPEATED, "abc", ""),
        (21, at("0:40"), REPEATED, "inf", ""),
        (21, "yesterday", REPEATED, 3, ""),
        ("", at("0:40"), REPEATED, 3, ""),
        (77, at("0:40"), REPEATED, 3, ""),
    )


HEART_RATES = (
    ("-0:01", 90),  # before the stay
    ("0:00", 80),
    ("1:59:59", 90),
    ("5:00", 100),
    ("5:30", 100),
    ("47:59:59", 60),
    ("48:00", 70),  # after the window
    ("54:00", 70),  # after the stay
)


def medications() -> Rows:
    """(stay, start, end, item, order, amount, rate)."""
    return (
        (21, at("0:30"), at("5:10"), NOREPINEPHRINE, 1, 10, 1),
        (21, at("2:00"), at("4:00"), NOREPINEPHRINE, 2, 20, 3),
        (21, at("40:00"), at("70:00"), PROPOFOL, 3, 12, 2),
        (21, at("3:10"), at("3:50"), PROPOFOL, 4, 500, 5),  # within the hour
        (21, at("3:00"), at("9:00"), BOLUS, 5, 500, ""),  # no rate
        (21, at("-1:00"), at("9:00"), PROPOFOL, 6, 500, 5),
        (21, at("48:00"), at("53:00"), PROPOFOL, 7, 500, 5),
        (31, at("3:00"), at("9:00"), PROPOFOL, 8, 500, 5),
        (77, at("3:00"), at("9:00"), PROPOFOL, 9, 500, 5),
    )


PROCEDURES: Rows = ((21, "3:00", VENTILATION), (21, "4:00", VENTILATION), (21, "50:00", DIALYSIS))
OUTPUTS: Rows = ((21, "1:00", FOLEY), (21, "60:00", DIALYSIS), (31, "1:00", DIALYSIS))


def tables(race: str = "race") -> dict[str, tuple[str, Rows]]:
    """Every table of MIMIC-IV by its path in a folder: its header and rows."""
    timed = [(stay, at(str(clock)), item) for stay, clock, item in PROCEDURES]
    put_out = [(stay, at(str(clock)), item) for stay, clock, item in OUTPUTS]
    unit = [(*row[:3], "Medical ICU", *row[3:]) for row in stays()]
    return {
        "icu/icustays": ("subject_id,hadm_id,stay_id,first_careunit,intime,outtime", unit),
        "hosp/patients": ("subject_id,gender,anchor_age,dod", PATIENTS),
        "hosp/admissions": (f"hadm_id,subject_id,dischtime,{race},insurance", ADMISSIONS),
        "hosp/diagnoses_icd": ("hadm_id,seq_num,icd_code,icd_version", DIAGNOSES),
        "hosp/d_icd_diagnoses": ("icd_code,icd_version,long_title", TITLES),
        "icu/d_items": ("itemid,label", ITEMS),
        "icu/chartevents": ("stay_id,charttime,itemid,valuenum,valueuom", charts()),
        "icu/inputevents": (
            "stay_id,starttime,endtime,itemid,orderid,amount,rate",
            medications(),
        ),
        "icu/procedureevents": ("stay_id,starttime,itemid", timed),
        "icu/outputevents": ("stay_id,charttime,itemid", put_out),
    }


def put(path: Path, head: str, rows: Iterable[Iterable[object]]) -> None:
    """Writes a table as csv, or as csv.gz by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "wt", encoding="utf-8", newline="") as stream:
        stream.write(head + "\n")
        csv.writer(stream, lineterminator="\n").writerows(rows)


def mimic_iv(
    folder: Path,
    *,
    change: Mapping[str, tuple[str, Rows] | None] | None = None,
    suffix: str = ".csv.gz",
) -> Path:
    """Writes the miniature; `change` replaces tables or, with None, leaves them out."""
    for name, table in {**tables(), **(change or {})}.items():
        if table is not None:
            put(folder / f"{name}{suffix}", *table)
    return folder


def icd_map(folder: Path) -> Path:
    """A mapping of the ICD-9 codes of the miniature."""
    path = folder / "icd.txt"
    path.write_text(ICD_MAP, encoding="utf-8")
    return path


def mimic_iii(folder: Path) -> Path:
    """The same stays as MIMIC-III writes them: one folder, capitals, births instead of ages."""
    for name, (head, all_rows) in tables("ethnicity").items():
        table, columns, rows = name.split("/")[1], head.upper(), all_rows
        columns = columns.replace("STAY_ID", "ICUSTAY_ID").replace("ICD_CODE", "ICD9_CODE")
        if table == "patients":
            born = [(s, sex, f"{_birth(age)}-01-01 00:00:00", dod) for s, sex, age, dod in rows]
            columns, rows = "SUBJECT_ID,GENDER,DOB,DOD", born
        if "icd" in table:  # every code is of version 9
            rows = [row for row in rows if 9 in row]
        if table in {"inputevents", "procedureevents"}:
            table += "_mv"
        put(folder / f"{table.upper()}.csv.gz", columns, rows)
    put(
        folder / "INPUTEVENTS_CV.csv",
        "ICUSTAY_ID,CHARTTIME,ITEMID,LINKORDERID,AMOUNT,RATE",
        [(11, "2150-01-01 12:30:00", PROPOFOL, 77, 24, 1)],
    )
    return folder


def _birth(age: object) -> object:
    """A year of birth; those over 89 are moved by 300 years."""
    return "" if age == "" else 2150 - int(str(age)) - (210 if int(str(age)) > 89 else 0)
