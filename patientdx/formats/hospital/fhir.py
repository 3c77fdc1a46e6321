"""Opens FHIR R4 as rows: a file of NDJSON or a Bundle, standard input, or a folder of such files.

The files are read twice: for patients and Binary resources first, then for the notes that refer to
them. Nothing is fetched: a url leads to a Binary of the source, or to a file inside the folder.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patientdx.errors import InputError
from patientdx.formats.fields import RowProblemError
from patientdx.formats.rows import Row
from patientdx.formats.sources.row_source import PlainSource, Remarks
from patientdx.storage.text_files import TextInput

from .fhir_notes import LeftOutError, note_row
from .fhir_references import NEEDED, References
from .fhir_resources import is_fhir, read_resources

_NAMES = re.compile(r"[^.].*\.(json|ndjson|jsonl)(\.gz|\.zst)?", re.IGNORECASE)


def fhir_files(folder: Path) -> list[Path]:
    """The JSON files of a folder that hold FHIR resources, by name."""
    names = sorted(path for path in folder.iterdir() if _NAMES.fullmatch(path.name))
    return [path for path in names if path.is_file() and _holds_fhir(path)]


@contextmanager
def open_fhir_folder(folder: Path, remarks: Remarks) -> Iterator[PlainSource]:
    """The notes of all files of a folder. Raises InputError."""
    files = fhir_files(folder)
    with _open([(path, str(path)) for path in files], folder, remarks) as source:
        yield source


@contextmanager
def open_fhir_file(path: Path, remarks: Remarks) -> Iterator[PlainSource]:
    """The notes of a file; urls lead to its own Binary resources only. Raises InputError."""
    with _open([(path, str(path))], None, remarks) as source:
        yield source


@contextmanager
def open_fhir_stream(stream: TextInput, remarks: Remarks) -> Iterator[PlainSource]:
    """The notes of standard input, which is copied into a temporary file. Raises InputError."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "resources"
        with copy.open("w", encoding="utf-8", newline="") as target:
            target.writelines(stream.chunks())
        with _open([(copy, stream.name)], None, remarks) as source:
            yield source


@contextmanager
def _open(
    files: list[tuple[Path, str]], folder: Path | None, remarks: Remarks
) -> Iterator[PlainSource]:
    with References(folder) as references:
        for path, _ in files:
            with TextInput(path) as opened:
                for resource in read_resources(opened, _pass_over, NEEDED):
                    references.add(resource)
        source = PlainSource(files[0][1], (), remarks)
        source.rows = _rows(source, files, references, remarks)
        yield source


def _pass_over(line: int, problem: str) -> None:
    """Bad lines are reported when the notes are read."""


def _rows(
    source: PlainSource, files: list[tuple[Path, str]], references: References, remarks: Remarks
) -> Iterator[tuple[int, Row]]:
    """The rows of all files; the name of the source is that of the file being read."""
    for path, name in files:
        source.name = name
        with TextInput(path) as opened:
            opened.name = name
            for resource in read_resources(opened, source.reject):
                try:
                    row = note_row(resource, references)
                except LeftOutError as reason:
                    remarks.left_out.add(str(reason))
                except RowProblemError as problem:
                    source.reject(resource.line, str(problem))
                else:
                    if row is not None:
                        yield resource.line, row


def _holds_fhir(path: Path) -> bool:
    try:
        with TextInput(path) as opened:
            return is_fhir(opened.head())
    except InputError:
        return False
