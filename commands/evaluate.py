"""`evaluate-ir`: retrieval measured as the field measures it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patientdx.errors import UsageError

from . import options, output

if TYPE_CHECKING:
    from indexer.index import Index


def evaluate_ir(
    index: options.IndexFolder = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A BEIR or ReCDS folder with queries and qrels.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which judgements of --data.")] = "test",
    queries: Annotated[str | None, typer.Option("--queries", help="A queries file.")] = None,
    qrels: Annotated[str | None, typer.Option("--qrels", help="A judgements file.")] = None,
    measures: Annotated[
        str, typer.Option("--measures", help="Measures as ir_measures names them.")
    ] = "RR P@10 nDCG@10 R@1000",
    depth: Annotated[int, typer.Option("--depth", min=1, help="Hits taken a query.")] = 1000,
    run: Annotated[Path | None, typer.Option("--run", help="Write the TREC run.")] = None,
    per_query: Annotated[
        Path | None, typer.Option("--per-query", help="Write every query's values as CSV.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown, latex or json.")] = "text",
    k1: options.K1 = None,
    b: options.B = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure an index against relevance judgements, with 95 % intervals.

    Example:
        patientdx evaluate-ir --index my-index --data ReCDS --split dev --format markdown
    """
    from evaluator import FORMATS, build_table, evaluate_searcher, per_query_csv, render
    from patientdx.formats import atomic_writer, read_qrels, read_queries, write_run

    if form not in FORMATS:
        raise UsageError(
            f"`{form}` is not a format of tables", hint=f"formats are {', '.join(FORMATS)}"
        )
    query_source, qrel_source = _sources(data, split, queries, qrels)
    opened = options.open_index(index, k1, b)
    judged = read_qrels(qrel_source)
    done = 0
    with output.progress("evaluating", len(judged), quiet=quiet) as tick:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            tick(done)

        evaluation, found, counts = evaluate_searcher(
            opened,
            read_queries(query_source),
            judged,
            tuple(measures.replace(",", " ").split()),
            depth=depth,
            on_progress=advance,
        )
    if run is not None:
        write_run(run, found, "patientdx-bm25")
    if per_query is not None:
        with atomic_writer(per_query) as out:
            out.write(per_query_csv({"bm25": evaluation}))
    if counts.unjudged_dropped:
        output.say(f"{counts.unjudged_dropped:,} queries have no judgements: left out", quiet=quiet)
    if counts.missing_queries:
        output.say(f"{counts.missing_queries:,} judged queries have no text: score 0", quiet=quiet)
    table = build_table({"bm25": evaluation}, _notes(opened, str(query_source), str(qrel_source)))
    typer.echo(render(table, "json" if as_json else form), nl=False)


def _sources(
    data: Path | None, split: str, queries: str | None, qrels: str | None
) -> tuple[Path | str, Path | str]:
    from patientdx.formats import evaluation_files

    if data is not None and queries is None and qrels is None:
        files = evaluation_files(data, split)
        return files.queries, files.qrels
    if data is None and queries is not None and qrels is not None:
        return queries, qrels
    raise UsageError(
        "give --data FOLDER, or both --queries and --qrels",
        hint="evaluate-ir --index my-index --data ReCDS --split dev",
    )


def _notes(opened: "Index", queries: str, qrels: str) -> dict[str, str]:
    analysis, bm25 = opened.manifest.analysis, opened.bm25
    return {
        "queries": queries,
        "qrels": qrels,
        "corpus": f"{opened.size:,} patients, index {opened.manifest.digest[:12]}",
        "system": f"bm25: k1 {bm25.k1}, b {bm25.b}, stop words {analysis.stopwords}, "
        f"stemmer {analysis.stemmer}; identical ids dropped; RR over the whole ranking",
    }
