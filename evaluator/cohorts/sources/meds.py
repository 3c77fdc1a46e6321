"""`cohort meds`: any MEDS 0.4 folder with a file of labels.

A stay is a row of the labels; its window is the `window_hours` up to the prediction time. Only
events up to that time are used, diagnoses included.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluator.cohorts import flow
from evaluator.cohorts.charts import bin_charts
from evaluator.cohorts.database import Database, escape_glob, translate_errors
from evaluator.cohorts.settings import CohortSettings
from patientdx.errors import InputError

from .reader import SourceContents

NOTES = (
    "the outcome is the label's boolean_value, and the window ends at its prediction time",
    "the rules on length of stay and on units do not apply: a MEDS code holds its unit",
    "medications are told by the mean of their numbers in the window: MEDS has no common ends",
)


@dataclass(frozen=True)
class MedsCodes:
    """The codes of each section, as regular expressions; all other codes are chart events.

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


@dataclass(frozen=True)
class MedsReader:
    """Reads a MEDS folder and labels (a Parquet file, or a folder of them)."""

    folder: Path
    labels: Path
    codes: MedsCodes = MIMIC_CODES

    @property
    def source(self) -> str:
        """See SourceReader."""
        return "meds"

    def read(
        self, database: Database, _settings: CohortSettings, on_step: Callable[[str], None]
    ) -> SourceContents:
        """See SourceReader."""
        database.set_variables(**asdict(self.codes))
        self._create_views(database)
        on_step("reading events")
        database.run_script("meds", self.folder)
        steps = flow.flow_steps("stays", flow.STAYS, flow.count_stays(database))
        return SourceContents([*steps, *bin_charts(database, "events")], list(NOTES))

    def _create_views(self, database: Database) -> None:
        data = self.folder / "data"
        _create_view(
            database,
            "raw_events",
            data if data.is_dir() else self.folder,
            {"subject_id", "time", "code", "numeric_value"},
            time_column="time",
            reason="this is no MEDS folder",
        )
        _create_view(
            database,
            "raw_labels",
            self.labels,
            {"subject_id", "prediction_time", "boolean_value"},
            time_column="prediction_time",
            reason="these are no MEDS labels",
        )
        codes = self.folder / "metadata" / "codes.parquet"
        if codes.exists():
            columns = {"code", "description"}
            _create_view(database, "raw_codes", codes, columns, reason="no list of codes")
        else:
            database.connection.execute(
                "CREATE VIEW raw_codes AS"
                " SELECT NULL::VARCHAR AS code, NULL::VARCHAR AS description"
            )


def _create_view(
    database: Database,
    name: str,
    path: Path,
    columns: set[str],
    *,
    time_column: str | None = None,
    reason: str,
) -> None:
    """A view of Parquet files. `reason` explains a file or column that is missing."""
    paths = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not paths:
        raise InputError(f"{path}: no Parquet file; {reason}", hint="name the folder or the file")
    with translate_errors(path):
        rows: Any = database.connection.read_parquet([escape_glob(path) for path in paths])
        types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    missing = sorted(columns - types.keys())
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; {reason}")
    if time_column is not None and "ZONE" in types[time_column]:
        raise InputError(
            f"{path}: the times of `{time_column}` carry a time zone",
            hint="MEDS has times without one",
        )
    rows.project(", ".join(f'"{column}"' for column in sorted(columns))).create_view(name)
