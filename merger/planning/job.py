"""A merge to be done: a recipe, the folders of its inputs, and the engine that carries it out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from merger.checkpoints.adapted_inputs import open_with_adapters
from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.config_comparison import compare_configs
from merger.checkpoints.model_code import read_model_code
from merger.gguf.mixtures import GgufType
from merger.gguf.plan import GgufPlan, plan_gguf
from merger.gguf.writer import choose_encoder
from merger.outputs.shards import SHARD_SIZE
from merger.recipes.mergekit_methods import is_random_method
from merger.recipes.parameter_checks import check_filters
from merger.recipes.recipe import MOVED_LAYERS, MergeRecipe, ModelRef
from patientdx.errors import MergeError

from .input_checks import Agreement, check_inputs, output_config
from .input_guards import check_files_for_mergekit, guard_inputs
from .merge_plan import MergePlan
from .output_layers import align_output_layers
from .output_shape import OutputShape, shape_output
from .recipe_resolver import main_layers, plan_merge
from .tokenizer_checks import (
    check_tokenizers,
    find_chat_template,
    passed_over_remarks,
    template_remarks,
)

Engine = Literal["stream", "mergekit"]

DEFAULT_SEED = 0
TORCH_THREADS = 1
"""Threads of torch in a merge by MergeKit: more of them change the order, and the last bits, of
sums."""


@dataclass(frozen=True)
class MergeJob:
    """A recipe with the folders of its models and of their adapters, by the recipe's names.

    What the streaming engine cannot do goes to MergeKit, with a remark. `unsound` allows models
    whose weights do not mean the same thing. `cache` is a folder that keeps digests of files,
    `command` the shell command that repeats the merge, for the model card.

    `seed` comes before the recipe's own for a method that draws at random. `torch_threads` is for
    MergeKit; None leaves their number to torch, as merges did before it was recorded.

    `gguf` is the type of a GGUF file to write beside the weights.

    With `load_check` transformers loads the output, where it is installed, before it is published.
    """

    recipe: MergeRecipe
    folders: Mapping[ModelRef, Path]
    adapters: Mapping[ModelRef, Path] = field(default_factory=dict)
    engine: Engine = "stream"
    unsound: bool = False
    shard_size: int = SHARD_SIZE
    threads: int = 0
    cache: Path | None = None
    command: str = ""
    seed: int | None = None
    torch_threads: int | None = TORCH_THREADS
    load_check: bool = False
    gguf: GgufType | None = None

    @property
    def random_seed(self) -> int | None:
        """The seed that the merge draws from; None for a method that draws nothing."""
        if not is_random_method(self.recipe.method):
            return None
        seeds = (self.seed, self.recipe.random_seed, DEFAULT_SEED)
        return next(seed for seed in seeds if seed is not None)


@dataclass(frozen=True)
class PreparedMerge:
    """A job whose inputs are open and checked.

    `plan` is None if MergeKit works the tensors out; `agreement` is None if the recipe itself says
    how vocabularies, layers or modules that differ go together. `chat_template` is the text of the
    template that the recipe sets, or empty, `code` the files of code that come with the model.
    `gguf` is the plan of the GGUF file, where one is written. `shape` is what the output has to
    hold; None if MergeKit merges the parts of a model by `modules`.
    """

    inputs: tuple[Checkpoint, ...]
    engine: Engine
    agreement: Agreement | None
    plan: MergePlan | None
    remarks: tuple[str, ...]
    base_index: int = 0
    chat_template: str = ""
    code: Mapping[str, bytes] = field(default_factory=dict)
    gguf: GgufPlan | None = None
    shape: OutputShape | None = None

    @property
    def base(self) -> Checkpoint:
        """The input whose configuration and tokenizer the merge gets."""
        return self.inputs[self.base_index]

    @property
    def nbytes(self) -> int:
        """Bytes of weights of the merge; an estimate if there is no plan."""
        if self.plan is not None:
            return self.plan.nbytes
        return sum(info.nbytes for info in self.base.tensors.values())


@contextmanager
def prepare_merge(job: MergeJob, target: Path) -> Iterator[PreparedMerge]:
    """Open and check the inputs of a job that merges into `target`.

    Adapters are added in a hidden folder beside `target`, which is removed when the block ends.
    Raises InputError and MergeError if the merge is not possible.
    """
    refs = job.recipe.inputs
    names = [str(ref) for ref in refs]
    models = [(Checkpoint.open(job.folders[ref]), job.adapters.get(ref)) for ref in refs]
    with open_with_adapters(models, target) as opened:
        at = refs.index(job.recipe.base)
        code = read_model_code(job.folders[refs[at]], opened[at].config, names[at])
        base = replace(opened[at], config=code.config)
        inputs = (*opened[:at], base, *opened[at + 1 :])
        prepared = _prepare(job, inputs)
        passed_over = passed_over_remarks(inputs, [adapter for _, adapter in models], names)
        passed_over += template_remarks(job.recipe, job.folders[job.recipe.base])
        prepared = replace(
            prepared,
            chat_template=find_chat_template(job.recipe, inputs),
            remarks=(*prepared.remarks, *passed_over, *code.remarks),
            code=code.files,
        )
        if prepared.engine == "mergekit":
            check_files_for_mergekit([base for base, _ in models], names)
        yield _plan_gguf(job, prepared)


def _prepare(job: MergeJob, inputs: tuple[Checkpoint, ...]) -> PreparedMerge:
    recipe = job.recipe
    tensors = {name for checkpoint in inputs for name in checkpoint.tensors}
    # MergeKit writes an output layer, and works out its parameters, also where it is tied.
    check_filters(recipe.text, recipe.name, tensors | {"lm_head.weight"})
    names = [str(ref) for ref in recipe.inputs]
    inputs, tying = align_output_layers(inputs, names)
    base = recipe.inputs.index(recipe.base)
    feature = _mergekit_only_feature(recipe, inputs[base])
    if feature and (recipe.mergekit_keys or recipe.slices):
        guarded = guard_inputs(inputs, names)
        # The recipe says how vocabularies, layers or modules go together, and MergeKit checks it.
        configs = [checkpoint.config for checkpoint in inputs]
        layers_move = bool(recipe.slices) or "modules" in recipe.mergekit_keys
        differences = compare_configs(
            names, configs, base, unsound=job.unsound, layers_move=layers_move
        )
        differences += check_tokenizers(recipe, inputs, names)
        shape = None if "modules" in recipe.mergekit_keys else shape_output(recipe, inputs, base)
        remarks = (*_mergekit_remarks(job, feature), *guarded, *tying, *differences)
        remarks += shape.remarks if shape else ()
        return PreparedMerge(inputs, "mergekit", None, None, remarks, base, shape=shape)
    agreement = check_inputs(inputs, names, base, unsound=job.unsound)
    if feature or job.engine == "mergekit":
        _check_rows(agreement)
    plan = None if feature else plan_merge(recipe, inputs, agreement=agreement)
    engine: Engine = "mergekit" if feature else job.engine
    remarks = (*_mergekit_remarks(job, feature), *tying, *agreement.remarks)
    shape = shape_output(recipe, inputs, base, agreement.names)
    return PreparedMerge(inputs, engine, agreement, plan, remarks, base, shape=shape)


def _plan_gguf(job: MergeJob, prepared: PreparedMerge) -> PreparedMerge:
    """With the plan of the GGUF file, if one is wanted. Raises PatientDxError if it cannot be."""
    if job.gguf is None:
        return prepared
    base, agreement = prepared.base, prepared.agreement
    tensors = dict(base.tensors)
    config = base.config
    if agreement is not None:
        tensors = {
            name: base.tensors[name]._replace(shape=agreement.shape(name, base.tensors[name].shape))
            for name in agreement.names
        }
        config = output_config(config, agreement, None)
    plan = plan_gguf(config, tensors, base.folder, job.gguf, base.folder.name)
    choose_encoder(plan)  # which may be missing
    return replace(prepared, gguf=plan, remarks=(*prepared.remarks, *plan.remarks))


def _mergekit_remarks(job: MergeJob, feature: str | None) -> list[str]:
    if not feature or job.engine == "mergekit":
        return []
    return [f"MergeKit merges this: the streaming engine cannot merge {feature}"]


def _mergekit_only_feature(recipe: MergeRecipe, base: Checkpoint) -> str | None:
    """What only MergeKit can merge, including slices that do not cover the layers of the base."""
    ranges = [part.sources[0].layers or (0, 0) for part in recipe.slices]
    covered = sum(stop - start for start, stop in ranges)
    if recipe.slices and covered != main_layers(base):
        return MOVED_LAYERS
    return recipe.mergekit_only_feature()


def _check_rows(agreement: Agreement) -> None:
    """Raises MergeError if the merge needs rows that MergeKit would cut off."""
    fewest = min(agreement.input_rows, default=agreement.rows)
    if agreement.rows > fewest:
        raise MergeError(
            f"the merge needs {agreement.rows:,} vocabulary rows; MergeKit cuts them to {fewest:,}",
            hint="use --engine stream, or set `tokenizer: {source: base}` in the recipe",
        )
