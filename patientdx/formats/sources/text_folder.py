"""A folder of .txt files, each a note whose id is the name of the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patientdx.errors import InputError
from patientdx.formats.rows import Row
from patientdx.storage.text_files import TextInput

from .row_source import PlainSource, Remarks

_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
_LARGEST = 1 << 26  # characters of a note


def note_files(folder: Path) -> list[Path]:
    """The .txt files of a folder (also .gz and .zst) by name, without hidden ones."""
    names = (path for path in folder.iterdir() if path.name.lower().endswith(_SUFFIXES))
    return sorted(
        (path for path in names if not path.name.startswith(".") and path.is_file()),
        key=lambda path: path.name,
    )


@contextmanager
def open_text_folder(folder: Path, remarks: Remarks) -> Iterator[PlainSource]:
    """The notes of a folder in the order of their names; other files are left out and counted."""
    files = note_files(folder)
    hidden_or_other = sum(path.is_file() for path in folder.iterdir()) - len(files)
    if hidden_or_other:
        remarks.left_out.add("files that are no .txt files", hidden_or_other)
    yield PlainSource(str(folder), _rows(files, remarks), remarks)


def _rows(files: list[Path], remarks: Remarks) -> Iterator[tuple[int, Row]]:
    """The number of the file stands for the line."""
    for number, path in enumerate(files, 1):
        try:
            text = _read(path)
        except InputError as error:
            if remarks.skip is None:
                raise
            remarks.skip.add(error.message)
            continue
        yield number, {"_id": _stem(path.name), "text": text}


def _stem(name: str) -> str:
    return next(name[: -len(suffix)] for suffix in _SUFFIXES if name.lower().endswith(suffix))


def _read(path: Path) -> str:
    """The text of a file. Raises InputError, also for one that is too large for a note."""
    parts: list[str] = []
    length = 0
    with TextInput(path) as source:
        for part in source.chunks():
            length += len(part)
            if length > _LARGEST:
                raise InputError(
                    f"{path}: a note of more than {_LARGEST:,} characters",
                    hint="is it one note? split it, or leave it out with --skip-bad",
                )
            parts.append(part)
    return "".join(parts)
