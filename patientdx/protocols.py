"""The seams: what a searcher, an expander and a language model must offer.

Batches in, batches out, in the same order. Every model has a `digest`, which keys caches.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from .records import Filter, Hit, Query


@runtime_checkable
class Searcher(Protocol):
    """Ranks patients for queries."""

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        """The `k` best hits of each query, best first; only hits with a score above zero."""
        ...


@runtime_checkable
class RankingSearcher(Searcher, Protocol):
    """A searcher that can tell the rank of given patients without listing the whole ranking."""

    def ranks_many(
        self,
        queries: Sequence[Query],
        doc_ids: Sequence[Sequence[str]],
        where: Sequence[Filter | None] | None = None,
    ) -> list[list[int | None]]:
        """The one-based rank of each given patient; None where its score is zero.

        `where` holds one filter a query (or None for all).
        """
        ...


@runtime_checkable
class CorpusView(Protocol):
    """What feedback and explanation need to know of an index."""

    @property
    def size(self) -> int:
        """Number of live patients."""
        ...

    def text(self, doc_id: str) -> str:
        """The title and note of a patient, as indexed."""
        ...

    def term_vector(self, doc_id: str) -> Mapping[str, int]:
        """Index terms of a patient with their frequencies."""
        ...

    def document_frequency(self, term: str) -> int:
        """Number of live patients that hold an index term."""
        ...

    def terms(self, text: str) -> list[str]:
        """A text as index terms, in order."""
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
    """A question around a patient's note; the note is what is cut where the context is short.

    A note that is made of `sections` (their texts joined) is cut section by section: short ones
    stay whole, each of the longest loses its middle.
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
    that the prompt was shortened to fit the context.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool = False
    stop_reason: StopReason | None = None


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
    """What a model makes of a question with given answers.

    `logprobs` has the natural-log probability of each answer, `reply` what the model writes by
    itself, `tokens` how many of the prompt it read, `cut` whether that was cut to fit.
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
    """A language model that reads."""

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Natural-log probabilities of the tokens of each continuation given its prompt.

        Texts are read as they are, without a chat template. Pairs that share a prompt cost one
        forward pass of it. `("", text)` gives the token losses of a text: its first token
        follows the model's token for a beginning (else that for an end).
        """
        ...


@runtime_checkable
class Chooser(LanguageModel, Protocol):
    """A language model that weighs answers."""

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by place of the prompt, batch after batch, in an order of its own.

        An answer is given by its surface forms; its probability is that the reply begins with
        one of them, the sum over forms of which none begins with another. A prompt is read once,
        for its answers and its reply of at most `new_tokens` greedy tokens. Raises ModelError
        where a form of one answer begins with a form of another.
        """
        ...
