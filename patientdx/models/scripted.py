"""A model with scripted replies: for tests, and for trying out a pipeline."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from patientdx.errors import ModelError
from patientdx.protocols import (
    GREEDY,
    Choice,
    Completion,
    GenerationSettings,
    ModelDescription,
    Prompt,
)

from .abilities import unsupported
from .prompts import as_prompt
from .tokenizer import cut_at_stop

Replies = Sequence[str] | Mapping[str, str] | Callable[[str], str]
Score = Callable[[str, str], Sequence[float]]


class ScriptedModel:
    """Replies from a list (in turn), a mapping (by prompt) or a function of the prompt.

    `score` returns the log-probabilities of a continuation, conditional on its prompt. `calls`
    counts calls of the model, `prompts` keeps every prompt. A token is a word.
    """

    def __init__(
        self,
        replies: Replies = (),
        *,
        score: Score | None = None,
        name: str = "scripted",
        digest: str | None = None,
        batch: int = 8,
    ) -> None:
        self.name = name
        self.digest = digest or hashlib.sha256(f"scripted {name}".encode()).hexdigest()
        self.batch = batch
        self.description = ModelDescription()
        self.calls = 0
        self.prompts: list[str] = []
        self._replies = replies
        self._score = score

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """The scripted replies, cut at the first stop string. Raises ModelError without one."""
        self.calls += 1
        return [self._complete(as_prompt(prompt).text, settings) for prompt in prompts]

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """The values of `score`. Raises ModelError where there is none."""
        if self._score is None:
            raise unsupported(self.name, "score")
        self.calls += 1
        return [list(self._score(prompt, continuation)) for prompt, continuation in pairs]

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The probability of each answer by `score`, and the scripted replies, batch by batch.

        Raises ModelError where there is no `score`.
        """
        if self._score is None:
            raise unsupported(self.name, "choose")
        for start in range(0, len(prompts), self.batch):
            self.calls += 1
            texts = [as_prompt(prompt).text for prompt in prompts[start : start + self.batch]]
            yield {
                start + at: Choice(
                    tuple(self._logprob(text, forms) for forms in answers),
                    " ".join(self._reply(text).split()[:new_tokens]),
                    len(text.split()),
                    cut=False,
                )
                for at, text in enumerate(texts)
            }

    def _complete(self, prompt: str, settings: GenerationSettings) -> Completion:
        text = cut_at_stop(self._reply(prompt), settings.stop)
        return Completion(text, len(prompt.split()), len(text.split()), stop_reason="stop")

    def _logprob(self, prompt: str, forms: Sequence[str]) -> float:
        score = self._score or (lambda _prompt, _form: ())
        return math.log(math.fsum(math.exp(sum(score(prompt, form))) for form in forms))

    def _reply(self, prompt: str) -> str:
        number = len(self.prompts)
        self.prompts.append(prompt)
        if callable(self._replies):
            return self._replies(prompt)
        if isinstance(self._replies, Mapping):
            if prompt in self._replies:
                return self._replies[prompt]
        elif number < len(self._replies):
            return self._replies[number]
        raise ModelError(f"the script of `{self.name}` has no answer number {number + 1:,}")
