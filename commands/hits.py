"""How hits are shown: who it is, the passages that match, what the score is made of."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from console.output import RESEARCH, TableOutput
from console.terminal import bold, highlight, line_width, wrap
from patientdx.errors import UsageError
from patientdx.wording import count_noun

if TYPE_CHECKING:
    from indexer.passages import Passage
    from patientdx.assertions import Assertions
    from patientdx.records import Hit, NoteMatches, Patient, Unit
    from workflows.hit_formats import HitFormat
    from workflows.searching import SearchResult

TERMS_SHOWN = 8
ADDED_TERMS_SHOWN = 12
PASSAGE_INDENT = " " * 5


def format_of(form: str | None, output: TableOutput) -> "HitFormat | None":
    """The format that --format, --json or --tsv names. Raises UsageError for an unknown one."""
    from workflows.hit_formats import HIT_FORMATS

    name = form or ("json" if output.as_json else "tsv" if output.as_tsv else None)
    known = next((known for known in HIT_FORMATS if known == name), None)
    if name is not None and known is None:
        hint = f"one of {', '.join(HIT_FORMATS)}"
        raise UsageError(f"--format {name} is not known", hint=hint)
    return known


def show_formatted(
    results: "Sequence[SearchResult]", form: "HitFormat", output: TableOutput, *, explain: bool
) -> None:
    """Print the hits of queries as another program reads them."""
    from workflows.hit_formats import format_hits

    tag = f"patientdx-{results[0].system}"
    output.lines(format_hits(results, form, tag, explain=explain))


def show_hits(
    result: "SearchResult",
    output: TableOutput,
    *,
    explain: bool,
    form: "HitFormat | None" = None,
) -> None:
    """Print the hits of a search in the form that the options name."""
    if not result.hits:
        output.notice(f"no {result.index.by} matches")
    if form in {"json", "tsv"}:
        output = replace(output, as_json=form == "json", as_tsv=form == "tsv")
    elif form is not None:
        show_formatted([result], form, output, explain=explain)
        return
    output.show_table(
        result.to_dict,
        lambda: hit_lines(result, explain=explain),
        lambda: [result.columns(), *result.rows_of_values()],
        lambda: (hit.doc_id for hit in result.hits),
    )
    if not output.as_json:
        output.notice(RESEARCH)


def hit_lines(result: "SearchResult", *, explain: bool) -> Iterator[str]:
    """All hits as text, after the terms that an expansion added."""
    if result.bm25_ranks is not None:
        yield added_line(result)
    for rank, hit in enumerate(result.hits, 1):
        yield from _lines_of_hit(result, rank, hit, explain=explain)


def added_line(result: "SearchResult") -> str:
    """The terms that an expansion added, by weight in descending order."""
    shown = [f"{term} {weight:.2g}" for term, weight in [*result.added.items()][:ADDED_TERMS_SHOWN]]
    hidden = len(result.added) - len(shown)
    more = f" and {hidden} more" if hidden else ""
    return f"{result.system} added: {', '.join(shown) or 'nothing'}{more}"


def rank_change(result: "SearchResult", rank: int) -> str:
    """The rank of a hit under plain BM25, if it is another."""
    if result.bm25_ranks is None:
        return ""
    before = result.bm25_ranks.get(result.hits[rank - 1].doc_id)
    if before == rank:
        return ""
    return f"  (was {before})" if before else "  (new)"


def _lines_of_hit(result: "SearchResult", rank: int, hit: "Hit", *, explain: bool) -> Iterator[str]:
    note = result.note(hit.doc_id)
    person = ", ".join(_person(note))
    change = rank_change(result, rank)
    behind = _notes_behind(note, result.matches[hit.doc_id], result.index.by)
    yield f"{rank:>3}. {bold(hit.doc_id)}  {hit.score:.3f}  {person}{behind}{change}"
    assertions = result.assertions(hit.doc_id)
    for passage in result.passages(hit.doc_id):
        yield from wrap(_shown_passage(passage), PASSAGE_INDENT, line_width())
        if labels := _labelled_words(passage, assertions):
            yield from wrap(f"[{labels}]", PASSAGE_INDENT, line_width())
    if explain:
        yield from _share_lines(result, hit, assertions)


def _notes_behind(note: "Patient", matches: "NoteMatches", by: "Unit") -> str:
    """The best note of a patient with notes of their own ids, its date, and how many match."""
    date = f" of {note.date}" if note.date else ""
    if by == "note":
        owner = f"  patient {matches.patient_id}" if note.note_id else ""
        return f"{owner}  {note.date}" if note.date else owner
    if not note.note_id:
        return f"  note{date}" if date else ""
    if matches.notes_matched < 2:
        return f"  note {note.note_id}{date}"
    first, last = (matches.dates[0], matches.dates[-1]) if matches.dates else ("", "")
    when = f", {first} to {last}" if first != last else ""
    matched = f"{count_noun(matches.notes_matched, 'note')} matched{when}"
    return f"  best note {note.note_id}{date} ({matched})"


def _shown_passage(passage: "Passage") -> str:
    """A passage with its matching words in bold, and dots where the note goes on."""
    before, after = "… " * passage.follows_text, " …" * passage.precedes_text
    return f"{before}{highlight(passage.text, passage.matches)}{after}"


def _labelled_words(passage: "Passage", assertions: "Assertions") -> str:
    """The matching words of a passage that are not affirmed: "negated: fever; family: cancer"."""
    words: dict[str, dict[str, None]] = {}
    for start, end in passage.matches:
        for label in assertions.at(passage.start + start):
            words.setdefault(label, {})[highlight(passage.text[start:end], ())] = None
    return "; ".join(f"{label}: {', '.join(labelled)}" for label, labelled in words.items())


def _share_lines(result: "SearchResult", hit: "Hit", assertions: "Assertions") -> Iterator[str]:
    explanation = result.explanations[hit.doc_id]
    labels = result.count_labels(hit.doc_id, assertions)
    for share in explanation.shares[:TERMS_SHOWN]:
        part = share.share / explanation.score if explanation.score else 0.0
        counts = labels.get(share.term, {})
        of_these = ", ".join(f"{count} {label}" for label, count in counts.items())
        mentions = f"{share.tf} ({of_these})" if of_these else f"{share.tf}"
        yield f"       {share.term:<20} {share.share:8.4f} {part:6.1%}  × {mentions}"
    hidden = explanation.shares[TERMS_SHOWN:]
    if hidden:
        total = sum(share.share for share in hidden)
        yield f"       {f'{len(hidden)} other terms':<20} {total:8.4f}"


def _person(patient: "Patient") -> list[str]:
    """Age and sex as people write them; what was read out of the note's words is marked."""
    parts = []
    if patient.age_years is not None:
        age = _age(patient.age_years, patient.age_until)
        parts.append(age + (" (from the note)" if "age_years" in patient.derived else ""))
    if patient.sex is not None:
        parts.append(patient.sex + (" (from the note)" if "sex" in patient.derived else ""))
    return parts


def _age(years: float, until: float | None) -> str:
    if until is not None:
        return (
            f"{years:.0f} years or older" if until >= 120 else f"{years:.0f} to {until:.0f} years"
        )
    if years >= 2:
        return f"{years:.0f} years"
    return f"{years * 12:.0f} months" if years * 12 >= 2 else f"{years * 365.25:.0f} days"
