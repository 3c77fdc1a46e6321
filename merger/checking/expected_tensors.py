"""The tensors that an output has to hold, by its recipe and inputs, and what of them is missing."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.headers import TensorInfo
from merger.checkpoints.values import FLOATS
from merger.families.layout import read_layout
from merger.planning.input_checks import VOCABULARY_TENSOR
from merger.planning.job import PreparedMerge
from merger.planning.recipe_resolver import promote_dtypes, safetensors_dtype
from merger.recipes.recipe import MergeRecipe
from patientdx.errors import MergeError

_NUMBER = re.compile(r"\.\d+(?=\.|$)")
_IN_MODULE = re.compile(r"^(.+\.\d+)\..+$")  # what is in the innermost numbered module
_GROUPS = 3  # kinds of tensors that a message names
_HINT = "nothing was written; merge by linear, slerp or task_arithmetic, which --engine stream does"


class ExpectedTensor(NamedTuple):
    """The shape of a tensor, and the dtypes that it may have.

    The first number of `shape` is 0 if the tensor has as many rows as the vocabulary of the output.
    """

    shape: tuple[int, ...]
    dtypes: frozenset[str]

    def fits(self, info: TensorInfo) -> bool:
        """Whether a tensor has this shape."""
        if self.shape[:1] == (0,):
            return self.shape[1:] == tuple(info.shape[1:])
        return self.shape == tuple(info.shape)


def expect_tensors(prepared: PreparedMerge, recipe: MergeRecipe) -> dict[str, ExpectedTensor]:
    """The tensors of a merge by name; empty if MergeKit merges parts of models by `modules`."""
    if prepared.plan is not None and prepared.engine == "stream":
        return {
            task.name: ExpectedTensor(task.shape, frozenset({task.dtype}))
            for task in prepared.plan.tensors
        }
    if prepared.shape is None:
        return {}
    expected = {}
    vocabulary = prepared.shape.layout.vocabulary
    for name, (i, source) in prepared.shape.sources().items():
        holders = (prepared.inputs[i], *prepared.inputs)
        infos = [model.tensors[source] for model in holders if source in model.tensors]
        has_rows = name in vocabulary or bool(VOCABULARY_TENSOR.search(name))
        shape = (0, *infos[0].shape[1:]) if has_rows else tuple(infos[0].shape)
        expected[name] = ExpectedTensor(shape, _dtypes(infos, recipe))
    return expected


def check_tensors(
    written: Mapping[str, TensorInfo], expected: Mapping[str, ExpectedTensor], engine: str
) -> None:
    """Raises MergeError, with what is lost, unless the tensors are those that are expected."""
    missing = [name for name in expected if name not in written]
    if missing:
        raise MergeError(
            f"{engine} lost {len(missing):,} of {len(expected):,} tensors: {list_tensors(missing)}",
            hint=_HINT,
        )
    extra = [name for name in written if name not in expected]
    if extra:
        raise MergeError(
            f"{engine} wrote {len(extra):,} tensors that no input has: {list_tensors(extra)}",
            hint=_HINT,
        )
    for name, wanted in expected.items():
        info = written[name]
        if not wanted.fits(info):
            raise MergeError(
                f"{engine} wrote {name} with the shape {list(info.shape)}, and "
                f"{list(wanted.shape)} belongs there",
                hint=_HINT,
            )
        if info.dtype not in wanted.dtypes:
            raise MergeError(
                f"{engine} wrote {name} as {info.dtype}, and "
                f"{' or '.join(sorted(wanted.dtypes))} belongs there",
                hint=_HINT,
            )


def check_parts(written: Checkpoint, base: Checkpoint, engine: str) -> None:
    """Raises MergeError if an output lacks parts that its base has, for layers of any number.

    For merges by `modules`, whose recipes name parts of models in MergeKit's words.
    """
    layout = read_layout(base.config, base.tensors)
    outside = [name for name in (*layout.before, *layout.after) if name not in written.tensors]
    if outside:
        raise MergeError(
            f"{engine} lost {len(outside):,} tensors outside of layers: {list_tensors(outside)}",
            hint=_HINT,
        )
    own = {stack.prefix: stack for stack in read_layout(written.config, written.tensors).stacks}
    for stack in layout.stacks:
        kinds = {frozenset(ends) for ends in stack.layers}
        layers = own[stack.prefix].layers if stack.prefix in own else ()
        broken = [n for n, ends in enumerate(layers) if frozenset(ends) not in kinds]
        if broken or not layers:
            where = f"layer {broken[0]} of {stack.prefix}" if broken else f"all of {stack.prefix}"
            raise MergeError(f"{engine} lost tensors of {where}", hint=_HINT)


def list_tensors(names: Collection[str]) -> str:
    """Names of tensors in few words: one for all layers or experts, with their number.

    The most come first.
    """
    groups = Counter(_NUMBER.sub(".#", _IN_MODULE.sub(r"\1", name)) for name in names).most_common()
    named = [f"{name} ({count})" if count > 1 else name for name, count in groups[:_GROUPS]]
    more = len(names) - sum(count for _, count in groups[:_GROUPS])
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def _dtypes(infos: Iterable[TensorInfo], recipe: MergeRecipe) -> frozenset[str]:
    own = [info.dtype for info in infos]
    wanted = recipe.out_dtype or recipe.dtype
    if not set(own) <= set(FLOATS):
        return frozenset(own)
    if wanted:
        return frozenset({safetensors_dtype(wanted)})
    return frozenset({*own, promote_dtypes(own)})
