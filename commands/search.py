"""`search` and `similar`: the patients most like a note or like another patient."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patientdx.errors import InputError, UsageError
from patientdx.records import Filter, Hit, Query

from . import options, output

if TYPE_CHECKING:
    from indexer.index import Index
    from indexer.statistics import WeightedTerms

Explain = Annotated[
    bool, typer.Option("--explain", help="Show the share of each matching term in the score.")
]
SHARES_SHOWN = 8


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
    if queries is not None:
        if text is not None or file is not None:
            raise UsageError("--queries goes without TEXT and --file")
        _search_queries(options.open_index(index, k1, b), queries, run, top_k, chosen, quiet=quiet)
        return
    if run is not None:
        raise UsageError("--run goes with --queries", hint="search --queries FILE --run OUT")
    query = Query("query", _note(text, file))
    opened = options.open_index(index, k1, b)
    hits = opened.search_many([query], top_k, chosen)[0]
    _show(opened, query, hits, as_json=as_json, quiet=quiet, explain=explain)


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
    opened = options.open_index(index, k1, b)
    query = Query(patient_id, opened.text(patient_id))
    hits = opened.similar(patient_id, top_k, chosen, other_articles=other_articles)
    _show(opened, query, hits, as_json=as_json, quiet=quiet, explain=explain)


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
    opened: "Index", source: str, run: Path | None, top_k: int, where: Filter, *, quiet: bool
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
            hits = opened.search_many(part, top_k, where)
            found.update(zip((q.query_id for q in part), hits, strict=True))
            tick(len(found))
    write_run("-" if run is None else run, found, "patientdx-bm25")
    output.say(f"{len(found):,} queries, {sum(map(len, found.values())):,} hits", quiet=quiet)


def _show(
    opened: "Index",
    query: Query,
    hits: list[Hit],
    *,
    as_json: bool,
    quiet: bool,
    explain: bool,
) -> None:
    if not hits:
        output.say("no patient matches", quiet=quiet)
    weighed = opened.weigh(query)
    if as_json:
        rows = [_row(opened, weighed, rank, hit) for rank, hit in enumerate(hits, 1)]
        output.json_data({"query_id": query.query_id, "notice": output.RESEARCH, "hits": rows})
        return
    for rank, hit in enumerate(hits, 1):
        if quiet:
            output.data(hit.doc_id)
        else:
            print_hit(opened, weighed, rank, hit, explain=explain)
    output.say(output.RESEARCH, quiet=quiet)


def print_hit(
    opened: "Index", query: "WeightedTerms", rank: int, hit: Hit, *, explain: bool
) -> None:
    """One hit: who it is, the passages that match, and on request what the score is made of."""
    from indexer.explain import passages

    patient = opened.patient(hit.doc_id)
    explanation = opened.explain(query, hit.doc_id)
    person = ", ".join(_person(patient.age_years, patient.sex, patient.derived))
    output.data(f"{rank:>3}. {output.strong(hit.doc_id)}  {hit.score:.3f}  {person}")
    for passage in passages(patient.full_text, explanation.shares, opened.analyzer):
        output.data(f"     … {output.marked(passage.text, passage.matches)} …")
    if explain:
        for share in explanation.shares[:SHARES_SHOWN]:
            part = share.share / explanation.score if explanation.score else 0.0
            output.data(f"       {share.term:<20} {share.share:8.4f} {part:6.1%}  × {share.tf}")
        rest = explanation.shares[SHARES_SHOWN:]
        if rest:
            total = sum(share.share for share in rest)
            output.data(f"       {f'{len(rest)} other terms':<20} {total:8.4f}")


def _person(age: float | None, sex: str | None, derived: tuple[str, ...]) -> list[str]:
    """Age and sex as people say them; what was read out of the note's words is marked."""
    said = []
    if age is not None:
        said.append(_age(age) + (" (from the note)" if "age_years" in derived else ""))
    if sex is not None:
        said.append(sex + (" (from the note)" if "sex" in derived else ""))
    return said


def _age(years: float) -> str:
    if years >= 2:
        return f"{years:.0f} years"
    return f"{years * 12:.0f} months" if years * 12 >= 2 else f"{years * 365.25:.0f} days"


def _row(opened: "Index", query: "WeightedTerms", rank: int, hit: Hit) -> dict[str, Any]:
    from indexer.explain import passages

    patient = opened.patient(hit.doc_id)
    explanation = opened.explain(query, hit.doc_id)
    found = passages(patient.full_text, explanation.shares, opened.analyzer)
    return {
        "rank": rank,
        **asdict(patient),
        "metadata": dict(patient.metadata),
        "score": hit.score,
        "passages": [{"text": p.text, "matches": p.matches} for p in found],
        "explanation": [share._asdict() for share in explanation.shares],
    }
