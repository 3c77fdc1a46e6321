"""From a recipe and its inputs to the tensors of the merge: names, shapes, dtypes and weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merger.recipes.recipe import MergeRecipe
from merger.recipes.schedule import WeightSchedule
from patientdx.errors import MergeError

from .input_checks import Agreement, check_inputs
from .merge_plan import MergePlan, TensorTask

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

    A `live` plan is for a MergedModel, and may be of multislerp, whose sums are float32 where
    MergeKit's are of the inputs' dtype. Raises MergeError where they cannot be merged, or only by
    MergeKit.
    """
    reason = recipe.mergekit_only_feature(live=live)
    if reason:
        raise mergekit_only_error(reason)
    names = [str(ref) for ref in recipe.inputs]
    base = recipe.inputs.index(recipe.base)
    found = agreement or check_inputs(inputs, names, base, unsound=unsound)
    if found.tied is None:
        raise mergekit_only_error("a tied model with one that is not")
    layers = inputs[base].config.get("num_hidden_layers")
    if not isinstance(layers, int):
        raise MergeError(f"{names[base]}: config.json tells no num_hidden_layers")
    schedule = WeightSchedule(recipe, layers)
    tasks = [_task(name, recipe, schedule, inputs, base, found) for name in found.names]
    return MergePlan(tuple(inputs), tuple(tasks), base)


def mergekit_only_error(reason: str) -> MergeError:
    """The refusal of the streaming engine."""
    return MergeError(
        f"the streaming engine cannot merge {reason}", hint="MergeKit can: --engine mergekit"
    )


def promote_dtypes(dtypes: Sequence[str]) -> str:
    """The smallest float dtype that holds all of these, as torch promotes them."""
    kinds = set(dtypes)
    if len(kinds) == 1:
        return dtypes[0]
    if kinds == {"BF16", "F16"}:
        return "F32"
    return max(kinds, key=lambda dtype: _WIDTHS[dtype])


def torch_dtype_name(dtype: str) -> str | None:
    """What torch calls a dtype of safetensors."""
    return next((name for name, ours in _TORCH.items() if ours == dtype), None)


def _task(
    name: str,
    recipe: MergeRecipe,
    schedule: WeightSchedule,
    inputs: Sequence["Checkpoint"],
    base: int,
    agreement: Agreement,
) -> TensorTask:
    infos = [one.tensors[name] for one in inputs]
    shape = agreement.shape(name, infos[base].shape)
    dtype = infos[base].dtype
    if dtype in _BUFFERS:  # the check has seen that all have this dtype
        weights = tuple(float(at == base) for at in range(len(inputs)))
        return TensorTask(name, dtype, shape, "copy", weights)
    if dtype not in _WIDTHS:
        raise MergeError(
            f"{name}: tensors of dtype {dtype} cannot be merged",
            hint="convert the weights to BF16, F16 or F32 first",
        )
    share = schedule.weights_of(name)
    work, out = _dtypes([info.dtype for info in infos], recipe)
    return TensorTask(name, out, shape, share.method, share.weights, work, share.divided)


def _dtypes(dtypes: Sequence[str], recipe: MergeRecipe) -> tuple[str, str]:
    """What inputs are rounded to before ("" where nothing is to be rounded), and the output's."""
    work = _TORCH[recipe.dtype] if recipe.dtype else promote_dtypes(dtypes)
    out = _TORCH[recipe.out_dtype] if recipe.out_dtype else work
    exact = out == work and (not recipe.dtype or set(dtypes) == {work})
    return "" if exact else work, out
