"""A model that says what it is told to say: for tests, and for trying a pipeline out."""

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

from .prompts import as_prompt
from .refusals import cannot
from .tokenizer import stopped

Answers = Sequence[str] | Mapping[str, str] | Callable[[str], str]
Score = Callable[[str, str], Sequence[float]]


class ScriptedModel:
    """Answers from a list (in turn), a mapping (by prompt) or a function of the prompt.

    `score` gives the log-probabilities of a continuation given its prompt. `calls` counts
    calls of the model, `asked` keeps every prompt. A token is a word.
    """

    def __init__(
        self,
        answers: Answers = (),
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
        self.asked: list[str] = []
        self._answers = answers
        self._score = score

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """The scripted answers, ended at the first stop string. Raises ModelError without one."""
        self.calls += 1
        return [self._complete(as_prompt(prompt).text, settings) for prompt in prompts]

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """What `score` says. Raises ModelError where there is none."""
        if self._score is None:
            raise cannot(self.name, "score")
        self.calls += 1
        return [list(self._score(prompt, continuation)) for prompt, continuation in pairs]

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """What `score` says of each form and the scripted answers, by batches in order.

        A token is a word here. Raises ModelError where there is no `score`.
        """
        if self._score is None:
            raise cannot(self.name, "choose")
        for start in range(0, len(prompts), self.batch):
            self.calls += 1
            texts = [as_prompt(one).text for one in prompts[start : start + self.batch]]
            yield {
                start + at: Choice(
                    tuple(self._log_sum(text, group) for group in answers),
                    " ".join(self._answer(text).split()[:new_tokens]),
                    len(text.split()),
                    cut=False,
                )
                for at, text in enumerate(texts)
            }

    def _complete(self, prompt: str, settings: GenerationSettings) -> Completion:
        text = stopped(self._answer(prompt), settings.stop)
        return Completion(text, len(prompt.split()), len(text.split()), stop_reason="stop")

    def _log_sum(self, prompt: str, forms: Sequence[str]) -> float:
        score = self._score or (lambda _prompt, _form: ())
        return math.log(math.fsum(math.exp(sum(score(prompt, form))) for form in forms))

    def _answer(self, prompt: str) -> str:
        place = len(self.asked)
        self.asked.append(prompt)
        if callable(self._answers):
            return self._answers(prompt)
        if isinstance(self._answers, Mapping):
            if prompt in self._answers:
                return self._answers[prompt]
        elif place < len(self._answers):
            return self._answers[place]
        raise ModelError(f"the script of `{self.name}` has no answer number {place + 1:,}")
