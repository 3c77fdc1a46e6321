"""Models in torch, by transformers: folders of safetensors, GGUF files, modules in memory."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from patientdx.fetching.model_cache import model_folder
from patientdx.models.answers import Answers
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.models.tokenizer import Words, stopped
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt
from patientdx.storage.file_digests import digest_of

from .choices import Weighed, Weigher
from .decoding import Decoder, halved, is_out_of_memory
from .loading import load, weight_files
from .scoring import continuations_logprobs
from .unbatched import generate_alone, has_plain_attention, logprobs_alone

_BATCH_ON_CPU = 16
_BATCH_ON_GPU = 64


class HfModel:
    """A causal language model of transformers.

    `module` is the torch module, `words` its tokenizer with what is made by it, `ends` the tokens
    that end a reply.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        settings: ModelSettings = DEFAULTS,
        *,
        name: str,
        digest: str,
        warn: Warn = ignore_warning,
    ) -> None:
        self.name = name
        self.digest = digest
        on_gpu = str(model.device).startswith("cuda")
        self.batch = settings.batch or (_BATCH_ON_GPU if on_gpu else _BATCH_ON_CPU)
        self.module = model
        self.words = Words.of(tokenizer, model.config, settings, name)
        told = getattr(model.generation_config, "eos_token_id", None)
        self.ends = self.words.ends(told)
        self.description = settings.describe(
            dtype=str(model.dtype).removeprefix("torch."),
            chat=self.words.chat,
            device=str(model.device),
        )
        self._plain = has_plain_attention(model)
        self._warn = warn

    @classmethod
    def load(
        cls, path: Path, settings: ModelSettings = DEFAULTS, *, warn: Warn = ignore_warning
    ) -> "HfModel":
        """Opens a folder or a GGUF file. Raises ModelError where that cannot be, ExtraMissingError.

        The type is float32 on a CPU and bfloat16 (or float16) on a GPU unless one is named.
        """
        files = weight_files(path)
        loaded = load(path, settings)
        digest = digest_of(
            files,
            model_folder(settings.cache) if settings.cache else None,
            backend="hf",
            dtype=loaded.dtype,
            quantize=settings.quantize,
            format=settings.prompt_format,
            context=settings.context,
        )
        name = path.stem if path.is_file() else path.resolve().name
        return cls(loaded.model, loaded.tokenizer, settings, name=name, digest=digest, warn=warn)

    @classmethod
    def wrap(
        cls,
        model: Any,
        tokenizer: Any,
        *,
        digest: str,
        name: str = "in memory",
        settings: ModelSettings = DEFAULTS,
        warn: Warn = ignore_warning,
    ) -> "HfModel":
        """A torch module that is in memory already, a merge above all.

        `digest` names its weights: whoever made them knows from what. To it is added what else
        changes the replies.
        """
        matters = f"{digest} {model.dtype} {settings.prompt_format} {settings.context}"
        whole = hashlib.sha256(matters.encode()).hexdigest()
        return cls(model.eval(), tokenizer, settings, name=name, digest=whole, warn=warn)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ModelError where a single prompt exceeds the memory."""
        fitted = self.words.prompts(prompts, settings.max_new_tokens)
        asked = [tokens for tokens, _ in fitted]
        if self._plain:
            decoder = Decoder(self.module, self.ends, settings, self.words.text)
            replies = decoder.run(asked, self.batch, self._warn)
        else:
            replies = [generate_alone(self.module, one, settings, self.ends) for one in asked]
        return [
            Completion(
                stopped(self.words.text(reply), settings.stop),
                prompt_tokens=len(tokens),
                completion_tokens=len(reply),
                truncated=truncated,
                stop_reason="length" if len(reply) >= settings.max_new_tokens else "stop",
            )
            for (tokens, truncated), reply in zip(fitted, replies, strict=True)
        ]

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation given its prompt.

        Raises ModelError for a pair that is longer than the context.
        """
        groups: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for place, pair in enumerate(pairs):
            before, after = self.words.pair(*pair)
            if after:
                groups.setdefault(tuple(before), []).append((place, after))
        found: list[list[float]] = [[] for _ in pairs]
        for prompt, members in groups.items():
            values = self._scored(prompt, [tokens for _, tokens in members])
            for (place, _), one in zip(members, values, strict=True):
                found[place] = one
        return found

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by place of the prompt, batch after batch, the longest prompts first."""
        if not prompts:
            return
        forms = Answers.of([self.words.forms(prompts[0], group) for group in answers])
        fitted = self.words.prompts(prompts, max(new_tokens, forms.longest))
        asked = [tokens for tokens, _ in fitted]
        for found in self._weighed(asked, forms, new_tokens):
            yield {
                place: Choice(one.logprobs, self.words.text(one.reply), *_about(fitted[place]))
                for place, one in found.items()
            }

    def close(self) -> None:
        """Lets go of the model."""
        self.module = None

    def _weighed(
        self, asked: list[list[int]], forms: Answers, new_tokens: int
    ) -> Iterator[dict[int, Weighed]]:
        if self._plain:
            yield from Weigher(self.module, forms, self.ends, new_tokens, self.batch).run(
                asked, self._warn
            )
            return
        settings = GenerationSettings(max_new_tokens=new_tokens)
        for place, prompt in enumerate(asked):
            told = {
                (*beginning, token): logprobs_alone(self.module, [*prompt, *beginning], [[token]])[
                    0
                ][0]
                for beginning, tokens in forms.steps.items()
                for token in tokens
            }
            reply = generate_alone(self.module, prompt, settings, self.ends)
            yield {place: Weighed(forms.logprobs(told), reply)}

    def _scored(self, prompt: tuple[int, ...], some: list[list[int]]) -> list[list[float]]:
        try:
            if self._plain:
                return continuations_logprobs(self.module, prompt, some)
            return logprobs_alone(self.module, prompt, some)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        half = halved(len(some), self._warn)
        return self._scored(prompt, some[:half]) + self._scored(prompt, some[half:])


def _about(fitted: tuple[list[int], bool]) -> tuple[int, bool]:
    tokens, cut = fitted
    return len(tokens), cut
