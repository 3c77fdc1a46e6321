"""`index build|add|delete|info|verify|compact`: making and changing an index."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.command_names import CommandGroup
from console.option_groups import Mode, command
from console.output import Notices, Output, TableOutput, align_columns
from patientdx.errors import IndexFolderError, InputError
from patientdx.storage.text_files import open_lines
from patientdx.wording import count_noun, count_patients

from . import options
from .query_options import K1, B, FilterOptions

if TYPE_CHECKING:
    from workflows.indexing import CorpusSource, IndexingResult

app = typer.Typer(
    cls=CommandGroup, help="Build, change and inspect an index.", no_args_is_help=True
)

Source = Annotated[
    str,
    typer.Argument(
        help="A JSONL, CSV, Parquet, Arrow or Excel file, a PMC-Patients file, FHIR, a folder of "
        "OMOP, MIMIC notes, ReCDS, BEIR or .txt files, or - for stdin."
    ),
]


@dataclass(frozen=True)
class CorpusOptions:
    """How the rows of a corpus become patients."""

    id_field: Annotated[
        str | None, typer.Option("--id-field", help="Column or key of the note's id.")
    ] = None
    patient_field: Annotated[
        str | None,
        typer.Option("--patient-field", help="Column of the patient's id, if one has many notes."),
    ] = None
    text_field: Annotated[
        str | None, typer.Option("--text-field", help="Column or key of the note.")
    ] = None
    title_field: Annotated[
        str | None, typer.Option("--title-field", help="Column or key of a title.")
    ] = None
    age_field: Annotated[str | None, typer.Option("--age-field", help="Column of the age.")] = None
    sex_field: Annotated[str | None, typer.Option("--sex-field", help="Column of the sex.")] = None
    date_field: Annotated[
        str | None, typer.Option("--date-field", help="Column of the note's date.")
    ] = None
    value_maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="What values mean: sex:0=M,1=F, age:adult=18+ (repeatable)."),
    ] = None
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, and count them.")
    ] = False

    def source(self, path: str) -> "CorpusSource":
        """The corpus at a path, read by these options."""
        from workflows.indexing import CorpusSource

        options = {**vars(self), "value_maps": tuple(self.value_maps or ())}
        return CorpusSource(path, **options)


@app.command()
@command()
def build(
    source: Source,
    into: Annotated[Path, typer.Option("--into", help="Folder to make.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the index that is there.")
    ] = False,
    stopwords: Annotated[
        str | None,
        typer.Option(
            "--stopwords",
            help="Stop words: none, a language, or a file; by default the stemmer's language.",
            show_default=False,
        ),
    ] = None,
    stemmer: Annotated[
        str,
        typer.Option("--stemmer", help="Snowball stemmer: english, porter, french ..., or none."),
    ] = "english",
    normalization: Annotated[
        str,
        typer.Option(
            "--normalization", help="Unicode forms: nfkc, or none for words as they are written."
        ),
    ] = "nfkc",
    spelling: Annotated[
        str,
        typer.Option(
            "--spelling",
            help="Spelling variants: american (haemoglobin matches hemoglobin), or none.",
        ),
    ] = "none",
    k1: K1 = None,
    b: B = None,
    *,
    corpus: CorpusOptions,
    output: Notices,
) -> None:
    """Index a corpus of patient notes.

    Example:
        patientdx index build PMC-Patients.csv --into my-index
    """
    from indexer.analysis import AnalysisSettings
    from indexer.bm25 import BM25Settings
    from workflows.indexing import build_from_corpus

    default = BM25Settings()
    result = build_from_corpus(
        corpus.source(source),
        into,
        analysis=AnalysisSettings.from_options(stopwords, stemmer, normalization, spelling),
        bm25=BM25Settings(default.k1 if k1 is None else k1, default.b if b is None else b),
        replace_existing=replace,
        monitor=output,
    )
    _report(result, into, output)


@app.command()
@command()
def add(
    source: Source,
    index: options.IndexFolder = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Replace all notes of patients that are there already by the new ones.",
        ),
    ] = False,
    *,
    corpus: CorpusOptions,
    output: Notices,
) -> None:
    """Add patients, or further notes of patients, to an index, in one atomic step.

    A further note of a known patient needs an id of its own.

    Example:
        patientdx index add new.jsonl --index my-index
    """
    from workflows.indexing import add_corpus

    folder = options.require_index(index)
    result = add_corpus(corpus.source(source), folder, update=update, monitor=output)
    _report(result, folder, output)


@app.command()
@command()
def delete(
    patient_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of patients, or - to read them from stdin.")
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option("--note", help="Delete one note by its id; repeatable.")
    ] = None,
    index: options.IndexFolder = None,
    *,
    output: Notices,
) -> None:
    """Delete patients with all their notes, or single notes, in one atomic step.

    Example:
        patientdx index delete 8535945-4 --index my-index
    """
    from workflows.indexing import delete_by_ids

    folder = options.require_index(index)
    before, state = delete_by_ids(folder, _read_ids(patient_ids or [], note or []), note or [])
    gone = count_patients(before.patient_count - state.patient_count, before.size - state.size)
    output.notice(f"deleted {gone}; {count_patients(state.patient_count, state.size)} left")


@app.command()
@command()
def compact(index: options.IndexFolder = None, *, output: Notices) -> None:
    """Rewrite an index as one piece and free what deletions left behind.

    Example:
        patientdx index compact --index my-index
    """
    from indexer.writer import compact_index

    with output.progress("compacting") as report:
        state = compact_index(options.require_index(index), progress=report)
    output.notice(f"{count_patients(state.patient_count, state.size)} in one segment")


@app.command()
@command(Mode("ids", frozenset({"index"})))
def info(
    index: options.IndexFolder = None,
    ids: Annotated[bool, typer.Option("--ids", help="List the ids of all patients.")] = False,
    *,
    output: TableOutput,
) -> None:
    """Show what an index holds and how it was made.

    Example:
        patientdx index info --index my-index --json
    """
    from indexer.index import Index
    from workflows.understanding import index_lines

    state = Index.open(options.require_index(index))
    if ids:
        output.ids(dict.fromkeys(patient.patient_id for patient in state.patients()))
        return
    facts = state.describe()
    output.show_table(
        lambda: facts,
        lambda: (f"{name:<16} {value}" for name, value in index_lines(facts)),
        lambda: [("name", "value"), *index_lines(facts)],
    )


@app.command()
@command()
def facets(
    field: Annotated[str, typer.Argument(help="Field of the notes, see index info.")],
    index: options.IndexFolder = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many values to list.")] = 20,
    *,
    filters: FilterOptions,
    output: TableOutput,
) -> None:
    """List the values of a field with the numbers of patients and notes that have them.

    Example:
        patientdx index facets specialty --index my-index --sex F
    """
    from indexer.index import Index

    values = Index.open(options.require_index(index)).facets(field, filters.filter())
    rows: list[tuple[str, ...]] = [
        ("value", "patients", "notes"),
        *(tuple(map(str, facet)) for facet in values[:top]),
    ]
    output.show_table(
        lambda: {"field": field, "values": [facet._asdict() for facet in values[:top]]},
        lambda: align_columns([list(row) for row in rows]),
        lambda: rows,
    )
    if len(values) > top:
        output.notice(f"{count_noun(len(values) - top, 'more value')}: --top {len(values)}")


@app.command()
@command()
def verify(index: options.IndexFolder = None, *, output: Output) -> None:
    """Read every byte of an index and check it against its checksums.

    Example:
        patientdx index verify --index my-index
    """
    from indexer.verify import verify_index
    from workflows.indexing import count_stored_patients

    folder = options.require_index(index)
    manifest, damage = verify_index(folder)
    patients = count_stored_patients(folder)
    parts = [(str(part.path), part.part) for part in damage]
    if output.as_json:
        damaged = [{"file": path, "part": part} for path, part in parts]
        output.json({"patients": patients, "notes": manifest.notes, "damaged": damaged})
    else:
        output.lines(f"{path}: {part}" for path, part in parts)
    if damage:
        raise IndexFolderError(
            f"{folder}: {count_noun(len(damage), 'damaged part')}",
            hint="restore the index from a copy, or build it again with `index build --replace`",
        )
    counted = count_patients(patients or 0, manifest.notes)
    output.notice(f"{folder}: {counted}, every byte as committed")


def _read_ids(arguments: list[str], notes: list[str]) -> list[str]:
    ids: list[str] = []
    for argument in arguments:
        if argument == "-":
            ids += [line for _, line in open_lines("-")]
        else:
            ids.append(argument)
    ids = [patient_id.strip() for patient_id in ids if patient_id.strip()]
    if not ids and not notes:
        raise InputError("no ids given", hint="index delete ID... --index FOLDER")
    return ids


def _report(result: "IndexingResult", folder: Path, output: Notices) -> None:
    from workflows.understanding import summary_lines

    skipped = result.skipped
    if skipped.count:
        output.notice(f"left out {count_noun(skipped.count, 'row')} that cannot be used:")
        for message in skipped.messages:
            output.notice(f"  {message}")
    for line in summary_lines(result.summary.facts()):
        output.notice(line)
    for line in result.left_out.lines():
        output.notice(f"left out {line}")
    index = result.index
    output.notice(f"{count_patients(index.patient_count, index.size)} in {folder}")
    output.hint(f"patientdx search 'chest pain' --index {folder}")
