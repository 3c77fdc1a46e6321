"""Reads patients from all supported formats.

PMC-Patients (V1 and V2, JSON and CSV), BEIR and ReCDS corpora and folders, JSON lines, CSV, and
what `sources/` opens: Parquet, Arrow, Excel, folders of text files, FHIR.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from patientdx.errors import InputError
from patientdx.formats.sources.opening import open_source
from patientdx.formats.sources.row_source import Remarks, RowSource
from patientdx.records import Patient
from patientdx.storage.text_files import Source

from .columns import NamedColumns
from .fields import Fields, RowProblemError, resolve_fields
from .left_out import LeftOut
from .rows import Row, SkippedRows

_HINT = "mend that row, or leave bad rows out with --skip-bad"


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
    skip_bad: SkippedRows | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[Patient]:
    """The notes of a file, of "-" (standard input) or of a folder, in order.

    A folder is one of BEIR or ReCDS, or holds FHIR, or .txt files named by their ids. Columns that
    are not set are recognised by their names, whatever their case and separators; of several that
    could be meant none is taken. `patient_field` tells patients apart that have several notes, each
    with its own id in `id_field`. Age and sex come from their fields, else from the text of the
    note. A row that is malformed, lacks its id or text, or repeats an id raises InputError; with
    `skip_bad` it is counted there and skipped. Defects of the file as a whole always raise
    InputError. `left_out` counts what the rules of the format leave out.
    """
    named = NamedColumns(
        id_field, text_field, title_field, patient_field, age_field, sex_field, date_field
    )
    remarks = Remarks(skip_bad, LeftOut() if left_out is None else left_out, _HINT)
    with open_source(source, remarks) as rows:
        yield from _PatientReader(rows, named, skips=skip_bad is not None).patients()


@dataclass
class _PatientReader:
    """One pass over the rows of a source; `skips` says that bad rows are skipped."""

    rows: RowSource
    named: NamedColumns
    skips: bool

    def patients(self) -> Iterator[Patient]:
        fields: Fields | None = None
        lines: dict[str, int] = {}
        for line, row in self.rows:
            fields = fields or self._fields(line, row)
            if fields is None:
                continue
            try:
                patient = fields.patient(row)
            except RowProblemError as problem:
                self.rows.reject(line, str(problem))
                continue
            first = lines.get(patient.document_id)
            if first is None:
                lines[patient.document_id] = line
                yield patient
            else:
                self.rows.reject(
                    line, f"id `{patient.document_id}` appeared on line {first} already"
                )

    def _fields(self, line: int, row: Row) -> Fields | None:
        """The fields by the first row that has them; a CSV header must have them."""
        line = self.rows.header_line or line
        try:
            sparse = self.rows.columns is None
            return resolve_fields(self.named, self.rows.name, line, list(row), sparse=sparse)
        except InputError as error:
            if self.rows.columns is not None or not self.skips:
                raise
            self.rows.reject(line, error.message.removeprefix(f"{self.rows.name}:{line}: "))
            return None
