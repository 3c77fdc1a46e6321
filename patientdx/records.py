"""The values that every package exchanges: patients, queries, hits, runs and judgements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from struct import pack, unpack
from typing import Any, Literal, NamedTuple, Protocol

Sex = Literal["F", "M"]

Qrels = dict[str, dict[str, int]]
"""query_id -> doc_id -> relevance."""


Unit = Literal["patient", "note"]
"""What hits are, and whose ids they bear: patients, each with all their notes, or single notes."""


class Hit(NamedTuple):
    """A ranked patient or note. `score` is a float32 value held in a Python float."""

    doc_id: str
    score: float


class TermShare(NamedTuple):
    """Contribution of a term to a score: weight (query weight times idf) times impact."""

    term: str
    share: float
    weight: float
    tf: int


class Explanation(NamedTuple):
    """A score and the shares of its terms, largest first; in float64 they sum to the score."""

    doc_id: str
    score: float
    shares: tuple[TermShare, ...]


class NoteMatches(NamedTuple):
    """The notes behind a hit: whose they are, the best, how many match, and their dates.

    `dates` are those of the notes that match, ascending, without the unknown ones.
    """

    patient_id: str
    note_id: str
    notes_matched: int
    dates: tuple[str, ...]


Run = dict[str, list[Hit]]
"""query_id -> hits, best first."""


@dataclass(frozen=True)
class Patient:
    """A patient's note and what is known of the patient. Its repr has neither text nor metadata.

    A patient with several notes has a `Patient` for each, with its own `note_id`; where that is
    empty, the patient has one note, which goes by the patient's id. `date` is when the note was
    written, in ISO 8601 (a date, or a date and time), empty if unknown. `age_years` is in years
    (0.25 is three months); where only a range is known ("in her 80s", "90+"), it is the youngest,
    and `age_until` the oldest in completed years. `derived` names those of `age_years` and `sex`
    that come from the text of the note instead of fields of the source.
    """

    patient_id: str
    text: str = field(repr=False)
    title: str = field(default="", repr=False)
    age_years: float | None = None
    sex: Sex | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    derived: tuple[str, ...] = ()
    note_id: str = ""
    date: str = ""
    age_until: float | None = None

    @property
    def document_id(self) -> str:
        """The id of the note: its own or, of a patient with one note, the patient's."""
        return self.note_id or self.patient_id

    @property
    def full_text(self) -> str:
        """The indexed text: the title, if any, and the note."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True)
class Query:
    """A query: a text, and what an expander adds to the terms of the text; its repr shows neither.

    `weights` maps words (analysed like the text) to how often each counts; fractions are
    allowed. `terms` does the same for index terms, which are taken as they are: feedback finds
    terms that have been stemmed already. Where the text holds a term too, the counts are added.
    """

    query_id: str
    text: str = field(repr=False)
    weights: Mapping[str, float] = field(default_factory=dict, repr=False)
    terms: Mapping[str, float] = field(default_factory=dict, repr=False)


class FieldCondition(Protocol):
    """A condition on a metadata field of notes, see `patientdx.conditions`."""

    @property
    def field(self) -> str:
        """The name of the field."""
        ...

    @property
    def values(self) -> tuple[str, ...]:
        """What values of the field are compared with."""
        ...

    @property
    def equal_texts(self) -> tuple[str, ...] | None:
        """The texts of which a value must be equal to any; None for all other comparisons."""
        ...

    @property
    def compared(self) -> str:
        """What a value must be for the comparison to read it, such as `a number`."""
        ...

    def matches(self, value: str) -> bool | None:
        """Whether a value passes; None where the comparison cannot read it."""
        ...

    def of_field(self, field: str) -> "FieldCondition":
        """The same condition on another field."""
        ...


class Facet(NamedTuple):
    """A value of a field, and how many patients and notes have it."""

    value: str
    patients: int
    notes: int


@dataclass(frozen=True)
class Filter:
    """Conditions on hits; all that are set must hold.

    `age` is an inclusive range in completed years: `(60, 80)` admits patients from the 60th
    birthday to the day before the 81st. Patients of unknown age or sex never pass a condition on
    it. Conditions hold for single notes; `exclude_ids` are ids of patients, and exclude all their
    notes. `where` and `exclude_where` are pairs of a field and a text that its value must equal or
    not equal; `conditions` also compare numbers and dates (`parse_condition("los>=3")`).
    """

    sex: Sex | None = None
    age: tuple[float | None, float | None] | None = None
    where: tuple[tuple[str, str], ...] = ()
    exclude_ids: frozenset[str] = frozenset()
    exclude_where: tuple[tuple[str, str], ...] = ()
    conditions: tuple[FieldCondition, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when every patient passes."""
        return self == Filter()


def float32(score: float) -> float:
    """A number rounded to float32; infinite if it is out of range."""
    try:
        return float(unpack("f", pack("f", score))[0])
    except OverflowError:
        return float("inf") if score > 0 else float("-inf")


def ranked(scores: Mapping[str, float] | Iterable[tuple[str, float]]) -> list[Hit]:
    """Hits in the order of trec_eval, which is used everywhere.

    Scores are compared as float32, ties go by doc_id in descending order.
    """
    pairs = scores.items() if isinstance(scores, Mapping) else scores
    hits = [Hit(doc_id, float32(score)) for doc_id, score in pairs]
    hits.sort(key=lambda hit: (hit.score, hit.doc_id), reverse=True)
    return hits
