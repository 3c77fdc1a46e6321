"""`search` and `similar`: the patients most like a note or like another patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import InputError, UsageError
from patientdx.records import Filter, Hit, Query

from . import asking, expansion, options, output
from .hits import show

if TYPE_CHECKING:
    from patientdx.protocols import Searcher

Explain = Annotated[
    bool, typer.Option("--explain", help="Show the share of each matching term in the score.")
]


def search(
    text: Annotated[
        str | None, typer.Argument(help="The note, or words of it; - for stdin.")
    ] = None,
    index: options.IndexFolder = None,
    file: Annotated[
        str | None, typer.Option("--file", help="Read the note from a file, or - for stdin.")
    ] = None,
    queries: Annotated[
        str | None, typer.Option("--queries", help="Many queries: a JSONL or TSV file, or -.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Write the hits of --queries as a TREC run.")
    ] = None,
    top_k: options.TopK = 10,
    sex: options.SexOption = None,
    age: options.AgeOption = None,
    where: options.WhereOption = None,
    explain: Explain = False,
    expand: expansion.Expand = None,
    fuse: expansion.Fuse = None,
    settings: expansion.SettingsFile = None,
    model: asking.ModelName = asking.DEFAULT_MODEL,
    backend: asking.BackendName = "auto",
    quantize: asking.Quantize = "none",
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    vocabulary: expansion.Vocabulary = None,
    no_cache: asking.NoCache = False,
    allow_remote: asking.AllowRemote = False,
    k1: options.K1 = None,
    b: options.B = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the patients most like a note.

    Example:
        patientdx search 'fever and a new murmur' --index my-index --sex F --age 30-50 --explain
    """
    chosen = options.filter_from(sex, age, where)
    system = expansion.chosen_system(expand, fuse, settings, k1, b)
    asked = asking.Asked(
        model, backend, quantize, dtype, prompt_format, vocabulary, no_cache, allow_remote, quiet
    )
    if queries is not None:
        if text is not None or file is not None:
            raise UsageError("--queries goes without TEXT and --file")
        opened = options.open_index(index)
        with expansion.means(system.system.strategies, asked, opened, chosen) as given:
            searcher = expansion.built(system, opened, given)
            _search_queries(searcher, queries, run, top_k, chosen, system=str(system), quiet=quiet)
        return
    if run is not None:
        raise UsageError("--run goes with --queries", hint="search --queries FILE --run OUT")
    query = Query("query", _note(text, file))
    found = expansion.find(options.open_index(index), query, system, asked, chosen, top_k)
    show(found, as_json=as_json, quiet=quiet, explain=explain)


def similar(
    patient_id: Annotated[str, typer.Argument(help="Id of a patient of the index.")],
    index: options.IndexFolder = None,
    top_k: options.TopK = 10,
    sex: options.SexOption = None,
    age: options.AgeOption = None,
    where: options.WhereOption = None,
    other_articles: Annotated[
        bool, typer.Option("--other-articles", help="Leave out patients of the same article.")
    ] = False,
    explain: Explain = False,
    expand: expansion.Expand = None,
    fuse: expansion.Fuse = None,
    settings: expansion.SettingsFile = None,
    model: asking.ModelName = asking.DEFAULT_MODEL,
    backend: asking.BackendName = "auto",
    quantize: asking.Quantize = "none",
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    vocabulary: expansion.Vocabulary = None,
    no_cache: asking.NoCache = False,
    allow_remote: asking.AllowRemote = False,
    k1: options.K1 = None,
    b: options.B = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the patients most like one of the index; never that patient.

    Example:
        patientdx similar 8535945-4 --index my-index --other-articles --json
    """
    chosen = options.filter_from(sex, age, where)
    asked = asking.Asked(
        model, backend, quantize, dtype, prompt_format, vocabulary, no_cache, allow_remote, quiet
    )
    opened = options.open_index(index)
    query = Query(patient_id, opened.text(patient_id))
    others = opened.exclusion_filter(patient_id, chosen, other_articles=other_articles)
    system = expansion.chosen_system(expand, fuse, settings, k1, b)
    found = expansion.find(opened, query, system, asked, others, top_k)
    show(found, as_json=as_json, quiet=quiet, explain=explain)


def _note(text: str | None, file: str | None) -> str:
    """The query's text from wherever it was given."""
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
    searcher: "Searcher",
    source: str,
    run: Path | None,
    top_k: int,
    where: Filter,
    *,
    system: str,
    quiet: bool,
) -> None:
    from patientdx.formats import read_queries, write_run

    asked = list(read_queries(source))
    if not asked:
        name = "stdin" if source == "-" else source
        raise InputError(f"{name}: there are no queries in it", hint="is it the right file?")
    found: dict[str, list[Hit]] = {}
    with output.progress("searching", len(asked), quiet=quiet) as tick:
        for start in range(0, len(asked), 512):
            part = asked[start : start + 512]
            hits = searcher.search_many(part, top_k, where)
            found.update(zip((q.query_id for q in part), hits, strict=True))
            tick(len(found))
    write_run("-" if run is None else run, found, f"patientdx-{system}")
    total = sum(map(len, found.values()))
    said = f"{output.counted(len(found), 'query', 'queries')}, {output.counted(total, 'hit')}"
    output.say(said, quiet=quiet)
