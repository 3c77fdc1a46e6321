"""`search` and `similar`: the patients most like a note or like another patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.option_groups import Needs, command, is_set
from console.output import TableOutput
from console.output_files import NewFiles
from patientdx.errors import InputError, UsageError
from workflows.wording import count_noun

from . import options
from .hits import show_hits
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

Explain = Annotated[
    bool, typer.Option("--explain", help="Show the share of each matching term in the score.")
]
OldRun = Annotated[
    Path | None,
    typer.Option("--run", hidden=True, help="Former name of --write-run."),
]


@command(
    *SYSTEM_RULES,
    Needs(QUERY_FIELDS, is_set("queries"), "search --queries FILE"),
    *UNIT_RULES,
    Needs(("write_run",), is_set("queries"), "search --queries FILE --write-run OUT"),
    Needs(
        ("explain", "as_json", "as_tsv"),
        lambda values: values["queries"] is None,
        "many queries make a TREC run: --write-run FILE, or standard output",
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
    explain: Explain = False,
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

    if run is not None:
        raise UsageError("--run is called --write-run now", hint=f"--write-run {run}")
    where, chosen = filters.filter(), system.system()
    if queries is not None:
        if text is not None or file is not None:
            raise UsageError("--queries goes without TEXT and --file")
        opened = unit.open_index(index)
        _search_queries(queries, fields, write_run, top_k, opened, filters, system, output)
        return
    note = _read_note(text, file)
    result = search_patients(
        unit.open_index(index),
        note,
        top_k,
        system=chosen,
        where=where,
        monitor=output,
        **system.resources(),
    )
    show_hits(result, output, explain=explain)


@command(*SYSTEM_RULES, *UNIT_RULES)
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
    explain: Explain = False,
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
    from workflows.searching import similar_patients

    where, chosen = filters.filter(), system.system()
    result = similar_patients(
        unit.open_index(index),
        patient_id,
        top_k,
        note_id=note,
        other_articles=other_articles,
        system=chosen,
        where=where,
        monitor=output,
        **system.resources(),
    )
    show_hits(result, output, explain=explain)


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
    write_run: Path | None,
    top_k: int,
    opened: "Index",
    filters: FilterOptions,
    system: SystemOptions,
    output: TableOutput,
) -> None:
    from patientdx.formats import write_run as write_trec_run
    from workflows.query_files import read_query_file
    from workflows.searching import search_queries
    from workflows.systems import SystemBuilder, open_resources

    where, chosen = filters.filter(), system.system()
    file = read_query_file(source, fields.query_fields())
    file.report(output)
    with open_resources(
        chosen.system.strategies, opened, where=where, monitor=output, **system.resources()
    ) as resources:
        searcher = SystemBuilder(opened, resources).build_searcher(chosen)
        hits = search_queries(searcher, file.queries, top_k, where, output)
    write_trec_run("-" if write_run is None else write_run, hits, f"patientdx-{chosen}")
    total = sum(map(len, hits.values()))
    output.notice(f"{count_noun(len(hits), 'query', 'queries')}, {count_noun(total, 'hit')}")
