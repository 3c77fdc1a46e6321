"""How hits are shown: who it is, the passages that match, what the score is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from patientdx.records import Hit, Query

from . import output

if TYPE_CHECKING:
    from indexer.index import Index
    from indexer.scoring.statistics import WeightedTerms

SHARES_SHOWN = 8
ADDED_SHOWN = 12


@dataclass(frozen=True)
class Finding:
    """The hits of a query, and where it was expanded: by what system, which words or terms that
    added with their weights, and the ranks that plain BM25 gave.
    """

    index: "Index"
    query: Query
    hits: Sequence[Hit]
    system: str = "bm25"
    added: Mapping[str, float] = field(default_factory=dict)
    ranks_before: Mapping[str, int] | None = None


def show(found: Finding, *, as_json: bool, quiet: bool, explain: bool) -> None:
    """Prints hits."""
    if not found.hits:
        output.say("no patient matches", quiet=quiet)
    weighed = found.index.weigh(found.query)
    if as_json:
        rows = [_row(found, weighed, rank, hit) for rank, hit in enumerate(found.hits, 1)]
        about: dict[str, Any] = {"query_id": found.query.query_id, "notice": output.RESEARCH}
        if found.ranks_before is not None:
            about |= {"system": found.system, "added": dict(found.added)}
        output.json_data({**about, "hits": rows})
        return
    if found.ranks_before is not None and not quiet:
        print_added(found)
    for rank, hit in enumerate(found.hits, 1):
        if quiet:
            output.data(hit.doc_id)
        else:
            print_hit(found.index, weighed, rank, hit, explain=explain, moved=moved(found, rank))
    output.say(output.RESEARCH, quiet=quiet)


def print_added(found: Finding) -> None:
    """The terms that an expansion added, the weightiest first."""
    shown = [f"{term} {weight:.2g}" for term, weight in [*found.added.items()][:ADDED_SHOWN]]
    rest = len(found.added) - len(shown)
    more = f" and {rest} more" if rest else ""
    output.data(f"{found.system} added: {', '.join(shown) or 'nothing'}{more}")


def moved(found: Finding, rank: int) -> str:
    """Where plain BM25 has this hit, if elsewhere."""
    if found.ranks_before is None:
        return ""
    before = found.ranks_before.get(found.hits[rank - 1].doc_id)
    if before == rank:
        return ""
    return f"  (was {before})" if before else "  (new)"


def print_hit(
    opened: "Index",
    query: "WeightedTerms",
    rank: int,
    hit: Hit,
    *,
    explain: bool,
    moved: str = "",
) -> None:
    """One hit: who it is, the passages that match, and on request what the score is made of."""
    from indexer.explain import find_passages

    patient = opened.patient(hit.doc_id)
    explanation = opened.explain(query, hit.doc_id)
    person = ", ".join(_person(patient.age_years, patient.sex, patient.derived))
    output.data(f"{rank:>3}. {output.strong(hit.doc_id)}  {hit.score:.3f}  {person}{moved}")
    text = patient.full_text
    for passage in find_passages(text, explanation.shares, opened.spans(text)):
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


def _row(found: Finding, query: "WeightedTerms", rank: int, hit: Hit) -> dict[str, Any]:
    from indexer.explain import find_passages

    opened = found.index
    patient = opened.patient(hit.doc_id)
    explanation = opened.explain(query, hit.doc_id)
    text = patient.full_text
    shown = find_passages(text, explanation.shares, opened.spans(text))
    before = {} if found.ranks_before is None else {"bm25_rank": found.ranks_before.get(hit.doc_id)}
    return {
        "rank": rank,
        **before,
        **asdict(patient),
        "metadata": dict(patient.metadata),
        "score": hit.score,
        "passages": [{"text": p.text, "matches": p.matches} for p in shown],
        "explanation": [share._asdict() for share in explanation.shares],
    }
