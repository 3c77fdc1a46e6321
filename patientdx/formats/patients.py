"""Reads patients from all supported formats.

PMC-Patients (V1 and V2, JSON and CSV), BEIR and ReCDS corpora and folders, JSON lines, tables (CSV,
TSV), among them the notes of MIMIC and OMOP, and what `sources/` opens: Parquet, Arrow, Excel,
folders of text files, FHIR.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from patientdx.errors import InputError
from patientdx.formats.sources.opening import open_source
from patientdx.formats.sources.row_source import Remarks, RowSource
from patientdx.records import Patient
from patientdx.storage.text_files import Source

from .columns import NamedColumns
from .fields import EmptyTextError, Fields, LeftOutError, RowProblemError, resolve_columns_of
from .left_out import LeftOut
from .rows import Row, SkippedRows
from .summary import CorpusSummary
from .value_maps import ValueMaps

_HINT = "mend that row, or leave bad rows out with --skip-bad"
_SEVERAL_NOTES = "of patients with several notes name both ids: --patient-field and --id-field"


def read_patients(  # noqa: PLR0913 (one keyword a column, as in the command line)
    source: Source,
    *,
    id_field: str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
    patient_field: str | None = None,
    age_field: str | None = None,
    sex_field: str | None = None,
    date_field: str | None = None,
    value_maps: Iterable[str] = (),
    skip_bad: SkippedRows | None = None,
    left_out: LeftOut | None = None,
    summary: CorpusSummary | None = None,
) -> Iterator[Patient]:
    """The notes of a file, of "-" (standard input) or of a folder, in order.

    A folder is one of BEIR, ReCDS, OMOP or MIMIC, or holds FHIR, or .txt files named by their ids.
    Columns that are not set are recognised by their names, whatever their case and separators; of
    several that could be meant none is taken. `patient_field` tells patients apart that have
    several notes, each with its own id in `id_field`. Age and sex come from their fields, else
    from the text of the note; `value_maps` say what values mean (`sex:0=M,1=F`).

    A row that is malformed, lacks its id or text, or repeats an id raises InputError; with
    `skip_bad` it is counted there and skipped, unless it may be another note of a patient. Defects
    of the file as a whole always raise InputError. `left_out` counts what the rules of the format
    leave out, and notes that are empty (without it the log has their number). `summary` receives
    what was understood.
    """
    named = NamedColumns(
        id_field, text_field, title_field, patient_field, age_field, sex_field, date_field
    )
    maps = ValueMaps.parse(value_maps)
    counts = LeftOut() if left_out is None else left_out
    with open_source(source, Remarks(skip_bad, counts, _HINT)) as rows:
        understood = CorpusSummary() if summary is None else summary
        skips = skip_bad is not None
        yield from _PatientReader(rows, named, maps, understood, counts, skips).patients()
    if left_out is None:
        for line in counts.lines():
            logging.getLogger("patientdx").warning("left out %s", line)


@dataclass
class _PatientReader:
    """One pass over the rows of a source; `skips` says that bad rows are skipped."""

    rows: RowSource
    named: NamedColumns
    maps: ValueMaps
    summary: CorpusSummary
    left_out: LeftOut
    skips: bool
    _lines: dict[str, int] = field(default_factory=dict)
    _texts: dict[str, int] = field(default_factory=dict)

    def patients(self) -> Iterator[Patient]:
        fields: Fields | None = None
        for line, row in self.rows:
            fields = fields or self._fields(line, row)
            patient = self._patient(fields, line, row) if fields else None
            if patient is not None:
                self.summary.add(patient)
                yield patient
        self.summary.check(self.rows.name, self.named, self.maps)

    def _patient(self, fields: Fields, line: int, row: Row) -> Patient | None:
        """The patient of a row; None for a row that was left out or skipped."""
        try:
            patient = fields.patient(row)
        except EmptyTextError:
            self.left_out.add("notes without a text")
            return None
        except LeftOutError as reason:
            self.left_out.add(str(reason))
            return None
        except RowProblemError as problem:
            self.rows.reject(line, str(problem))
            return None
        return patient if self._is_new(fields, line, patient) else None

    def _is_new(self, fields: Fields, line: int, patient: Patient) -> bool:
        """False for a repeated id. Raises InputError for what may be a patient's other note."""
        document_id = patient.document_id
        first = self._lines.get(document_id)
        may_be_patients = not (patient.note_id or fields.columns.id_of_note)
        repeats_text = False
        if self.skips and may_be_patients:
            text = hash(patient.full_text)
            repeats_text = self._texts.setdefault(document_id, text) == text
        if first is None:
            self._lines[document_id] = line
            return True
        problem = f"id `{document_id}` appeared on line {first} already"
        if may_be_patients and not repeats_text:
            raise InputError.at(self.rows.name, line, problem, hint=_SEVERAL_NOTES)
        self.rows.reject(line, problem)
        return False

    def _fields(self, line: int, row: Row) -> Fields | None:
        """The fields by the first row that has them; a table's header must have them."""
        line = self.rows.header_line or line
        sparse = self.rows.columns is None
        try:
            columns = resolve_columns_of(self.named, self.rows.name, line, list(row), sparse=sparse)
        except InputError as error:
            if not sparse or not self.skips:
                raise
            self.rows.reject(line, error.message.removeprefix(f"{self.rows.name}:{line}: "))
            return None
        self.summary.begin(columns, self.rows.separator)
        return Fields(columns, self.named, sparse, self.maps, self.summary)
