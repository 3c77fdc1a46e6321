"""`cohort physionet2012`: the open challenge of 2012, for readers without access to MIMIC-IV."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.cohorts import flow
from evaluator.cohorts.charts import bin_charts
from evaluator.cohorts.database import Database, escape_glob, translate_errors
from evaluator.cohorts.settings import CohortSettings
from patientdx.errors import InputError

from .reader import SourceContents
from .tables import SourceTable, create_views, read_header

NOTES = (
    "the outcome is death in hospital",
    "all records of the challenge are taken, whatever the age and the length of stay",
)
_RECORD = ("recordid",)


@dataclass(frozen=True)
class PhysioNetReader:
    """Reads the set `subset`: `set-a.csv.gz` (or `set-a/*.txt`) and `Outcomes-a.csv`.

    The window, its bins, outliers and imputation are those of the settings; the rules on age and
    length of stay do not apply.
    """

    folder: Path
    subset: str = "a"

    @property
    def source(self) -> str:
        """See SourceReader."""
        return "physionet2012"

    def read(
        self, database: Database, _settings: CohortSettings, on_step: Callable[[str], None]
    ) -> SourceContents:
        """See SourceReader."""
        paths = create_views(database, self.folder, self._tables(), "PhysioNet 2012")
        if not paths.get("readings"):
            _create_record_view(database, self.folder / f"set-{self.subset}")
        on_step("reading records")
        database.run_script("physionet", paths.get("readings") or self.folder)
        steps = flow.flow_steps("stays", flow.STAYS, flow.count_stays(database))
        return SourceContents([*steps, *bin_charts(database, "measurements")], list(NOTES))

    def _tables(self) -> Mapping[str, SourceTable]:
        outcomes = SourceTable(
            f"outcomes-{self.subset}",
            {"record": _RECORD, "died": ("in-hospital_death",)},
        )
        readings = SourceTable(
            f"set-{self.subset}",
            {
                "record": _RECORD,
                "time": ("time",),
                "parameter": ("parameter",),
                "value": ("value",),
            },
        )
        if (self.folder / f"set-{self.subset}").is_dir():
            return {"outcomes": outcomes}
        return {"outcomes": outcomes, "readings": readings}


def _create_record_view(database: Database, folder: Path) -> None:
    """A view of a folder with one file per record, as the challenge distributes them."""
    paths = sorted(folder.glob("*.txt"))
    columns = ["time", "parameter", "value"]
    if not paths or [name.lower() for name in read_header(paths[0])] != columns:
        raise InputError(f"{folder}: no records (text files of Time,Parameter,Value)")
    with translate_errors(folder):
        rows = database.connection.read_csv(
            [escape_glob(path) for path in paths],
            header=True,
            columns=dict.fromkeys(("Time", "Parameter", "Value"), "VARCHAR"),
            auto_detect=False,
            delimiter=",",
            filename=True,
        )
        record = "regexp_extract(filename, '([0-9]+)[.]txt$', 1) AS record"
        terms = f"{record}, Time AS time, Parameter AS parameter, Value AS value"
        rows.project(terms).create_view("raw_readings")
