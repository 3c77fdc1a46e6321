"""A language model behind a reply cache: batches, progress, and tolerance of failures."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from patientdx.errors import InputError, ModelError, ReplyError
from patientdx.protocols import (
    GREEDY,
    Completion,
    GenerationSettings,
    Generator,
    ModelDescription,
    Prompt,
)
from patientdx.thinking import split_thinking
from patientdx.wording import count_noun

from .reply_cache import ReplyCache, reply_key

Origin = Literal["model", "cache", "failed"]


class ModelReply(NamedTuple):
    """The reply to a prompt and where it came from; the text of a failed one is empty."""

    completion: Completion
    origin: Origin

    @property
    def text(self) -> str:
        """The text of the completion."""
        return self.completion.text


_FAILED = ModelReply(Completion(""), "failed")


class GenerationProgress(NamedTuple):
    """A step of progress: the prompts answered from the cache, or by the batch that just ended.

    `texts` are the replies that the model wrote in this step, `tokens` their number of tokens as
    far as the backend counts them, `truncated` the number of prompts shortened for the context.
    """

    prompts: int
    origin: Origin
    texts: tuple[str, ...] = ()
    tokens: int = 0
    truncated: int = 0


@dataclass
class ReplyCounts:
    """Number of prompts answered by the model, from the cache, failed, and shortened to fit.

    `unchecked` are prompts of which the model's server may have read a part.
    """

    model: int = 0
    cache: int = 0
    failed: int = 0
    truncated: int = 0
    unchecked: int = 0


@dataclass
class UnexpandedQueries:
    """Queries that strategies left as they were, as (strategy, query id).

    `failed` got no reply, `nothing` a reply without a usable word; of these, `thoughts` got a reply
    that holds only what the model thought before an answer.
    """

    failed: set[tuple[str, str]] = field(default_factory=set)
    nothing: set[tuple[str, str]] = field(default_factory=set)
    thoughts: set[tuple[str, str]] = field(default_factory=set)

    def add(self, strategy: str, query_id: str, reply: ModelReply) -> None:
        """Record a query to which a reply added nothing."""
        query = (strategy, query_id)
        if reply.origin == "failed":
            self.failed.add(query)
            return
        self.nothing.add(query)
        if split_thinking(reply.text).is_unfinished:
            self.thoughts.add(query)


class CachedGenerator:
    """A `Generator` that calls another one for prompts that are not cached, once per prompt.

    Missing prompts go to the model in batches of similar length, longest first. Each batch is
    stored as soon as it completes, so that a killed run loses one batch at most. Where a batch
    raises ModelError, its prompts without a reply are counted, reported to `on_failure`, and not
    stored; the replies that a ReplyError carries are kept. After `give_up_after` consecutive
    batches without any reply the model is not called again, and the remaining prompts fail, unless
    each error was that of a prompt: a prompt that is too long says nothing about the next.

    A prompt that failed is not sent again by the same object, so that one run expands a query in
    the same way each time. Without a `cache` no reply is remembered between calls; everything else
    works the same. `unexpanded` records the queries that strategies left as they were.
    """

    def __init__(
        self,
        generator: Generator,
        cache: ReplyCache | None,
        batch: int | None = None,
        *,
        scope: str = "",
        give_up_after: int = 3,
        on_progress: Callable[[GenerationProgress], None] | None = None,
        on_failure: Callable[[ModelError, int], None] | None = None,
    ) -> None:
        if (batch is not None and batch < 1) or give_up_after < 1:
            raise InputError("batch and give_up_after must be 1 or more")
        self.name = generator.name
        self.digest = generator.digest
        self.counts = ReplyCounts()
        self.unexpanded = UnexpandedQueries()
        self._generator = generator
        self._cache = cache
        self.batch = batch or generator.batch
        self._scope = scope
        self._give_up_after = give_up_after
        self._on_progress = on_progress
        self._on_failure = on_failure
        self._failed: set[bytes] = set()

    @property
    def description(self) -> ModelDescription:
        """How the model is run."""
        return self._generator.description

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt; empty for failed prompts, without usage for cached ones."""
        return [reply.completion for reply in self.replies(prompts, settings)]

    def replies(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[ModelReply]:
        """The replies to prompts, in order, each with its origin."""
        keys = [reply_key(self.digest, prompt, settings, self._scope) for prompt in prompts]
        prompt_of = dict(zip(keys, prompts, strict=True))
        cached = self._cache.find(list(prompt_of)) if self._cache is not None else {}
        replies = {key: ModelReply(Completion(text), "cache") for key, text in cached.items()}
        occurrences = Counter(keys)
        self._report(replies, occurrences)
        failed = {key: _FAILED for key in prompt_of if key in self._failed and key not in replies}
        self._report(failed, occurrences)
        replies |= failed
        missing = {key: prompt for key, prompt in prompt_of.items() if key not in replies}
        for batch_replies in self._generate_missing(missing, settings):
            self._report(batch_replies, occurrences)
            replies |= batch_replies
        return [replies[key] for key in keys]

    def _generate_missing(
        self, missing: Mapping[bytes, str | Prompt], settings: GenerationSettings
    ) -> Iterator[dict[bytes, ModelReply]]:
        """Calls the model batch by batch and stores its replies."""
        keys = sorted(missing, key=lambda key: -_length(missing[key]))
        failed_batches = 0
        for start in range(0, len(keys), self.batch):
            batch = keys[start : start + self.batch]
            completions: Sequence[Completion | None] = [None] * len(batch)
            if failed_batches < self._give_up_after:
                prompts = [missing[key] for key in batch]
                completions, model_failed = self._generate_batch(prompts, settings)
                failed_batches = failed_batches + 1 if model_failed else 0
            pairs = list(zip(batch, completions, strict=True))
            written = {key: completion for key, completion in pairs if completion is not None}
            if written and self._cache is not None:
                self._cache.store({key: completion.text for key, completion in written.items()})
            yield {key: ModelReply(completion, "model") for key, completion in written.items()}
            failed = [key for key, completion in pairs if completion is None]
            self._failed.update(failed)
            yield dict.fromkeys(failed, _FAILED)

    def _generate_batch(
        self, prompts: list[str | Prompt], settings: GenerationSettings
    ) -> tuple[list[Completion | None], bool]:
        """The model's completions of one batch, None where it fails.

        The second value says whether it wrote none, for reasons that are not those of the prompts.
        """
        completions: Sequence[Completion | None]
        model_failed = False
        try:
            completions = self._generator.generate(prompts, settings)
            _check_reply_count(completions, prompts)
        except ModelError as error:
            completions = [None] * len(prompts)
            if isinstance(error, ReplyError):
                completions = error.completions
            if self._on_failure is not None:
                self._on_failure(error, completions.count(None))
            model_failed = not any(completions) and not error.concerns_prompt
        return [completion and _encodable(completion) for completion in completions], model_failed

    def _report(
        self, replies: Mapping[bytes, ModelReply], occurrences: Mapping[bytes, int]
    ) -> None:
        """Counts replies of one origin and reports them as a step of progress."""
        if not replies:
            return
        origin = next(iter(replies.values())).origin
        completions = [reply.completion for reply in replies.values()]
        progress = GenerationProgress(
            prompts=sum(occurrences[key] for key in replies),
            origin=origin,
            texts=tuple(completion.text for completion in completions if origin == "model"),
            tokens=sum(completion.completion_tokens or 0 for completion in completions),
            truncated=sum(completion.truncated for completion in completions),
        )
        setattr(self.counts, origin, getattr(self.counts, origin) + progress.prompts)
        self.counts.truncated += progress.truncated
        self.counts.unchecked += sum(completion.unchecked for completion in completions)
        if self._on_progress is not None:
            self._on_progress(progress)


def _length(prompt: str | Prompt) -> int:
    return len(prompt if isinstance(prompt, str) else prompt.text)


def _encodable(completion: Completion) -> Completion:
    """The completion as the cache returns it, with lone surrogates replaced in its text."""
    return replace(completion, text=completion.text.encode("utf-8", "replace").decode("utf-8"))


def _check_reply_count(
    completions: Sequence[Completion | None], prompts: Sequence[str | Prompt]
) -> None:
    if len(completions) != len(prompts):
        raise ModelError(
            f"the model returned {count_noun(len(completions), 'reply', 'replies')} to "
            f"{count_noun(len(prompts), 'prompt')}"
        )
