"""Opens a source of rows by what it holds: a file by its first bytes, a folder by its files."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from patientdx.formats.folders import corpus_file, find_corpus
from patientdx.formats.hospital.fhir import (
    fhir_files,
    open_fhir_file,
    open_fhir_folder,
    open_fhir_stream,
)
from patientdx.formats.hospital.fhir_resources import is_fhir
from patientdx.formats.hospital.mimic import (
    mimic_iii_notes,
    mimic_iv_notes,
    open_mimic_iii,
    open_mimic_iv,
)
from patientdx.formats.hospital.omop import omop_notes, open_omop_folder
from patientdx.formats.rows import Rows
from patientdx.storage.text_files import Source, TextInput, is_file, is_folder, is_standard_stream

from .arrow_tables import is_arrow_table, open_arrow_table
from .excel import ZIP, is_workbook, open_workbook
from .row_source import Remarks, RowSource
from .text_folder import note_files, open_text_folder

_HEAD = 8  # bytes


def open_source(source: Source, remarks: Remarks) -> AbstractContextManager[RowSource]:
    """The rows of a file, of "-" (standard input) or of a folder. Raises InputError."""
    return _open_folder(Path(source), remarks) if is_folder(source) else _open_file(source, remarks)


def _open_folder(folder: Path, remarks: Remarks) -> AbstractContextManager[RowSource]:
    """A folder by what it holds; the error of one that holds nothing says what is looked for."""
    if find_corpus(folder) is None:
        export = _open_export(folder, remarks)
        if export is not None:
            return export
        if note_files(folder):
            return open_text_folder(folder, remarks)
    return _open_file(corpus_file(folder), remarks)


def _open_export(folder: Path, remarks: Remarks) -> AbstractContextManager[RowSource] | None:
    """A folder as a hospital exports it, if it is one."""
    if fhir_files(folder):
        return open_fhir_folder(folder, remarks)
    if (omop := omop_notes(folder)) is not None:
        return open_omop_folder(folder, omop, remarks)
    if mimic_iv := mimic_iv_notes(folder):
        return open_mimic_iv(folder, mimic_iv, remarks)
    if (mimic_iii := mimic_iii_notes(folder)) is not None:
        return open_mimic_iii(folder, mimic_iii, remarks)
    return None


def _open_file(source: Source, remarks: Remarks) -> AbstractContextManager[RowSource]:
    head = _first_bytes(source)
    if is_arrow_table(head):
        return open_arrow_table(Path(source), head, remarks)
    if head.startswith(ZIP) and is_workbook(Path(source)):
        return open_workbook(Path(source), remarks)
    return _open_text(source, remarks)


@contextmanager
def _open_text(source: Source, remarks: Remarks) -> Iterator[RowSource]:
    with TextInput(source) as opened:
        if not is_fhir(opened.head()):
            yield Rows(opened, remarks.skip, remarks.hint)
            return
        # A pipe can be read once only, whatever its name.
        if is_standard_stream(source) or not is_file(Path(source)):
            with open_fhir_stream(opened, remarks) as rows:
                yield rows
            return
    with open_fhir_file(Path(source), remarks) as rows:
        yield rows


def _first_bytes(source: Source) -> bytes:
    """The first bytes of a file; none of one that cannot be read: TextInput gives the reason."""
    # A pipe would lose what is read of it.
    if is_standard_stream(source) or not is_file(Path(source)):
        return b""
    try:
        with Path(source).open("rb") as opened:
            return opened.read(_HEAD)
    except (OSError, ValueError):
        return b""
