"""Turns a recipe and its inputs into a plan: names, shapes, dtypes and weights of all tensors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merger.families.layers import layer_stacks
from merger.families.tensors import unread_tensors
from merger.methods.method import COPY
from merger.recipes.recipe import MergeRecipe
from merger.recipes.weight_schedule import WeightSchedule
from patientdx.errors import MergeError

from .input_checks import Agreement, check_inputs
from .merge_plan import MergePlan, TensorTask
from .output_layers import align_output_layers

if TYPE_CHECKING:
    from merger.checkpoints.checkpoint import Checkpoint

_TORCH = {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64"}
_WIDTHS = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}
_BUFFERS = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")


def plan_merge(
    recipe: MergeRecipe,
    inputs: Sequence["Checkpoint"],
    *,
    agreement: Agreement | None = None,
    unsound: bool = False,
    live: bool = False,
) -> MergePlan:
    """The plan of a merge of `inputs`, which are in the order of `recipe.inputs`.

    `agreement` is what `check_inputs` returned, if that was called before. A `live` plan is for a
    MergedModel and may use multislerp, whose sums are float32 where MergeKit's have the dtype of
    the inputs. Raises MergeError for inputs that cannot be merged, or only by MergeKit.
    """
    feature = recipe.mergekit_only_feature(live=live)
    if feature:
        raise mergekit_only_error(feature)
    names = [str(ref) for ref in recipe.inputs]
    base = recipe.inputs.index(recipe.base)
    if agreement is None:
        inputs, _ = align_output_layers(inputs, names)
        agreement = check_inputs(inputs, names, base, unsound=unsound)
    common = agreement
    schedule = _schedule(recipe, inputs[base], names[base])
    tasks = [_plan_tensor(name, recipe, schedule, inputs, base, common) for name in common.names]
    return MergePlan(tuple(inputs), tuple(tasks), base)


def main_layers(model: "Checkpoint") -> int | None:
    """The length of the stack of layers with most tensors; None if none is known."""
    stacks = layer_stacks(model.config, model.tensors)
    return stacks[0].length if stacks else None


def _schedule(recipe: MergeRecipe, base: "Checkpoint", name: str) -> WeightSchedule:
    """The weights of all tensors. Raises MergeError if layers matter and are not known."""
    stacks = {stack.prefix: stack.length for stack in layer_stacks(base.config, base.tensors)}
    if not stacks and (recipe.slices or recipe.has_gradients):
        raise MergeError(
            f"{name}: config.json has no number of layers that fits the tensors",
            hint="give each parameter one value for all layers, and name the models by `models:`",
        )
    layers = next(iter(stacks.values()), 0)
    beyond = unread_tensors(base.config, base.tensors)
    return WeightSchedule(recipe, layers, stacks, beyond=beyond)


def mergekit_only_error(feature: str) -> MergeError:
    """The error of the streaming engine for a feature that only MergeKit has."""
    return MergeError(
        f"the streaming engine cannot merge {feature}", hint="MergeKit can: --engine mergekit"
    )


def promote_dtypes(dtypes: Sequence[str]) -> str:
    """The smallest float dtype that holds all of these, as torch promotes them."""
    distinct = set(dtypes)
    if len(distinct) == 1:
        return dtypes[0]
    if distinct == {"BF16", "F16"}:
        return "F32"
    return max(distinct, key=lambda dtype: _WIDTHS[dtype])


def safetensors_dtype(dtype: str) -> str:
    """The name that safetensors has for a dtype of torch, such as BF16 for bfloat16."""
    return _TORCH[dtype]


def torch_dtype_name(dtype: str) -> str | None:
    """Torch's name of a dtype of safetensors, such as bfloat16 for BF16; None if not a float."""
    return next((name for name, safetensors in _TORCH.items() if safetensors == dtype), None)


def _plan_tensor(
    name: str,
    recipe: MergeRecipe,
    schedule: WeightSchedule,
    inputs: Sequence["Checkpoint"],
    base: int,
    agreement: Agreement,
) -> TensorTask:
    infos = [checkpoint.tensors[name] for checkpoint in inputs]
    shape = agreement.shape(name, infos[base].shape)
    dtype = infos[base].dtype
    if dtype in _BUFFERS:  # `check_inputs` made sure that all have this dtype
        weights = tuple(float(i == base) for i in range(len(inputs)))
        return TensorTask(name, dtype, shape, COPY, weights)
    if dtype not in _WIDTHS:
        raise MergeError(
            f"{name}: tensors of dtype {dtype} cannot be merged",
            hint="convert the weights to BF16, F16 or F32 first",
        )
    method, shares, divided, deltas = schedule.weights_of(name)
    work, out = _choose_dtypes([info.dtype for info in infos], recipe)
    return TensorTask(name, out, shape, method, shares, work, divided, deltas)


def _choose_dtypes(dtypes: Sequence[str], recipe: MergeRecipe) -> tuple[str, str]:
    """The dtype that inputs are rounded to first ("": they are not rounded), and the output's."""
    work = _TORCH[recipe.dtype] if recipe.dtype else promote_dtypes(dtypes)
    out = _TORCH[recipe.out_dtype] if recipe.out_dtype else work
    exact = out == work and (not recipe.dtype or set(dtypes) == {work})
    return "" if exact else work, out
