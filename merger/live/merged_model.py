"""A language model in memory whose weights are a merge that can be changed in milliseconds.

The inputs stay mapped, their cosines are taken once, and every further λ is one pass over the
weights, in place. What stands in the live model equals, bit by bit, loading the merge that the
streaming engine would write.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Protocol

from merger.kernels.dispatch import THRESHOLD
from merger.kernels.weighted_sums import WeightedSum
from merger.planning.merge_plan import MergePlan, TensorTask
from patientdx.errors import MergeError
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.models.torch.model import HfModel
from patientdx.protocols import (
    GREEDY,
    Choice,
    Completion,
    GenerationSettings,
    ModelDescription,
    Prompt,
)

from .host_weights import HostWeights, mix_many
from .live_tensors import LiveTensor, measure_pairs, open_live_tensors
from .mixes import MergePoint, TensorMix, resolve_mix, tensor_point, weighted_sum
from .torch_weights import DeviceWeights, match_live_tensors, to_tensor, to_values, tokenizer_digest


class MergedModel:
    """A Generator and Scorer whose weights follow `at`.

    `digest` is made of the digests of the inputs and of how each tensor is mixed, so that no
    cache takes one λ for another. Nobody else may change the weights of the module.
    """

    def __init__(
        self,
        plan: MergePlan,
        model: Any,
        tokenizer: Any,
        settings: ModelSettings = DEFAULTS,
        *,
        name: str = "merge",
        warn: Warn = ignore_warning,
    ) -> None:
        self._plan = plan
        self._name = name
        self._method = next((t.method for t in plan.tensors if t.method != "copy"), "slerp")
        self._pool = ThreadPoolExecutor(settings.threads or os.cpu_count() or 1)
        shapes = {task.name: task.shape for task in plan.tensors}
        live = match_live_tensors(model, shapes)
        self._blends = {
            each.task.name: each for each in open_live_tensors(plan) if each.task.name in live
        }
        self._pairs = measure_pairs(list(self._blends.values()), self._pool)
        self._live = _writer(live, list(self._blends.values()), self._pool)
        self._sources = [one.digest(settings.cache) for one in plan.inputs]
        self._sources.append(tokenizer_digest(tokenizer))
        self._tasks = {task.name: task for task in plan.tensors}
        self._mixes: dict[str, TensorMix] = {}
        self._weights: dict[str, WeightedSum] = {}
        self._model = HfModel.wrap(
            model, tokenizer, digest="", name=name, settings=settings, warn=warn
        )
        self.apply_plan()

    @classmethod
    def load(
        cls,
        plan: MergePlan,
        files: Mapping[str, bytes] = MappingProxyType({}),
        settings: ModelSettings = DEFAULTS,
        *,
        name: str = "merge",
        warn: Warn = ignore_warning,
    ) -> "MergedModel":
        """A plan in memory; `files` are those that would lie beside the written weights.

        Configuration and tokenizer come from `files`, or from the base where they are not there.
        The dtype is chosen as for every model of transformers. Raises ModelError.
        """
        from .loading import load_live_model

        loaded = load_live_model(plan, files, settings)
        return cls(plan, loaded.model, loaded.tokenizer, settings, name=name, warn=warn)

    def remix(self, point: MergePoint, *, method: str | None = None) -> "MergedModel":
        """Mixes every tensor anew, in place, and returns itself. Raises MergeError.

        A single number is MergeKit's t of two inputs, where 0 is the base; see `Point` for one
        weight an input and for spots by tensor. Tensors whose mix stays as it is are not touched.
        """
        self._swap({name: self._mix(name, point, method) for name in self._blends})
        return self

    def apply_plan(self, plan: MergePlan | None = None) -> "MergedModel":
        """Mixes every tensor as a plan of the same inputs says, at first its own."""
        plan = plan or self._plan
        if plan.inputs != self._plan.inputs or plan.base != self._plan.base:
            raise MergeError("the plan is of other models than those in memory")
        tasks = {task.name: task for task in plan.tensors}
        if any(
            _output_form(tasks.get(name)) != _output_form(self._tasks[name])
            for name in self._blends
        ):
            raise MergeError("the plan makes tensors of other shapes or types than those in memory")
        self._swap({name: _planned_mix(tasks[name]) for name in self._blends})
        return self

    def tensors_at(
        self, points: Sequence[MergePoint], *, method: str | None = None
    ) -> Iterator[tuple[str, list[Any]]]:
        """Every tensor at every point, from one read of the inputs; the live model stays as it is.

        Tensors are in the dtype of the plan, tied ones come once. Raises MergeError.
        """
        for name, blend in self._blends.items():
            mixes = [self._mix(name, point, method) for point in points]
            rows = [self._sum_weights(name, mix) for mix in mixes]
            found = mix_many(blend, rows, self._pool)
            yield name, [to_tensor(each, blend.task.shape) for each in found]

    @property
    def plan(self) -> MergePlan:
        """The plan it was made of."""
        return self._plan

    @property
    def cosines(self) -> Mapping[str, float]:
        """The cosine of every tensor of the first two inputs, as SLERP takes it."""
        return {name: pairs.cosine(0, 1) for name, pairs in self._pairs.items()}

    @property
    def share_off_fallback(self) -> float:
        """The share of numbers in tensors on which SLERP differs from linear."""
        sizes = {name: blend.size for name, blend in self._blends.items()}
        off = [name for name, cosine in self.cosines.items() if abs(cosine) <= THRESHOLD]
        return sum(sizes[name] for name in off) / sum(sizes.values())

    @property
    def mixes(self) -> Mapping[str, TensorMix]:
        """How every tensor is mixed now."""
        return MappingProxyType(self._mixes)

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self._name

    @property
    def digest(self) -> str:
        """Its name, for caches: another after every change of a mix."""
        tasks = self._tasks
        made = [
            (name, tasks[name].shape, tasks[name].dtype, tasks[name].work, *mix)
            for name, mix in sorted(self._mixes.items())
        ]
        facts = (self._model.digest, self._sources, self._plan.base, made)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def batch(self) -> int:
        """Prompts at once."""
        return self._model.batch

    @property
    def description(self) -> ModelDescription:
        """How the model is run."""
        return self._model.description

    @property
    def module(self) -> Any:
        """The torch module."""
        return self._model.module

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        return self._model.words.tokenizer

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt, by the current weights."""
        return self._model.generate(prompts, settings)

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, by the weights of now."""
        return self._model.logprobs(pairs)

    def count(self, text: str) -> int:
        """How many tokens `logprobs` reads of a text. Raises ModelError for too long a one."""
        return len(self._model.words.pair("", text)[1])

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """Which of a few answers, by place of the prompt and by the weights of now."""
        return self._model.choose(prompts, answers, new_tokens)

    def _mix(self, name: str, point: MergePoint, method: str | None) -> TensorMix:
        task = self._tasks[name]
        spot = None if self._blends[name].fixed else tensor_point(point, name)
        if spot is None:
            return _planned_mix(task)
        count = len(self._plan.inputs)
        return resolve_mix(spot, method or self._method, count, self._plan.base)

    def _swap(self, mixes: Mapping[str, TensorMix]) -> None:
        """Rewrites the tensors whose weights change; all of them after one could not be."""
        weights = {name: self._sum_weights(name, mix) for name, mix in mixes.items()}
        changed = {name: row for name, row in weights.items() if row != self._weights.get(name)}
        before, self._weights = self._weights, {}
        self._live.write(changed)
        self._weights = {**before, **weights}
        self._mixes = dict(mixes)

    def _sum_weights(self, name: str, mix: TensorMix) -> WeightedSum:
        if self._blends[name].fixed:
            return WeightedSum((1.0,))
        if mix.method == "copy":
            return WeightedSum(mix.weights)
        return weighted_sum(mix, self._pairs[name])

    def close(self) -> None:
        """Lets go of the model and of the inputs."""
        self._pool.shutdown()
        self._model.close()


class _Writer(Protocol):
    """Where live weights are rewritten."""

    def write(self, weights: Mapping[str, WeightedSum]) -> None: ...


def _writer(live: Mapping[str, Any], some: Sequence[LiveTensor], pool: Executor) -> _Writer:
    """By the kernels in the computer's memory, by torch on a GPU."""
    if all(tensor.device.type == "cpu" for tensor in live.values()):
        return HostWeights({name: to_values(tensor) for name, tensor in live.items()}, some, pool)
    return DeviceWeights(live, some)


def _planned_mix(task: TensorTask) -> TensorMix:
    return TensorMix(task.method, task.weights, task.divided)


def _output_form(task: TensorTask | None) -> object:
    return task and (task.shape, task.dtype, task.work)
