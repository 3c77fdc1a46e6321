"""`index build|add|delete|info|verify|compact`: making and changing an index."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import IndexFolderError, InputError

from . import options, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexer.index import Index
    from patientdx.formats import SkippedRows
    from patientdx.records import Patient

app = typer.Typer(help="Build, change and inspect an index.", no_args_is_help=True)

Source = Annotated[
    str,
    typer.Argument(
        help="A PMC-Patients file, a ReCDS or BEIR folder, a JSONL or CSV file, or - for stdin."
    ),
]


@app.command()
def build(
    source: Source,
    into: Annotated[Path, typer.Option("--into", help="Folder to make.")],
    replace: Annotated[bool, typer.Option("--replace", help="Build anew in place.")] = False,
    stopwords: Annotated[
        str, typer.Option("--stopwords", help="none, english, or a file of words.")
    ] = "english",
    stemmer: Annotated[
        str, typer.Option("--stemmer", help="none, porter or english (Snowball).")
    ] = "english",
    k1: options.K1 = None,
    b: options.B = None,
    id_field: options.IdField = None,
    text_field: options.TextField = None,
    title_field: options.TitleField = None,
    skip_bad: options.SkipBad = False,
    quiet: options.Quiet = False,
) -> None:
    """Index a corpus of patient notes.

    Example:
        patientdx index build PMC-Patients.csv --into my-index
    """
    from indexer.analysis import AnalysisSettings
    from indexer.bm25 import BM25Settings
    from indexer.writer import build_index

    default = BM25Settings()
    bm25 = BM25Settings(default.k1 if k1 is None else k1, default.b if b is None else b)
    analysis = AnalysisSettings.from_options(stopwords, stemmer)
    skipped = _skipped(skip_bad)
    patients = _read(source, id_field, text_field, title_field, skipped)
    with output.progress("indexing", quiet=quiet) as tick:
        index = build_index(
            into,
            patients,
            analysis=analysis,
            bm25=bm25,
            corpus=(source,),
            replace_existing=replace,
            progress=tick,
        )
    _report(index, into, skipped, quiet=quiet)


@app.command()
def add(
    source: Source,
    index: options.IndexFolder = None,
    update: Annotated[
        bool, typer.Option("--update", help="Put new notes in place of those with the same id.")
    ] = False,
    id_field: options.IdField = None,
    text_field: options.TextField = None,
    title_field: options.TitleField = None,
    skip_bad: options.SkipBad = False,
    quiet: options.Quiet = False,
) -> None:
    """Add patients to an index, in one atomic step.

    Example:
        patientdx index add new.jsonl --index my-index
    """
    from indexer.writer import add_patients

    folder = options.needed(index)
    skipped = _skipped(skip_bad)
    patients = _read(source, id_field, text_field, title_field, skipped)
    with output.progress("adding", quiet=quiet) as tick:
        state = add_patients(folder, patients, update=update, corpus=(source,), progress=tick)
    _report(state, folder, skipped, quiet=quiet)


@app.command()
def delete(
    patient_ids: Annotated[list[str], typer.Argument(help="Ids, or - to read them from stdin.")],
    index: options.IndexFolder = None,
    quiet: options.Quiet = False,
) -> None:
    """Delete patients from an index, in one atomic step.

    Example:
        patientdx index delete 8535945-4 --index my-index
    """
    from indexer.writer import delete_patients

    folder = options.needed(index)
    ids = _ids(patient_ids)
    state = delete_patients(folder, ids)
    output.say(f"deleted {len(ids):,}; {state.size:,} patients remain", quiet=quiet)


@app.command()
def compact(index: options.IndexFolder = None, quiet: options.Quiet = False) -> None:
    """Rewrite an index as one piece and free what deletions left behind.

    Example:
        patientdx index compact --index my-index
    """
    from indexer.writer import compact_index

    with output.progress("compacting", quiet=quiet) as tick:
        state = compact_index(options.needed(index), progress=tick)
    output.say(f"{state.size:,} patients in one segment", quiet=quiet)


@app.command()
def info(
    index: options.IndexFolder = None,
    ids: Annotated[bool, typer.Option("--ids", help="List the ids of all patients.")] = False,
    as_json: options.Json = False,
) -> None:
    """Tell what an index holds and how it was made.

    Example:
        patientdx index info --index my-index --json
    """
    from indexer.index import Index

    state = Index.open(options.needed(index))
    if ids:
        for patient in state.patients():
            output.data(patient.patient_id)
        return
    facts = state.describe()
    if as_json:
        output.json_data(facts)
        return
    for name, value in facts.items():
        output.data(f"{name.replace('_', ' '):<16} {_shown(value)}")


@app.command()
def verify(index: options.IndexFolder = None, quiet: options.Quiet = False) -> None:
    """Read every byte of an index and check it against its checksums.

    Example:
        patientdx index verify --index my-index
    """
    from indexer.verify import verify_index

    folder = options.needed(index)
    manifest, damage = verify_index(folder)
    for one in damage:
        output.data(f"{one.path}: {one.part}")
    if damage:
        raise IndexFolderError(
            f"{folder}: {len(damage)} damaged parts",
            hint="restore the index from a copy, or build it again with `index build --replace`",
        )
    output.say(f"{folder}: {manifest.notes:,} patients, every byte as committed", quiet=quiet)


def _read(
    source: str,
    id_field: str | None,
    text_field: str | None,
    title_field: str | None,
    skipped: "SkippedRows | None",
) -> "Iterator[Patient]":
    from patientdx.formats import read_patients

    patients = read_patients(
        source,
        id_field=id_field,
        text_field=text_field,
        title_field=title_field,
        skip_bad=skipped,
    )
    # The first is read before an index is touched: most wrong files show by then.
    first = next(patients, None)
    if first is None:
        name = "stdin" if source == "-" else source
        reason = f"left out: {skipped.messages[0]}" if skipped and skipped.count else None
        hint = reason or "is it the right file?"
        raise InputError(f"{name}: there are no patients in it", hint=hint)
    return chain([first], patients)


def _skipped(skip_bad: bool) -> "SkippedRows | None":
    from patientdx.formats import SkippedRows

    return SkippedRows() if skip_bad else None


def _ids(given: list[str]) -> list[str]:
    ids: list[str] = []
    for one in given:
        ids += typer.get_text_stream("stdin").read().split("\n") if one == "-" else [one]
    ids = [i.strip() for i in ids if i.strip()]
    if not ids:
        raise InputError("no ids given", hint="index delete ID... --index FOLDER")
    return ids


def _report(state: "Index", folder: Path, skipped: "SkippedRows | None", *, quiet: bool) -> None:
    if skipped is not None and skipped.count:
        output.say(f"left out {skipped.count:,} rows that cannot be used:", quiet=quiet)
        for message in skipped.messages:
            output.say(f"  {message}", quiet=quiet)
    output.say(f"{state.size:,} patients in {folder}", quiet=quiet)
    output.hint(f"patientdx search 'chest pain' --index {folder}", quiet=quiet)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
