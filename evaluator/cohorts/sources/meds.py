"""`cohort meds`: any MEDS 0.4 folder with a file of labels.

A stay is a row of the labels; its window is the `window_hours` up to the prediction time. Times
decide what is known: diagnoses count if they were recorded by then.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluator.cohorts import flow
from evaluator.cohorts.cohort import CohortMeta
from evaluator.cohorts.cohort_builder import Say, bin_charts, define, meta, outcome_notes, write
from evaluator.cohorts.duckdb_engine import Engine, literal, opened, refusals
from evaluator.cohorts.redaction import Redaction
from evaluator.cohorts.settings import PAPER, WORK, CohortSettings, Work
from patientdx.errors import InputError

SOURCE = "meds"
NOTES = (
    "the outcome is the label's boolean_value, and the window ends at its prediction time",
    "the rules on length of stay and on units do not apply: a MEDS code holds its unit",
    "medications are told by the mean of their numbers in the window: MEDS has no common ends",
)


@dataclass(frozen=True)
class MedsCodes:
    """Which codes make up which section, as regular expressions; the rest are chart events.

    The defaults fit the codes of MIMIC-IV-MEDS.
    """

    diagnosis_codes: str = "^DIAGNOSIS"
    medication_codes: str = "^(MEDICATION|INFUSION_START|DRUG)"
    procedure_codes: str = "^PROCEDURE"
    output_codes: str = "^(SUBJECT_FLUID_OUTPUT|OUTPUT)"
    ignored_codes: str = (
        "^(MEDS_|GENDER|SEX|RACE|ETHNICITY|INFUSION_END|HOSPITAL_|ICU_|ED_|TRANSFER)"
    )


MIMIC_CODES = MedsCodes()


def build_meds(
    folder: Path,
    labels: Path,
    into: Path,
    settings: CohortSettings = PAPER,
    *,
    codes: MedsCodes = MIMIC_CODES,
    work: Work = WORK,
    redact: Redaction | None = None,
    say: Say = lambda _: None,
) -> CohortMeta:
    """Makes a cohort file of a MEDS folder and labels (Parquet, or a folder of it). InputError."""
    with opened(work, into) as engine:
        define(engine, settings)
        engine.define(**asdict(codes))
        _open(engine, folder, labels)
        say("reading events")
        engine.run("meds", folder)
        counts = flow.counted(engine, "SELECT fate, count(*) FROM judged GROUP BY fate")
        lines = flow.steps("stays", flow.STAYS, counts)
        lines += bin_charts(engine, work, "events")
        say("writing")
        notes = [*NOTES, *outcome_notes(engine)]
        return write(engine, into, meta(SOURCE, settings, lines, notes, redact), redact)


def _open(engine: Engine, folder: Path, labels: Path) -> None:
    data = folder / "data" if (folder / "data").is_dir() else folder
    events = {"subject_id", "time", "code", "numeric_value"}
    _view(engine, "raw_events", data, events, {"time"}, "this is no MEDS folder")
    wanted = {"subject_id", "prediction_time", "boolean_value"}
    _view(engine, "raw_labels", labels, wanted, {"prediction_time"}, "these are no MEDS labels")
    described = folder / "metadata" / "codes.parquet"
    if described.exists():
        _view(engine, "raw_codes", described, {"code", "description"}, set(), "no list of codes")
    else:
        engine.connection.execute(
            "CREATE VIEW raw_codes AS SELECT NULL::VARCHAR AS code, NULL::VARCHAR AS description"
        )


def _view(
    engine: Engine, name: str, place: Path, columns: set[str], times: set[str], reason: str
) -> None:
    paths = [place] if place.is_file() else sorted(place.rglob("*.parquet"))
    if not paths:
        raise InputError(f"{place}: no Parquet file; {reason}", hint="name the folder or the file")
    with refusals(place):
        rows: Any = engine.connection.read_parquet([literal(path) for path in paths])
        types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    lacking = sorted(columns - types.keys())
    if lacking:
        raise InputError(f"{place}: no column {', '.join(lacking)}; {reason}")
    for column in times:
        if "ZONE" in types[column]:
            raise InputError(
                f"{place}: the times of `{column}` carry a time zone",
                hint="MEDS has times without one",
            )
    rows.project(", ".join(f'"{column}"' for column in sorted(columns))).create_view(name)
