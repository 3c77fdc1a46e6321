"""A live model with the interface of lm-evaluation-harness (`lm_eval.api.model.LM`).

Texts are read and scored as the harness's own backend for transformers (`HFLM`) does: raw, without
a chat template, with the special tokens that the tokenizer adds by itself, and cut on the left
where they exceed the context.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from patientdx.errors import ModelError
from patientdx.models.settings import ModelSettings
from patientdx.models.tokenizer import cut_at_stop
from patientdx.models.torch.model import HfModel
from patientdx.protocols import GenerationSettings

NEW_TOKENS = 256
"""Length of a reply where the task has no limit, as in the harness."""

_MOST_LOGITS = 1 << 26
"""Numbers at once: 256 MiB of float32."""

_GREEDY_ONLY = ("top_p", "top_k", "min_p", "temperature")
"""Settings without effect on greedy decoding."""

Tokens = list[int]


class TorchModel(Protocol):
    """A model of transformers in memory, such as a live merge."""

    @property
    def module(self) -> Any:
        """The torch module."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        ...

    @property
    def batch(self) -> int:
        """How many rows are run at once."""
        ...


class Request(Protocol):
    """A request of the harness (`lm_eval.api.instance.Instance`)."""

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments: texts, and settings of generation."""
        ...


class HarnessModel:
    """Answers requests of the harness by the weights that a model has at the time.

    `context` limits the tokens of a row; 0 leaves the limit to the model.
    """

    rank = 0
    world_size = 1
    device = None

    def __init__(self, model: TorchModel, context: int = 0) -> None:
        settings = ModelSettings(prompt_format="raw", context=context, batch=model.batch)
        self._model = HfModel.wrap(model.module, model.tokenizer, digest="", settings=settings)
        self._tokenizer = self._model.tokenizer
        # The token before a text that has no context.
        self._start = self._tokenizer.start_token()
        self._start_text = str(model.tokenizer.decode(self._start))

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """For each (context, continuation) the continuation's log-probability, and if it is greedy.

        Raises ModelError for an empty continuation and for one that exceeds the context.
        """
        return self._score([self._encode_pair(*request.args) for request in requests])

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """The log-probability of each whole text, in windows of the context's size."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        rows: list[tuple[Tokens, Tokens]] = []
        counts = []
        for request in requests:
            (text,) = request.args
            windows = get_rolling_token_windows(
                token_list=self._encode(text),
                prefix_token=self._start,
                max_seq_len=self._tokenizer.context,
                context_len=1,
            )
            pairs = [make_disjoint_window(window) for window in windows]
            rows += [(list(context), list(rest)) for context, rest in pairs]
            counts.append(len(pairs))
        scores = iter(self._score(rows))
        return [sum(next(scores)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """The continuation of each context, up to the first of its stop strings.

        Raises ModelError for settings of generation that are not supported.
        """
        groups: dict[GenerationSettings, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(generation_settings(request.args[1]), []).append(number)
        replies: dict[int, str] = {}
        for settings, numbers in groups.items():
            room = self._tokenizer.context - settings.max_new_tokens
            if room < 1:
                raise ModelError(
                    f"a reply of {settings.max_new_tokens:,} tokens leaves no room in a context of "
                    f"{self._tokenizer.context:,}"
                )
            texts = [requests[number].args[0] for number in numbers]
            prompts = [self._encode(text)[-room:] or [self._start] for text in texts]
            generated = self._model.generate_tokens(prompts, settings)
            for number, tokens in zip(numbers, generated, strict=True):
                replies[number] = cut_at_stop(self._tokenizer.decode(tokens), settings.stop)
        return [replies[number] for number in range(len(requests))]

    def _encode(self, text: str) -> Tokens:
        """The tokens of a text, which may begin with the start token in writing."""
        return self._tokenizer.encode(text, start=not text.startswith(self._start_text))

    def _encode_pair(self, context: str, continuation: str) -> tuple[Tokens, Tokens]:
        """Tokens of both; spaces at the end of the context count as the continuation's."""
        if not context:
            rest = self._tokenizer.encode(continuation, start=False)
            return ([self._start], rest) if rest[:1] != [self._start] else (rest[:1], rest[1:])
        stripped = context.rstrip()
        spaces = context[len(stripped) :]
        prefix = self._encode(stripped)
        return prefix, self._encode(stripped + spaces + continuation)[len(prefix) :]

    def _score(self, rows: Sequence[tuple[Tokens, Tokens]]) -> list[tuple[float, bool]]:
        for _, rest in rows:
            if not 0 < len(rest) <= self._tokenizer.context:
                raise ModelError(
                    f"a continuation of {len(rest):,} tokens has no place in a context of "
                    f"{self._tokenizer.context:,}"
                )
        scores: dict[int, tuple[float, bool]] = {}
        for numbers in self._batches(rows):
            batch = [rows[number] for number in numbers]
            scores.update(zip(numbers, self._score_batch(batch), strict=True))
        return [scores[number] for number in range(len(rows))]

    def _batches(self, rows: Sequence[tuple[Tokens, Tokens]]) -> Iterator[list[int]]:
        """The numbers of rows that are scored together, the longest first."""
        lengths = [len(prefix) + len(rest) for prefix, rest in rows]
        order = sorted(range(len(rows)), key=lambda number: -lengths[number])
        vocabulary = self._model.module.get_output_embeddings().weight.shape[0]
        while order:
            most = _MOST_LOGITS // (max(1, lengths[order[0]]) * vocabulary)
            size = max(1, min(self._model.batch, most))
            yield order[:size]
            order = order[size:]

    def _score_batch(self, rows: Sequence[tuple[Tokens, Tokens]]) -> list[tuple[float, bool]]:
        """One forward pass of rows padded on the right, which no earlier token attends to."""
        import torch

        module, most = self._model.module, self._tokenizer.context + 1
        inputs = [[*prefix, *rest][-most:][:-1] for prefix, rest in rows]
        width = max(map(len, inputs))
        padded = [[*tokens, *[0] * (width - len(tokens))] for tokens in inputs]
        results = []
        with torch.inference_mode():
            logits = module(torch.tensor(padded, device=module.device)).logits
            for row, tokens, (_, rest) in zip(logits, inputs, rows, strict=True):
                own = row[len(tokens) - len(rest) : len(tokens)].float()
                target = torch.tensor(rest, device=own.device)
                chosen = own.log_softmax(-1).gather(-1, target[:, None]).sum()
                greedy = bool((own.argmax(-1) == target).all())
                results.append((float(chosen), greedy))
        return results


def generation_settings(arguments: Mapping[str, Any]) -> GenerationSettings:
    """The settings of a task's `generation_kwargs`. Raises ModelError for those without a match."""
    from lm_eval.models.utils import normalize_gen_kwargs

    values = dict(normalize_gen_kwargs(dict(arguments), NEW_TOKENS))
    stops = values.pop("until", None) or []
    new_tokens, sampled = values.pop("max_gen_toks"), values.pop("do_sample", False)
    temperature = float(values.get("temperature") or 0.0) if sampled else 0.0
    values.pop("temperature", None)
    if temperature == 0:
        values = {name: value for name, value in values.items() if name not in _GREEDY_ONLY}
    if values:
        raise ModelError(f"the setting `{min(values)}` of a task's generation is not supported")
    return GenerationSettings(
        max_new_tokens=int(new_tokens),
        temperature=temperature,
        stop=tuple(stop for stop in stops if stop),
    )
