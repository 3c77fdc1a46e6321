"""A language model that is asked in batches, remembers its replies, and whose failures pass by."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from patientdx.errors import InputError, ModelError, ReplyError
from patientdx.protocols import GREEDY, GenerationSettings, Generator, Prompt

from .reply_cache import ReplyCache, reply_key

Origin = Literal["model", "cache", "failed"]


class Reply(NamedTuple):
    """What a model wrote and where it came from; the text of a failed one is empty."""

    text: str
    origin: Origin


class Done(NamedTuple):
    """A step of progress: prompts answered from the cache, or by a batch that just ended.

    `texts` are the replies written by the model in this step, `tokens` of how many tokens.
    """

    prompts: int
    origin: Origin
    texts: tuple[str, ...] = ()
    tokens: int = 0


@dataclass
class Counts:
    """How many prompts were answered by what."""

    model: int = 0
    cache: int = 0
    failed: int = 0


class CachedGenerator:
    """A `Generator` that asks another only for what is not in its cache, each prompt once.

    Missing prompts go to the model in batches of similar length, the longest first; each batch
    is stored as it completes, so that a killed run loses one batch at most. Where a batch raises
    ModelError, prompts without a reply are counted, told to `on_failure`, and not stored; what a
    ReplyError brings along is kept. After `give_up_after` batches in a row that brought nothing
    the rest is not asked for.

    Without a `cache` nothing is remembered between calls; the rest holds.
    """

    def __init__(
        self,
        generator: Generator,
        cache: ReplyCache | None,
        batch: int | None = None,
        *,
        scope: str = "",
        give_up_after: int = 3,
        on_done: Callable[[Done], None] | None = None,
        on_failure: Callable[[ModelError, int], None] | None = None,
    ) -> None:
        if (batch is not None and batch < 1) or give_up_after < 1:
            raise InputError("batch and give_up_after must be 1 or more")
        self.name = generator.name
        self.digest = generator.digest
        self.counts = Counts()
        self._generator = generator
        self._cache = cache
        self.batch = batch or generator.batch
        self._scope = scope
        self._give_up_after = give_up_after
        self._on_done = on_done
        self._on_failure = on_failure
        self._tokens_told = generator.written

    @property
    def cut(self) -> int:
        """Prompts that the model had to cut."""
        return self._generator.cut

    @property
    def written(self) -> int:
        """Tokens that the model wrote, those that failed to be kept too."""
        return self._generator.written

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[str]:
        """One continuation a prompt; empty for those that failed."""
        return [reply.text for reply in self.replies(prompts, settings)]

    def replies(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Reply]:
        """The replies to prompts, in order, each with its origin."""
        keys = [reply_key(self.digest, prompt, settings, self._scope) for prompt in prompts]
        wanted = dict(zip(keys, prompts, strict=True))
        known = self._cache.find(list(wanted)) if self._cache is not None else {}
        found = {key: Reply(text, "cache") for key, text in known.items()}
        times = Counter(keys)
        self._tell(found, times)
        missing = {key: prompt for key, prompt in wanted.items() if key not in found}
        for answered in self._asked(missing, settings):
            self._tell(answered, times)
            found |= answered
        return [found[key] for key in keys]

    def _asked(
        self, missing: Mapping[bytes, str | Prompt], settings: GenerationSettings
    ) -> Iterator[dict[bytes, Reply]]:
        """Asks the model, batch after batch, and stores what it says."""
        keys = sorted(missing, key=lambda key: -_length(missing[key]))
        failures = 0
        for start in range(0, len(keys), self.batch):
            batch = keys[start : start + self.batch]
            texts: Sequence[str | None] = [None] * len(batch)
            if failures < self._give_up_after:
                texts = self._generated([missing[key] for key in batch], settings)
            pairs = list(zip(batch, texts, strict=True))
            written = {key: text for key, text in pairs if text is not None}
            failures = 0 if written else failures + 1
            if written and self._cache is not None:
                self._cache.store(written)
            yield {key: Reply(text, "model") for key, text in written.items()}
            yield {key: Reply("", "failed") for key, text in pairs if text is None}

    def _generated(
        self, prompts: list[str | Prompt], settings: GenerationSettings
    ) -> list[str | None]:
        """What the model writes to one batch; None where it fails."""
        texts: Sequence[str | None]
        try:
            texts = self._generator.generate(prompts, settings)
            _check_number(texts, prompts)
        except ModelError as error:
            texts = error.replies if isinstance(error, ReplyError) else [None] * len(prompts)
            if self._on_failure is not None:
                self._on_failure(error, sum(text is None for text in texts))
        return [None if text is None else _storable(text) for text in texts]

    def _tell(self, answered: Mapping[bytes, Reply], times: Mapping[bytes, int]) -> None:
        if not answered:
            return
        origin = next(iter(answered.values())).origin
        tokens, self._tokens_told = self.written - self._tokens_told, self.written
        done = Done(sum(times[key] for key in answered), origin, _written(answered), tokens)
        setattr(self.counts, origin, getattr(self.counts, origin) + done.prompts)
        if self._on_done is not None:
            self._on_done(done)


def _length(prompt: str | Prompt) -> int:
    return len(prompt if isinstance(prompt, str) else prompt.text)


def _storable(text: str) -> str:
    """As the cache gives it back: without lone surrogates, which no encoding can write."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _check_number(texts: Sequence[str], prompts: Sequence[str | Prompt]) -> None:
    if len(texts) != len(prompts):
        raise ModelError(f"the model gave {len(texts)} replies to {len(prompts)} prompts")


def _written(answered: Mapping[bytes, Reply]) -> tuple[str, ...]:
    return tuple(reply.text for reply in answered.values() if reply.origin == "model")
