"""Hits as other programs read them: CSV, TSV, JSON, JSON lines, TREC runs, and FHIR Lists."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from patientdx.formats.trec import check_run_ids, run_lines

from .searching import RESEARCH_NOTICE, SearchResult

HitFormat = Literal["csv", "tsv", "json", "jsonl", "trec", "fhir"]
HIT_FORMATS: tuple[HitFormat, ...] = get_args(HitFormat)

_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_OTHER_NOTES = re.compile(r"(?:Composition|DiagnosticReport)/[A-Za-z0-9\-.]{1,64}")
_SCORE = "urn:patientdx:score"


def format_hits(
    results: Iterable[SearchResult], form: HitFormat, tag: str, *, explain: bool = False
) -> Iterator[str]:
    """The lines of a text that holds the hits of one or many queries, in their order.

    With `explain` JSON and JSON lines have the notes, passages and shares of terms too. `tag`
    names the system in a TREC run, which raises InputError for ids with white space.
    """
    if form == "json":
        return _json_lines(_hits(result, explain=explain) for result in results)
    if form == "jsonl":
        rows = (row for result in results for row in _rows(result, explain=explain))
        return (json.dumps(row, ensure_ascii=False) for row in rows)
    if form == "trec":
        run = [(result.query.query_id, result.hits) for result in results]
        check_run_ids(run)
        return run_lines(run, tag)
    if form == "fhir":
        return _fhir_lines(list(results))
    return _table(results, {"csv": _csv_row, "tsv": _tsv_row}[form])


def _hits(result: SearchResult, *, explain: bool) -> dict[str, Any]:
    """The hits of a query as JSON; those of `SearchResult.to_dict` where they are explained."""
    if explain:
        return result.to_dict()
    names = result.columns()
    rows = [dict(zip(names, values, strict=True)) for values in result.rows_of_values()]
    return {"query_id": result.query.query_id, "notice": RESEARCH_NOTICE, "hits": rows}


def _rows(result: SearchResult, *, explain: bool) -> Iterator[dict[str, Any]]:
    for hit in _hits(result, explain=explain)["hits"]:
        yield {"query_id": result.query.query_id, **hit}


def _json_lines(values: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A JSON list, one element after the other."""
    opening = "["
    for value in values:
        yield opening
        opening = ","
        yield json.dumps(value, ensure_ascii=False, indent=1)
    yield "[]" if opening == "[" else "]"


def _table(results: Iterable[SearchResult], line: Callable[[Iterable[Any]], str]) -> Iterator[str]:
    header = False
    for result in results:
        if not header:
            yield line(("query_id", *result.columns()))
            header = True
        for values in result.rows_of_values():
            yield line((result.query.query_id, *values))


def _csv_row(values: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _tsv_row(values: Iterable[Any]) -> str:
    """Cells parted by tabs: empty for None, white space folded."""
    return "\t".join("" if value is None else " ".join(str(value).split()) for value in values)


def _fhir_lines(results: list[SearchResult]) -> Iterator[str]:
    """A List of FHIR R4 for one query, a Bundle of Lists for several."""
    lists = [_fhir_list(result) for result in results]
    if len(lists) == 1:
        yield json.dumps(lists[0], ensure_ascii=False, indent=1)
        return
    entries = [{"resource": resource} for resource in lists]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    yield json.dumps(bundle, ensure_ascii=False, indent=1)


def _fhir_list(result: SearchResult) -> dict[str, Any]:
    """The hits as a List; FHIR has no empty arrays, and wants a reason for an empty List."""
    resource: dict[str, Any] = {
        "resourceType": "List",
        "status": "current",
        "mode": "snapshot",
        "title": f"{result.index.by.capitalize()}s most like {result.query.query_id}",
        "note": [{"text": RESEARCH_NOTICE}],
    }
    if not result.hits:
        return {**resource, "emptyReason": {"text": f"no {result.index.by} matches"}}
    kind = "DocumentReference" if result.index.by == "note" else "Patient"
    entries = [
        {
            "extension": [{"url": _SCORE, "valueDecimal": hit.score}],
            "item": _reference(kind, hit.doc_id),
        }
        for hit in result.hits
    ]
    return {**resource, "entry": entries}


def _reference(kind: str, identifier: str) -> dict[str, Any]:
    """A reference to a resource, by its id where FHIR allows such an id, else by an identifier."""
    if kind == "DocumentReference" and _OTHER_NOTES.fullmatch(identifier):
        return {"reference": identifier}
    if _FHIR_ID.fullmatch(identifier):
        return {"reference": f"{kind}/{identifier}"}
    return {"type": kind, "identifier": {"value": identifier}}
