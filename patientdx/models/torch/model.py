"""Models in torch, by transformers: folders of safetensors, GGUF files, modules in memory."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from patientdx.errors import ModelError
from patientdx.fetching.model_cache import model_folder
from patientdx.models.answers import AnswerForms
from patientdx.models.outcomes import require_completions
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.models.tokenizer import PromptTokenizer, cut_at_stop
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt
from patientdx.storage.file_digests import digest_files

from .answer_scoring import AnswerScorer, AnswerScores
from .decoding import Decoder, halve_batch, is_out_of_memory
from .loading import load, weight_files
from .scoring import continuations_logprobs
from .unbatched import generate_alone, has_plain_attention, logprobs_alone

_BATCH_ON_CPU = 16
_BATCH_ON_GPU = 64


class HfModel:
    """A causal language model of transformers.

    `module` is the torch module, `ends` are the tokens that end a reply.
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
        self.tokenizer = PromptTokenizer.from_settings(tokenizer, model.config, settings, name)
        configured = getattr(model.generation_config, "eos_token_id", None)
        self.ends = self.tokenizer.end_tokens(configured)
        self.description = settings.describe(
            dtype=str(model.dtype).removeprefix("torch."),
            chat=self.tokenizer.chat,
            device=str(model.device),
        )
        self._plain = has_plain_attention(model)
        self._warn = warn

    @classmethod
    def load(
        cls, path: Path, settings: ModelSettings = DEFAULTS, *, warn: Warn = ignore_warning
    ) -> "HfModel":
        """Opens a folder or a GGUF file. Raises ModelError, ExtraMissingError.

        The default type is float32 on a CPU and bfloat16 (or float16) on a GPU.
        """
        files = weight_files(path)
        loaded = load(path, settings)
        name = path.stem if path.is_file() else path.resolve().name
        prompts = PromptTokenizer.from_settings(
            loaded.tokenizer, loaded.model.config, settings, name
        )
        digest = digest_files(
            files,
            model_folder(settings.cache) if settings.cache else None,
            backend="hf",
            dtype=loaded.dtype,
            quantize=settings.quantize,
            format=settings.prompt_format,
            context=settings.context,
            **prompts.digest_facts,
        )
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
        """A torch module that is already in memory, such as a live merge.

        `digest` identifies its weights; the model's own digest adds the settings that change
        replies.
        """
        prompts = PromptTokenizer.from_settings(tokenizer, model.config, settings, name)
        facts = f"{digest} {model.dtype} {settings.prompt_format} {settings.context}"
        facts += f" {prompts.digest_facts}" if prompts.digest_facts else ""
        full_digest = hashlib.sha256(facts.encode()).hexdigest()
        return cls(model.eval(), tokenizer, settings, name=name, digest=full_digest, warn=warn)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded.

        Raises ModelError where a single prompt exceeds the memory.
        """
        encoded = self.tokenizer.encode_each_prompt(prompts, settings.max_new_tokens)
        usable = [prompt for prompt in encoded if not isinstance(prompt, ModelError)]
        replies = iter(self.generate_tokens([tokens for tokens, _ in usable], settings))
        return require_completions(
            [
                prompt
                if isinstance(prompt, ModelError)
                else self._completion(*prompt, next(replies), settings)
                for prompt in encoded
            ]
        )

    def generate_tokens(
        self, prompts: Sequence[list[int]], settings: GenerationSettings
    ) -> list[list[int]]:
        """The tokens of each reply to a prompt of tokens; stop strings stay in them."""
        if not self._plain:
            return [generate_alone(self.module, row, settings, self.ends) for row in prompts]
        decoder = Decoder(self.module, self.ends, settings, self.tokenizer.decode)
        return decoder.run(prompts, self.batch, self._warn)

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, conditional on its prompt.

        Raises ModelError for a pair that is longer than the context.
        """
        groups: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for number, pair in enumerate(pairs):
            prefix, rest = self.tokenizer.encode_pair(*pair)
            if rest:
                groups.setdefault(tuple(prefix), []).append((number, rest))
        logprobs: list[list[float]] = [[] for _ in pairs]
        for prompt, members in groups.items():
            rows = self._score_continuations(prompt, [tokens for _, tokens in members])
            for (number, _), row in zip(members, rows, strict=True):
                logprobs[number] = row
        return logprobs

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by number of the prompt, batch by batch, the longest prompts first."""
        if not prompts:
            return
        forms = AnswerForms.from_tokens(
            [self.tokenizer.encode_answers(prompts[0], group) for group in answers]
        )
        encoded = self.tokenizer.encode_prompts(prompts, max(new_tokens, forms.longest))
        for batch in self._score_answers([prompt for prompt, _ in encoded], forms, new_tokens):
            yield {
                number: self._choice(*encoded[number], scores) for number, scores in batch.items()
            }

    def close(self) -> None:
        """Releases the model."""
        self.module = None

    def _completion(
        self, prompt: list[int], truncated: bool, reply: list[int], settings: GenerationSettings
    ) -> Completion:
        return Completion(
            cut_at_stop(self.tokenizer.decode_reply(reply), settings.stop),
            prompt_tokens=len(prompt),
            completion_tokens=len(reply),
            truncated=truncated,
            stop_reason="length" if len(reply) >= settings.max_new_tokens else "stop",
        )

    def _choice(self, prompt: list[int], truncated: bool, scores: AnswerScores) -> Choice:
        reply = self.tokenizer.decode(scores.reply)
        return Choice(scores.logprobs, reply, len(prompt), truncated)

    def _score_answers(
        self, prompts: list[list[int]], forms: AnswerForms, new_tokens: int
    ) -> Iterator[dict[int, AnswerScores]]:
        if self._plain:
            scorer = AnswerScorer(self.module, forms, self.ends, new_tokens, self.batch)
            yield from scorer.run(prompts, self._warn)
            return
        settings = GenerationSettings(max_new_tokens=new_tokens)
        for number, prompt in enumerate(prompts):
            logprobs = {
                (*prefix, token): self._token_logprob([*prompt, *prefix], token)
                for prefix, tokens in forms.next_tokens.items()
                for token in tokens
            }
            reply = generate_alone(self.module, prompt, settings, self.ends)
            yield {number: AnswerScores(forms.logprobs(logprobs), reply)}

    def _token_logprob(self, prompt: list[int], token: int) -> float:
        ((logprob,),) = logprobs_alone(self.module, prompt, [[token]])
        return logprob

    def _score_continuations(
        self, prompt: tuple[int, ...], continuations: list[list[int]]
    ) -> list[list[float]]:
        try:
            if self._plain:
                return continuations_logprobs(self.module, prompt, continuations)
            return logprobs_alone(self.module, prompt, continuations)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        half = halve_batch(len(continuations), self._warn)
        parts = (continuations[:half], continuations[half:])
        return [row for part in parts for row in self._score_continuations(prompt, part)]
