"""`cohort physionet2012`: the open challenge of 2012, for whoever has no MIMIC-IV."""

from collections.abc import Mapping
from pathlib import Path

from evaluator.cohorts import flow
from evaluator.cohorts.cohort import CohortMeta
from evaluator.cohorts.cohort_builder import Say, bin_charts, define, meta, outcome_notes, write
from evaluator.cohorts.duckdb_engine import Engine, literal, opened, refusals
from evaluator.cohorts.redaction import Redaction
from evaluator.cohorts.settings import PAPER, WORK, CohortSettings, Work
from patientdx.errors import InputError

from .tables import Table, header, open_tables

SOURCE = "physionet2012"
NOTES = (
    "the outcome is death in hospital",
    "all records of the challenge are taken, whatever the age and the length of stay",
)
_RECORD = ("recordid",)


def build_physionet(
    folder: Path,
    into: Path,
    settings: CohortSettings = PAPER,
    *,
    subset: str = "a",
    work: Work = WORK,
    redact: Redaction | None = None,
    say: Say = lambda _: None,
) -> CohortMeta:
    """Makes a cohort file of set `subset`: `set-a.csv.gz` (or `set-a/*.txt`), `Outcomes-a.csv`.

    The window, its bins, outliers and imputation are those of the settings; the rules on age and
    length of stay do not apply. Raises InputError.
    """
    with opened(work, into) as engine:
        define(engine, settings)
        found = open_tables(engine, folder, _tables(folder, subset), "PhysioNet 2012")
        if not found.get("readings"):
            _open_records(engine, folder / f"set-{subset}")
        say("reading records")
        engine.run("physionet", found.get("readings") or folder)
        counts = flow.counted(engine, "SELECT fate, count(*) FROM judged GROUP BY fate")
        lines = flow.steps("stays", flow.STAYS, counts)
        lines += bin_charts(engine, work, "measurements")
        say("writing")
        notes = [*NOTES, *outcome_notes(engine)]
        return write(engine, into, meta(SOURCE, settings, lines, notes, redact), redact)


def _tables(folder: Path, subset: str) -> Mapping[str, Table]:
    outcomes = Table(
        f"outcomes-{subset}",
        {"record": _RECORD, "died": ("in-hospital_death",)},
    )
    readings = Table(
        f"set-{subset}",
        {"record": _RECORD, "time": ("time",), "parameter": ("parameter",), "value": ("value",)},
    )
    as_records = (folder / f"set-{subset}").is_dir()
    return {"outcomes": outcomes} if as_records else {"outcomes": outcomes, "readings": readings}


def _open_records(engine: Engine, folder: Path) -> None:
    """A view of a folder with one file a record, as the challenge gives them."""
    paths = sorted(folder.glob("*.txt"))
    if not paths or [name.lower() for name in header(paths[0])] != ["time", "parameter", "value"]:
        raise InputError(f"{folder}: no records (text files of Time,Parameter,Value)")
    with refusals(folder):
        rows = engine.connection.read_csv(
            [literal(path) for path in paths],
            header=True,
            columns=dict.fromkeys(("Time", "Parameter", "Value"), "VARCHAR"),
            auto_detect=False,
            delimiter=",",
            filename=True,
        )
        record = "regexp_extract(filename, '([0-9]+)[.]txt$', 1) AS record"
        terms = f"{record}, Time AS time, Parameter AS parameter, Value AS value"
        rows.project(terms).create_view("raw_readings")
