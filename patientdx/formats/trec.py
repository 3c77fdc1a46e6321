"""Writes TREC and BEIR judgements; reads and writes TREC runs and results JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from patientdx.errors import InputError
from patientdx.records import Hit, Qrels, Run, ranked
from patientdx.storage.atomic import atomic_writer
from patientdx.storage.text_files import Source, TextInput
from patientdx.wording import count_noun

_RANKED = "a line of a run is: query-id Q0 document-id rank score tag"
_LARGEST = 3.4028235e38  # the largest float32, in its own shortest form


def write_qrels(path: Source, qrels: Qrels, form: Literal["beir", "trec"] = "beir") -> None:
    """Writes judgements as BEIR's three columns with a header, or as TREC's four columns.

    Raises InputError for ids that the format cannot represent.
    """
    with atomic_writer(path) as stream:
        if form == "beir":
            stream.write("query-id\tcorpus-id\tscore\n")
        for query_id, graded in qrels.items():
            _check_id(query_id, "query id", spaces=form == "beir")
            for doc_id, grade in graded.items():
                _check_id(doc_id, "document id", spaces=form == "beir")
                cells = (query_id, "0", doc_id, str(grade))
                stream.write(
                    "\t".join(cells[:1] + cells[2:]) if form == "beir" else " ".join(cells)
                )
                stream.write("\n")


def _check_id(value: str, what: str, *, spaces: bool = False) -> None:
    plain = value if not spaces else value.replace(" ", "_")
    if not value or value != value.strip() or not plain.isprintable() or " " in plain:
        raise InputError(
            f"the {what} `{value!r}` cannot be written: it is empty or holds white space",
            hint="TREC files are separated by white space; give the rows other ids, or have hits "
            "printed by --json or --format csv, jsonl or fhir",
        )


def read_run(path: Source) -> Run:
    """A TREC run (`qid Q0 docid rank score tag`) or results JSON `{qid: {docid: score}}`.

    A file that begins with a brace is JSON, unless its first line is one of a run; JSON is held in
    memory while it is decoded.
    Hits are in the order of `ranked()`: by float32 score, ties by document id, descending; the
    rank column is ignored. Raises InputError for rows that are malformed, repeat a pair
    or have a score that float32 cannot hold.
    """
    with TextInput(path) as source:
        is_json = source.first_character() == "{" and not _is_run_line(source.first_line())
        scored = _json_scores(source) if is_json else _trec_scores(source)
    return {query_id: ranked(scores) for query_id, scores in scored.items()}


def _is_run_line(line: str) -> bool:
    """Whether a line has six columns with a rank, though its first id may begin with a brace."""
    cells = line.split()
    return len(cells) == 6 and cells[3].isdecimal()


def _trec_scores(source: TextInput) -> dict[str, dict[str, float]]:
    scored: dict[str, dict[str, float]] = {}
    for text in source.lines():
        cells = text.split()
        if not cells:
            continue
        if len(cells) != 6:
            problem = f"{count_noun(len(cells), 'column')} instead of 6"
            raise InputError.at(source.name, source.line, problem, hint=_RANKED)
        query_id, _, doc_id, _, score, _ = cells
        scores = scored.setdefault(query_id, {})
        if doc_id in scores:
            problem = f"`{doc_id}` was ranked for query `{query_id}` already"
            raise InputError.at(source.name, source.line, problem, hint="keep one of the lines")
        scores[doc_id] = _score(score, source)
    return scored


def _score(cell: str, source: TextInput) -> float:
    try:
        score = float(cell.replace("_", "?"))  # Python reads 1_0 as ten, trec_eval as one
    except ValueError as error:
        raise InputError.at(
            source.name, source.line, "the score is no number", hint=_RANKED
        ) from error
    if not abs(score) <= _LARGEST:
        problem = "the score is not finite in float32"
        raise InputError.at(source.name, source.line, problem, hint=_RANKED)
    return score


def _json_scores(source: TextInput) -> dict[str, dict[str, float]]:
    skipped = source.line  # lines of white space before the brace
    try:
        results = json.loads("".join(source.chunks()), object_pairs_hook=_unique_keys)
    except _RepeatedKeyError as error:
        raise InputError(f"{source.name}: the id `{error}` stands twice in one object") from error
    except json.JSONDecodeError as error:
        line = skipped + error.lineno
        raise InputError.at(source.name, line, f"malformed JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source.name}: malformed JSON") from error
    for query_id, scores in results.items():
        if not isinstance(scores, dict):
            raise InputError(f"{source.name}: query `{query_id}` has no object of scores")
        for doc_id, score in scores.items():
            if not _is_finite(score):
                problem = f"the score of `{doc_id}` for query `{query_id}` is no finite number"
                raise InputError(f"{source.name}: {problem}")
    return {query_id: dict(scores) for query_id, scores in results.items()}


class _RepeatedKeyError(Exception):
    """A JSON object repeats a key; `json` itself would silently keep the last."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise _RepeatedKeyError(name)
        values[name] = value
    return values


def _is_finite(score: object) -> bool:
    if isinstance(score, bool) or not isinstance(score, int | float):
        return False
    return abs(score) <= _LARGEST


def write_run(path: Source, run: Mapping[str, Iterable[Hit]], tag: str = "patientdx") -> None:
    """Writes a TREC run with the hits in their order, ranked from 1.

    Scores are written in the shortest form that parses to the same number, so that none become
    equal. Raises InputError for a tag or an id with white space, for a document ranked
    twice and for a score that float32 cannot hold.
    """
    with atomic_writer(path) as stream:
        for line in run_lines(run.items(), tag):
            stream.write(f"{line}\n")


def check_run_ids(run: Iterable[tuple[str, Iterable[Hit]]]) -> None:
    """Raises InputError for ids that a TREC run cannot hold, before any line is written."""
    for query_id, hits in run:
        _check_id(query_id, "query id")
        for hit in hits:
            _check_id(hit.doc_id, "document id")


def run_lines(run: Iterable[tuple[str, Iterable[Hit]]], tag: str) -> Iterator[str]:
    """The lines of a TREC run, see `write_run`."""
    _check_id(tag, "tag")
    for query_id, hits in run:
        _check_id(query_id, "query id")
        yield from _lines_of_query(query_id, list(hits), tag)


def _lines_of_query(query_id: str, hits: list[Hit], tag: str) -> Iterator[str]:
    seen: set[str] = set()
    for rank, (hit, score) in enumerate(zip(hits, _shortest(query_id, hits), strict=True), 1):
        _check_id(hit.doc_id, "document id")
        if hit.doc_id in seen:
            raise InputError(f"query `{query_id}` ranks `{hit.doc_id}` twice")
        seen.add(hit.doc_id)
        yield f"{query_id} Q0 {hit.doc_id} {rank} {score} {tag}"


def _shortest(query_id: str, hits: list[Hit]) -> Iterator[str]:
    """Scores as text: in float32 where they are exact in it, else in float64."""
    scores = np.array([hit.score for hit in hits], np.float64)
    if not (np.abs(scores) <= _LARGEST).all():
        raise InputError(f"query `{query_id}` has a score that is not finite in float32")
    narrow = scores.astype(np.float32)
    for wide, exact, short in zip(scores.tolist(), narrow == scores, narrow, strict=True):
        yield str(short) if exact else repr(wide)
