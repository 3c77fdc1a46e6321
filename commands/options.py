"""Options that several commands share, each with one meaning everywhere."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from patientdx.errors import UsageError
from patientdx.processors import available_cores
from patientdx.records import Filter
from patientdx.settings import Settings, settings_from_environment

if TYPE_CHECKING:
    from indexer.index import Index

IndexFolder = Annotated[
    Path | None, typer.Option("--index", envvar="PATIENTDX_INDEX", help="Folder of the index.")
]
TopK = Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many patients to list.")]
Sections = Annotated[
    list[str] | None,
    typer.Option(
        "--sections",
        help="Sections of the records: mortality, mortality-hard, or section names between "
        "commas; may be repeated.",
    ),
]
TemplatesFile = Annotated[
    Path | None, typer.Option("--templates", help="File with the wording of the records (TOML).")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of sample, folds and bootstrap.")]
Resamples = Annotated[
    int, typer.Option("--resamples", min=1, help="Number of resamples of the bootstrap by patient.")
]
AnswersFile = Annotated[
    Path | None,
    typer.Option("--answers", help="File that stores answers (default: in the cache folder)."),
]
AGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)?(?:(-)([0-9]+(?:\.[0-9]+)?)?)?")


def settings() -> Settings:
    """Settings from this process's environment."""
    return settings_from_environment(os.environ, Path.home())


def api_key(file: Path | None) -> str | None:
    """The API key of a model server: from a file, else from PATIENTDX_API_KEY."""
    from patientdx.models.credentials import read_api_key

    return read_api_key(os.environ, file)


def require_index(folder: Path | None) -> Path:
    """The index folder, or an error that says how to name one."""
    if folder is None:
        raise UsageError("no index named", hint="give --index FOLDER or set PATIENTDX_INDEX")
    return folder


def filter_from(
    sex: str | None, age: str | None, where: list[str] | None, note_type: str | None = None
) -> Filter:
    """A filter from options. Raises UsageError for values that cannot be used."""
    from patientdx.conditions import parse_condition

    conditions = [*(where or ()), *([f"note_type={note_type}"] if note_type else ())]
    return Filter(
        sex=_sex(sex),
        age=_age_range(age) if age else None,
        conditions=tuple(map(parse_condition, conditions)),
    )


def _sex(value: str | None) -> Literal["F", "M"] | None:
    if value is None:
        return None
    letter = value.strip().upper()[:1]
    if letter == "F":
        return "F"
    if letter == "M":
        return "M"
    raise UsageError(f"--sex must be F or M, not `{value}`")


def _age_range(value: str) -> tuple[float | None, float | None]:
    match = AGE.fullmatch(value.strip())
    low, dash, high = match.groups() if match else (None, None, None)
    first = float(low) if low else None
    last = (float(high) if high else None) if dash else first
    if first == last is None or (first or 0) > (float("inf") if last is None else last):
        raise UsageError(f"--age must be like 60-80, 60-, -2 or 44, not `{value}`")
    return first, last


def threads() -> int:
    """Threads to search with: PATIENTDX_THREADS, or all cores this process may use."""
    chosen = settings().threads
    if chosen:
        return chosen
    return available_cores()


def open_index(index: Path | None) -> "Index":
    """The index, under its own k1 and b."""
    from indexer.index import Index

    return Index.open(require_index(index), threads=threads())
