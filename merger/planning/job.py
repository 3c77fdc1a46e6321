"""A merge to be done: a recipe, where its inputs lie, and the engine that can do it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

from merger.checkpoints.adapted_inputs import open_with_adapters
from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.config_comparison import compare_configs
from merger.checkpoints.values import SIZES
from merger.recipes.recipe import MOVED_LAYERS, MergeRecipe, ModelRef
from patientdx.errors import MergeError

from .input_checks import Agreement, check_inputs
from .merge_plan import MergePlan
from .recipe_resolver import plan_merge

Engine = Literal["stream", "mergekit"]
SHARD_SIZE = 5_000_000_000  # bytes, as MergeKit has it


@dataclass(frozen=True)
class MergeJob:
    """A recipe with the folders of its models, by their names, and of their adapters.

    What the streaming engine cannot do goes to MergeKit, with a remark. `unsound` allows models
    whose weights do not mean the same. `cache` is a folder that remembers digests of files,
    `command` what a reader may type to make the merge again.
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


@dataclass(frozen=True)
class PreparedMerge:
    """A job whose inputs are open and checked.

    `plan` is None where only MergeKit knows what is to be done; `agreement` too, where the recipe
    itself says how models that differ go together.
    """

    inputs: tuple[Checkpoint, ...]
    engine: Engine
    agreement: Agreement | None
    plan: MergePlan | None
    remarks: tuple[str, ...]
    base_index: int = 0

    @property
    def base(self) -> Checkpoint:
        """The input that gives configuration and tokenizer."""
        return self.inputs[self.base_index]

    @property
    def nbytes(self) -> int:
        """Bytes of weights that the merge will have, as far as they can be foreseen."""
        if self.plan is not None:
            return self.plan.nbytes
        return sum(prod(one.shape) * SIZES[one.dtype] for one in self.base.tensors.values())


@contextmanager
def prepare_merge(job: MergeJob, target: Path) -> Iterator[PreparedMerge]:
    """The job's inputs, with adapters added in a hidden folder beside `target` while it is open.

    Raises InputError and MergeError where the merge is not possible.
    """
    refs = job.recipe.inputs
    models = [(Checkpoint.open(job.folders[ref]), job.adapters.get(ref)) for ref in refs]
    with open_with_adapters(models, target) as inputs:
        yield _prepare(job, inputs)


def _prepare(job: MergeJob, inputs: tuple[Checkpoint, ...]) -> PreparedMerge:
    recipe = job.recipe
    names = [str(ref) for ref in recipe.inputs]
    base = recipe.inputs.index(recipe.base)
    reason = _mergekit_only_feature(recipe, inputs[base])
    if reason and (recipe.mergekit_keys or recipe.slices):
        # How vocabularies, layers or modules go together is the recipe's and MergeKit's business.
        configs = [dict(one.config) for one in inputs]
        for config in configs if recipe.slices or "modules" in recipe.mergekit_keys else ():
            config.pop("num_hidden_layers", None)
        remarks = compare_configs(names, configs, base, unsound=job.unsound)
        said = (*_mergekit_remarks(job, reason), *remarks)
        return PreparedMerge(inputs, "mergekit", None, None, said, base)
    agreement = check_inputs(inputs, names, base, unsound=job.unsound)
    if agreement.tied is None and not reason:
        reason = "a tied model with one that is not"
    if reason or job.engine == "mergekit":
        _check_rows(agreement)
    plan = None if reason else plan_merge(recipe, inputs, agreement=agreement)
    engine: Engine = "mergekit" if reason else job.engine
    said = (*_mergekit_remarks(job, reason), *agreement.remarks)
    return PreparedMerge(inputs, engine, agreement, plan, said, base)


def _mergekit_remarks(job: MergeJob, reason: str | None) -> list[str]:
    if not reason or job.engine == "mergekit":
        return []
    return [f"MergeKit merges this: the streaming engine cannot merge {reason}"]


def _mergekit_only_feature(recipe: MergeRecipe, base: Checkpoint) -> str | None:
    """Why only MergeKit can do this; slices must cover the base's layers."""
    covered = sum(b - a for each in recipe.slices for a, b in (each.sources[0].layers or (0, 0),))
    if recipe.slices and covered != base.config.get("num_hidden_layers"):
        return MOVED_LAYERS
    return recipe.mergekit_only_feature()


def _check_rows(agreement: Agreement) -> None:
    """Raises MergeError where the merge needs rows that MergeKit would cut off."""
    fewest = min(agreement.input_rows, default=agreement.rows)
    if agreement.rows > fewest:
        raise MergeError(
            f"the merge needs {agreement.rows:,} vocabulary rows; MergeKit cuts them to {fewest:,}",
            hint="use --engine stream, or say `tokenizer: {source: base}` in the recipe",
        )
