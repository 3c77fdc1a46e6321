"""The interfaces of searchers, expanders and language models.

All work on batches and keep their order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from .records import Explanation, Facet, Filter, Hit, NoteMatches, Patient, Query, Unit


@runtime_checkable
class Searcher(Protocol):
    """Ranks patients (or notes) for queries."""

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The `k` best hits of each query, best first; only hits with a score above zero."""
        ...


@runtime_checkable
class RankingSearcher(Searcher, Protocol):
    """A searcher that computes the ranks of patients without listing the complete ranking."""

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The one-based ranks of the patients `doc_ids[i]` for query i; None for a score of zero.

        `where` holds a filter for each query (or None for all).
        """
        ...


@runtime_checkable
class CorpusView(Protocol):
    """Texts and term statistics of an index, for query expansion by feedback."""

    @property
    def size(self) -> int:
        """Number of live notes."""
        ...

    def text(self, doc_id: str) -> str:
        """The title and text of a hit, as indexed; of a patient, all notes."""
        ...

    def term_vector(self, doc_id: str) -> Mapping[str, int]:
        """Index terms of a hit with their frequencies."""
        ...

    def document_frequency(self, term: str) -> int:
        """Number of live notes whose text contains an index term."""
        ...

    def terms(self, text: str) -> list[str]:
        """The index terms that a text asks for, in order."""
        ...

    def words(self, text: str) -> list[str]:
        """The words behind `terms`, in lower case, with stop words and not stemmed."""
        ...


class BM25Parameters(Protocol):
    """The parameters of BM25."""

    @property
    def k1(self) -> float:
        """Saturation of term frequency, at least 0."""
        ...

    @property
    def b(self) -> float:
        """Strength of length normalisation, between 0 and 1."""
        ...


@runtime_checkable
class PatientIndex(RankingSearcher, CorpusView, Protocol):
    """An index of patients: what the commands and workflows need of a search engine.

    `indexer.index.Index` is PatientDx's own; another engine (Lucene, Elasticsearch) implements
    this protocol. It must provide

    * an immutable state: all answers of an object come from one state of the index, identified by
      `digest`, whatever is added or deleted meanwhile;
    * BM25 scores as float32, hits ordered by score and then by descending id (`records.ranked`),
      the same for the same query in any batch;
    * weighted queries (`Query.weights` and `Query.terms`) and all conditions of `Filter`, which
      restrict the notes that count but not the term statistics;
    * hits that are patients, who bear the ids of patients, or notes where `with_unit` chose these;
    * `NotFoundError` for an unknown id, and `InputError` for invalid queries, filters or `k`.
    """

    @property
    def digest(self) -> str:
        """Hash of the patients and how they are indexed; keys caches, together with `bm25`."""
        ...

    @property
    def bm25(self) -> BM25Parameters:
        """The BM25 parameters in use."""
        ...

    def with_bm25(self, k1: float | None = None, b: float | None = None) -> "PatientIndex":
        """The same state with other BM25 parameters; None keeps a parameter."""
        ...

    def __contains__(self, doc_id: object) -> bool:
        """Whether there is a live patient with an id."""
        ...

    @property
    def patient_count(self) -> int:
        """Number of patients with a live note."""
        ...

    def with_unit(self, by: Unit | None = None, pool: str | None = None) -> "PatientIndex":
        """The same state whose hits are patients or notes; None keeps what was chosen.

        A patient scores as their best note with `pool="max"`, and as the sum of the K best with
        `sum:K`.
        """
        ...

    @property
    def by(self) -> Unit:
        """Whether hits are patients or notes."""
        ...

    @property
    def pool(self) -> str:
        """How notes make the score of a patient: `max` or `sum:K`."""
        ...

    @property
    def pools_notes(self) -> bool:
        """Whether hits are patients who may have several notes, with ids of their own."""
        ...

    def search_best_notes(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The hits of `search_many`, each patient under the id of their best note."""
        ...

    def patients_of(self, note_ids: Sequence[str]) -> list[str]:
        """The ids of the patients of notes."""
        ...

    def patient(self, doc_id: str) -> Patient:
        """The patient with an id, by their first note; or the note."""
        ...

    def note(self, note_id: str) -> Patient:
        """The note with an id, with what is known of its patient."""
        ...

    def notes(self, patient_id: str) -> list[Patient]:
        """All notes of a patient, in the order they were added."""
        ...

    def match_notes(
        self, query: Query, doc_ids: Sequence[str], where: Filter | None = None
    ) -> list[NoteMatches]:
        """The notes behind hits of a query under a filter: the best one, and how many match."""
        ...

    def patients(self) -> Iterator[Patient]:
        """All live notes with what is known of their patients, in the order they were added."""
        ...

    def exclusion_filter(
        self, patient_id: str, where: Filter | None = None, *, other_articles: bool = False
    ) -> Filter:
        """`where`, which also excludes all notes of a patient; used to find similar patients.

        `other_articles` excludes all patients described in the same article.
        """
        ...

    def explain(self, query: Query, doc_id: str) -> Explanation:
        """The share of each query term in the score of a note, or of a patient's best note."""
        ...

    def explain_many(self, query: Query, doc_ids: Sequence[str]) -> list[Explanation]:
        """The same for several hits, with the query analysed once."""
        ...

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, term) of each indexed word of a text, for highlighting."""
        ...

    def describe(self) -> dict[str, Any]:
        """Size, settings and origin of the index, for display.

        Has at least the keys `patients`, `corpus`, `stop_words`, `stemmer`, `bm25`, `digest` and
        `software`.
        """
        ...


@runtime_checkable
class FieldIndex(Protocol):
    """An index that counts the values of metadata fields."""

    def facets(self, field: str, where: Filter | None = None) -> list[Facet]:
        """The values of a field with the numbers of patients and notes, most notes first."""
        ...

    def unreadable_values(self, where: Filter) -> list[tuple[str, int]]:
        """Fields of conditions, with the numbers of notes whose value cannot be compared."""
        ...


@runtime_checkable
class Expander(Protocol):
    """Adds weighted terms to queries."""

    name: str

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The same queries, in order, with `weights` added."""
        ...


@dataclass(frozen=True)
class GenerationSettings:
    """How text is generated; greedy unless `temperature` is above zero.

    `stop` are strings before which the text ends. With one `seed` a prompt is continued in the
    same way, whatever else is in its batch.
    """

    max_new_tokens: int = 200
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


GREEDY = GenerationSettings()


@dataclass(frozen=True)
class Prompt:
    """A question around a patient's note, which is shortened where the context is short.

    A note made of `sections` (their texts joined) is shortened section by section: short ones stay
    as they are, each of the longest loses its middle.
    """

    before: str = ""
    note: str = ""
    after: str = ""
    sections: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it."""
        return self.before + self.note + self.after


StopReason = Literal["stop", "length"]
"""Why a completion ended: at an end token or stop string, or at `max_new_tokens`."""


@dataclass(frozen=True)
class Completion:
    """The text a model wrote for one prompt, with its token usage.

    Counts and the stop reason are None where the backend does not report them. `truncated` says
    that the prompt was shortened to fit the context, `unchecked` that its length could not be
    compared with the context, as the server does not report that.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool = False
    stop_reason: StopReason | None = None
    unchecked: bool = False


@dataclass(frozen=True)
class ModelDescription:
    """How a model is run, for reports; "auto" and 0 are choices left to the backend.

    `dtype`, `prompt_format` and `device` are the actual ones where the backend knows them, else
    those of the settings. `context` is the limit set by the user, in tokens.
    """

    dtype: str = "auto"
    prompt_format: str = "auto"
    quantization: str = "none"
    context: int = 0
    device: str = "auto"


class Choice(NamedTuple):
    """A model's choice among answers to a question.

    `logprobs` has the natural-log probability of each answer, `reply` is the text the model
    generates, `tokens` the length of the prompt, `cut` whether that was shortened to fit.
    """

    logprobs: tuple[float, ...]
    reply: str
    tokens: int
    cut: bool


@runtime_checkable
class LanguageModel(Protocol):
    """Properties shared by all language models."""

    @property
    def name(self) -> str:
        """Name shown to users."""
        ...

    @property
    def digest(self) -> str:
        """Cache key of the model: changes with everything that changes its output."""
        ...

    @property
    def batch(self) -> int:
        """Preferred number of prompts per call."""
        ...

    @property
    def description(self) -> ModelDescription:
        """How the model is run."""
        ...


@runtime_checkable
class Generator(LanguageModel, Protocol):
    """A language model that generates text."""

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""
        ...


@runtime_checkable
class Scorer(LanguageModel, Protocol):
    """A language model that returns the probabilities of texts."""

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Natural-log probabilities of the tokens of each continuation, conditional on its prompt.

        No chat template is applied. Pairs that share a prompt cost one forward pass of it.
        `("", text)` scores a text on its own: its first token follows the model's start token (or,
        without one, its end token).
        """
        ...


@runtime_checkable
class Chooser(LanguageModel, Protocol):
    """A language model that chooses among answers."""

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by number of the prompt, batch by batch, in any order of prompts.

        An answer is a list of surface forms. Its probability is that of a reply beginning with one
        of them: the sum over its forms without those that extend another form. A prompt is
        processed once for its answers and its greedy reply of at most `new_tokens` tokens. Raises
        ModelError where a form of one answer extends a form of another.
        """
        ...
