"""A language model in memory whose weights are a merge that can be changed in milliseconds.

The inputs stay mapped, their norms and cosines are measured once, and every further λ is one pass
over the weights, in place. The live weights equal, bit by bit, those of the merge that the
streaming engine would write.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Protocol

from merger.checkpoints.checkpoint import Checkpoint
from merger.kernels.delta_sums import TensorSum
from merger.kernels.weighted_sums import WeightedSum
from merger.methods.method import COPY, TensorWeights
from merger.methods.registry import compute_sum
from merger.methods.slerp import COSINE_THRESHOLD
from merger.planning.merge_plan import MergePlan, TensorTask
from merger.planning.recipe_resolver import plan_merge
from merger.planning.tokenizer_checks import find_chat_template
from merger.recipes.recipe import MergeRecipe
from merger.vocabulary.output_tokenizer import files_of_base
from patientdx.errors import MergeError
from patientdx.models.settings import DEFAULTS, ModelSettings, Warn, ignore_warning
from patientdx.models.torch.model import HfModel
from patientdx.processors import available_cores
from patientdx.protocols import (
    GREEDY,
    Choice,
    Completion,
    GenerationSettings,
    ModelDescription,
    Prompt,
)

from .host_weights import HostWeights, mix_many
from .live_parameters import find_live_parameters
from .live_tensors import LiveTensor, measure_pairs, open_live_tensors
from .points import MergePoint, resolve_point, tensor_point
from .torch_weights import DeviceWeights, to_tensor, to_values, tokenizer_digest


class MergedModel:
    """A Generator, Scorer and Chooser whose weights `remix` changes in place.

    `digest` covers the digests of the inputs and the weights of each tensor, so that caches keep
    one λ apart from another. The weights of the module must not be changed in other ways.
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
        self._method = next((t.method for t in plan.tensors if t.method != COPY), "slerp")
        self._pool = ThreadPoolExecutor(settings.threads or available_cores())
        shapes = {task.name: task.shape for task in plan.tensors}
        self._live = find_live_parameters(model, shapes)
        places = self._live.places
        if unused := self._live.unexpected:
            warn(
                f"transformers passes over {len(unused):,} of the tensors, the first is {unused[0]}"
            )
        tensors = [tensor for tensor in open_live_tensors(plan) if tensor.task.name in places]
        self._tensors = {tensor.task.name: tensor for tensor in tensors}
        self._pairs = measure_pairs(tensors, self._pool)
        self._writer = _choose_writer(places, tensors, self._pool)
        self._digests = [checkpoint.digest(settings.cache) for checkpoint in plan.inputs]
        self._digests.append(tokenizer_digest(tokenizer))
        self._weights: dict[str, TensorWeights] = {}
        self._sums: dict[str, TensorSum] = {}
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
        """Loads the base model and merges a plan into it.

        `files` are the files beside the written weights; configuration and tokenizer that are not
        among them come from the base. The dtype is chosen as for every model of transformers.
        Raises ModelError.
        """
        from .loading import load_live_model

        loaded = load_live_model(plan, files, settings)
        return cls(plan, loaded.model, loaded.tokenizer, settings, name=name, warn=warn)

    @classmethod
    def from_recipe(
        cls,
        recipe: MergeRecipe,
        settings: ModelSettings = DEFAULTS,
        *,
        name: str = "merge",
        warn: Warn = ignore_warning,
    ) -> "MergedModel":
        """Loads the merge of a recipe whose models are folders, without adapters.

        Raises InputError, ModelError, and MergeError for models that cannot be merged in memory.
        """
        with_adapter = [ref for ref in recipe.inputs if ref.lora is not None]
        if with_adapter:
            raise MergeError(
                f"{with_adapter[0]}: adapters are not added in memory",
                hint="write the merge first: patientdx merge RECIPE.yml --into FOLDER",
            )
        inputs = [Checkpoint.open(ref.path) for ref in recipe.inputs]
        plan = plan_merge(recipe, inputs, live=True)
        template = find_chat_template(recipe, inputs)
        files = files_of_base(inputs[plan.base].folder, 0, template) if template else {}
        return cls.load(plan, files, settings, name=name, warn=warn)

    def remix(self, point: MergePoint, *, method: str | None = None) -> "MergedModel":
        """Merges every tensor again, in place, and returns the model. Raises MergeError.

        A single number is MergeKit's t of two inputs, where 0 is the base, or the weight of every
        difference from the base; `MergePoint` has the other forms: one weight per input, or a point
        per tensor. Tensors whose weights stay the same are not rewritten.
        """
        self._rewrite({name: self._resolve(name, point, method) for name in self._tensors})
        return self

    def apply_plan(self, plan: MergePlan | None = None) -> "MergedModel":
        """Merges every tensor as a plan of the same inputs has it, without one as its own plan."""
        plan = plan or self._plan
        if plan.inputs != self._plan.inputs or plan.base != self._plan.base:
            raise MergeError("the plan is of other models than those in memory")
        tasks = {task.name: task for task in plan.tensors}
        if any(
            _output_form(tasks.get(name)) != _output_form(tensor.task)
            for name, tensor in self._tensors.items()
        ):
            raise MergeError("the plan makes tensors of other shapes or types than those in memory")
        self._rewrite({name: tasks[name].tensor_weights for name in self._tensors})
        return self

    def tensors_at(
        self, points: Sequence[MergePoint], *, method: str | None = None
    ) -> Iterator[tuple[str, list[Any]]]:
        """Every tensor at every point, from one read of the inputs; the live model is unchanged.

        Tensors have the dtype of the plan, tied ones come once. Raises MergeError.
        """
        for name, tensor in self._tensors.items():
            weights = [self._resolve(name, point, method) for point in points]
            rows = [self._compute_sum(name, row) for row in weights]
            results = mix_many(tensor, rows, self._pool)
            yield name, [to_tensor(values, tensor.task.shape) for values in results]

    @property
    def plan(self) -> MergePlan:
        """The plan that the model was made from."""
        return self._plan

    @property
    def cosines(self) -> Mapping[str, float]:
        """The cosine of the first two inputs by tensor, as SLERP computes it."""
        return {name: pairs.cosine(0, 1) for name, pairs in self._pairs.items()}

    @property
    def share_off_fallback(self) -> float:
        """Share of the numbers that lie in tensors where SLERP differs from linear."""
        sizes = {name: tensor.size for name, tensor in self._tensors.items()}
        off = [name for name, cosine in self.cosines.items() if abs(cosine) <= COSINE_THRESHOLD]
        return sum(sizes[name] for name in off) / sum(sizes.values())

    @property
    def tensor_weights(self) -> Mapping[str, TensorWeights]:
        """The current method and weights of every tensor."""
        return MappingProxyType(self._weights)

    @property
    def name(self) -> str:
        """Name for people."""
        return self._name

    @property
    def digest(self) -> str:
        """Name for caches, which changes with the weights of any tensor."""
        tasks = {name: tensor.task for name, tensor in self._tensors.items()}
        tensors = [
            (name, tasks[name].shape, tasks[name].dtype, tasks[name].work, *_facts(weights))
            for name, weights in sorted(self._weights.items())
        ]
        facts = (self._model.digest, self._digests, self._plan.base, tensors)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def batch(self) -> int:
        """How many prompts are run at once."""
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
        return self._model.tokenizer.tokenizer

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        """One completion per prompt, by the current weights."""
        return self._model.generate(prompts, settings)

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Log-probabilities of the tokens of each continuation, by the current weights."""
        return self._model.logprobs(pairs)

    def count(self, text: str) -> int:
        """Number of tokens that `logprobs` reads of a text. Raises ModelError if it is too long."""
        return len(self._model.tokenizer.encode_pair("", text)[1])

    def choose(
        self,
        prompts: Sequence[str | Prompt],
        answers: Sequence[Sequence[str]],
        new_tokens: int = 2,
    ) -> Iterator[dict[int, Choice]]:
        """The choice among a few answers, by index of the prompt, by the current weights."""
        return self._model.choose(prompts, answers, new_tokens)

    def _resolve(self, name: str, point: MergePoint, method: str | None) -> TensorWeights:
        """The weights of a tensor at a point; those of the plan where the point has none."""
        tensor = self._tensors[name]
        own = None if tensor.fixed else tensor_point(point, name)
        if own is None:
            return tensor.task.tensor_weights
        count = len(self._plan.inputs)
        return resolve_point(own, method or self._method, count, self._plan.base)

    def _rewrite(self, weights: Mapping[str, TensorWeights]) -> None:
        """Rewrites the tensors whose sums change; after a failure, all of them the next time."""
        sums = {name: self._compute_sum(name, row) for name, row in weights.items()}
        changed = {name: row for name, row in sums.items() if row != self._sums.get(name)}
        before, self._sums = self._sums, {}
        self._writer.write(changed)
        self._live.settle(changed)
        self._sums = {**before, **sums}
        self._weights = dict(weights)

    def _compute_sum(self, name: str, weights: TensorWeights) -> TensorSum:
        tensor = self._tensors[name]
        if tensor.fixed:
            return WeightedSum((1.0,))
        return compute_sum(weights, self._pairs[name], wide=tensor.wide)

    def close(self) -> None:
        """Releases the model and the inputs."""
        self._pool.shutdown()
        self._model.close()


class _Writer(Protocol):
    """Rewrites the live weights."""

    def write(self, weights: Mapping[str, TensorSum]) -> None: ...


def _choose_writer(
    live: Mapping[str, Any], tensors: Sequence[LiveTensor], pool: Executor
) -> _Writer:
    """The kernels for a model in main memory, torch for a model on a GPU."""
    if all(tensor.device.type == "cpu" for tensor in live.values()):
        values = {name: to_values(tensor) for name, tensor in live.items()}
        return HostWeights(values, tensors, pool)
    return DeviceWeights(live, tensors)


def _facts(weights: TensorWeights) -> tuple[object, ...]:
    """What the digest has of weights: without differences, what it had before there were any."""
    return tuple(weights) if weights.deltas else tuple(weights)[:3]


def _output_form(task: TensorTask | None) -> object:
    """What a live tensor cannot change: shape and dtypes."""
    return task and (task.shape, task.dtype, task.work)
