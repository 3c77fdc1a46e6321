"""`search` and `similar`: the patients most like a note or like another patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.option_groups import Excludes, Needs, command, is_set
from console.output import TableOutput
from console.output_files import NewFiles
from patientdx.errors import InputError, UsageError
from patientdx.wording import count_noun

from . import options
from .hits import format_of, show_formatted, show_hits
from .query_options import (
    QUERY_FIELDS,
    SYSTEM_RULES,
    UNIT_RULES,
    FilterOptions,
    QueryFieldOptions,
    SystemOptions,
    UnitOptions,
    WriteRun,
)

if TYPE_CHECKING:
    from indexer.index import Index
    from workflows.hit_formats import HitFormat
    from workflows.searching import SearchResult

Explain = Annotated[
    bool, typer.Option("--explain", help="Show the share of each matching term in the score.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Print hits as csv, tsv, json, jsonl, trec (a run) or fhir (a List); many queries "
        "make a run unless another is named.",
    ),
]
AffirmedOnly = Annotated[
    bool,
    typer.Option(
        "--affirmed-only",
        help="Leave out hits whose notes mention the matching words only as negated, historical, "
        "hypothetical or of relatives (English notes).",
    ),
]
OldRun = Annotated[
    Path | None,
    typer.Option("--run", hidden=True, help="Former name of --write-run."),
]


ONE_FORMAT = Excludes(("form", "as_json", "as_tsv"))


@command(
    *SYSTEM_RULES,
    Needs(QUERY_FIELDS, is_set("queries"), "search --queries FILE"),
    *UNIT_RULES,
    Needs(("write_run",), is_set("queries"), "search --queries FILE --write-run OUT"),
    ONE_FORMAT,
    Needs(
        ("explain",),
        lambda values: (
            values["queries"] is None or values["as_json"] or values["form"] in {"json", "jsonl"}
        ),
        "many queries make a TREC run: explain them with --json or --format jsonl",
    ),
    NewFiles("write_run"),
)
def search(
    text: Annotated[
        str | None, typer.Argument(help="The note, or words of it; - for stdin.")
    ] = None,
    index: options.IndexFolder = None,
    file: Annotated[
        str | None, typer.Option("--file", help="Read the note from a file, or - for stdin.")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            "--queries", help="Many queries: a JSONL, TSV or CSV file, TREC topics, or -."
        ),
    ] = None,
    write_run: WriteRun = None,
    run: OldRun = None,
    top_k: options.TopK = 10,
    affirmed_only: AffirmedOnly = False,
    explain: Explain = False,
    form: Format = None,
    *,
    fields: QueryFieldOptions,
    unit: UnitOptions,
    filters: FilterOptions,
    system: SystemOptions,
    output: TableOutput,
) -> None:
    """Find the patients most like a note.

    A patient with several notes is one hit, shown by the best of them.

    Example:
        patientdx search 'fever and a new murmur' --index my-index --sex F --age 30-50 --explain
    """
    from workflows.searching import search_patients

    chosen_form = format_of(form, output)
    if run is not None:
        raise UsageError("--run is called --write-run now", hint=f"--write-run {run}")
    where, chosen = filters.filter(), system.system()
    if queries is not None:
        if text is not None or file is not None:
            raise UsageError("--queries goes without TEXT and --file")
        opened = unit.open_index(index)
        batch = _search_queries(
            queries, fields, top_k, opened, filters, affirmed_only, system, explain, output
        )
        _print_batch(batch, write_run, chosen_form, explain, output)
        return
    note = _read_note(text, file)
    result = search_patients(
        unit.open_index(index),
        note,
        top_k,
        system=chosen,
        where=where,
        affirmed_only=affirmed_only,
        monitor=output,
        **system.resources(),
    )
    show_hits(result, output, explain=explain, form=chosen_form)


@command(*SYSTEM_RULES, *UNIT_RULES, ONE_FORMAT)
def similar(
    patient_id: Annotated[
        str | None, typer.Argument(help="Id of a patient of the index: all notes are the query.")
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", help="Id of a note: it alone is the query.")
    ] = None,
    index: options.IndexFolder = None,
    top_k: options.TopK = 10,
    other_articles: Annotated[
        bool, typer.Option("--other-articles", help="Leave out patients of the same article.")
    ] = False,
    affirmed_only: AffirmedOnly = False,
    explain: Explain = False,
    form: Format = None,
    *,
    unit: UnitOptions,
    filters: FilterOptions,
    system: SystemOptions,
    output: TableOutput,
) -> None:
    """Find the patients most like one of the index; never that patient.

    Example:
        patientdx similar 8535945-4 --index my-index --other-articles --json
    """
    from workflows.searching import choose_query_id, similar_patients

    choose_query_id(patient_id, note)  # before the index is looked for
    chosen_form = format_of(form, output)
    where, chosen = filters.filter(), system.system()
    result = similar_patients(
        unit.open_index(index),
        patient_id,
        top_k,
        note_id=note,
        other_articles=other_articles,
        system=chosen,
        where=where,
        affirmed_only=affirmed_only,
        monitor=output,
        **system.resources(),
    )
    show_hits(result, output, explain=explain, form=chosen_form)


def _read_note(text: str | None, file: str | None) -> str:
    """The query's text from the argument, a file or stdin."""
    if (text is None) == (file is None):
        raise UsageError("give the note as TEXT or with --file", hint="search --file note.txt")
    source = "-" if text == "-" else file
    if source is not None:
        from patientdx.formats import open_lines

        text = "\n".join(line for _, line in open_lines(source))
    if not text or not text.strip():
        raise InputError("the query is empty", hint="give a note, or words of one")
    return text


def _search_queries(
    source: str,
    fields: QueryFieldOptions,
    top_k: int,
    opened: "Index",
    filters: FilterOptions,
    affirmed_only: bool,
    system: SystemOptions,
    explain: bool,
    output: TableOutput,
) -> "list[SearchResult]":
    from workflows.batch_searching import search_batch
    from workflows.query_files import read_query_file

    file = read_query_file(source, fields.query_fields())
    file.report(output)
    return search_batch(
        opened,
        file.queries,
        top_k,
        system=system.system(),
        where=filters.filter(),
        affirmed_only=affirmed_only,
        explained=explain,
        monitor=output,
        **system.resources(),
    )


def _print_batch(
    results: "list[SearchResult]",
    write_run: Path | None,
    form: "HitFormat | None",
    explain: bool,
    output: TableOutput,
) -> None:
    """Writes the run where one is named, and prints the hits in a format, by default as a run."""
    if write_run is not None:
        from patientdx.formats import write_run as write_trec_run

        run = {result.query.query_id: result.hits for result in results}
        write_trec_run(write_run, run, f"patientdx-{results[0].system}")
    if form is not None or write_run is None:
        show_formatted(results, form or "trec", output, explain=explain)
    hits = count_noun(sum(len(result.hits) for result in results), "hit")
    output.notice(f"{count_noun(len(results), 'query', 'queries')}, {hits}")
