"""What an output has to hold: its tensors, the inputs' tensors that they are made of, its config.

Both engines write by it, and the final gate compares what they wrote with it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merger.checkpoints.full_config import read_full_config
from merger.families.layout import TensorLayout, read_layout
from merger.recipes.recipe import MergeRecipe
from patientdx.errors import MergeError

from .moved_layers import LayerSources, layer_ends, layer_sources, move_layers

if TYPE_CHECKING:
    from merger.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True)
class OutputShape:
    """The tensors and the configuration of an output.

    `layout` is that of the base. `moved` has the sources of each layer, empty if all stay in place;
    `ends` has the ends of their tensors' names by source layer. `config` is the base's config.json
    with the number of layers of the output, and `base` the index of the base.
    """

    layout: TensorLayout
    config: Mapping[str, Any]
    base: int
    moved: tuple[LayerSources, ...]
    ends: Mapping[int, tuple[str, ...]]
    remarks: tuple[str, ...] = ()

    def sources(self) -> dict[str, tuple[int, str]]:
        """The tensors of the output, each with the input and the tensor that it is made of."""
        if not self.moved:
            return {name: (self.base, name) for name in self.layout.names}
        first, last = self.moved[0][0][0], self.moved[-1][0][0]
        names = {name: (first, name) for name in self.layout.before}
        names |= {name: (last, name) for name in self.layout.after}
        prefix = self.layout.stacks[0].prefix
        for number, layers in enumerate(self.moved):
            i, layer = layers[0]
            for end in self.ends[layer]:
                names[f"{prefix}.{number}.{end}"] = (i, f"{prefix}.{layer}.{end}")
        return names


def shape_output(
    recipe: MergeRecipe,
    inputs: Sequence["Checkpoint"],
    base: int,
    merged: Collection[str] | None = None,
) -> OutputShape:
    """The shape of a merge; `merged` are the tensors that are merged, where inputs were compared.

    The base need not have all of them. Raises MergeError for slices that the models do not have
    layers for, or whose layers a configuration cannot describe.
    """
    config = inputs[base].config
    names = [*inputs[base].tensors, *(set(merged or ()) - set(inputs[base].tensors))]
    layout = read_layout(config, names, merged)
    sources = () if merged is not None else layer_sources(recipe)
    if not sources:
        return OutputShape(layout, config, base, (), {})
    _check_stacks(layout)
    models = [str(ref) for ref in recipe.inputs]
    layouts = [read_layout(model.config, model.tensors) for model in inputs]
    for other in layouts:
        _check_stacks(other)
    ends = layer_ends(sources, [other.stacks[0] for other in layouts], models)
    full = [read_full_config(model.folder, model.config) for model in inputs]
    changed = move_layers(config, full, sources, layouts)
    remarks = (
        (f"{len(layout.unread):,} tensors that predict further tokens are left out",)
        if layout.unread
        else ()
    )
    return OutputShape(layout, changed, base, sources, ends, remarks)


def _check_stacks(layout: TensorLayout) -> None:
    if len(layout.stacks) != 1:
        stacks = ", ".join(stack.prefix for stack in layout.stacks)
        raise MergeError(
            "the recipe has `slices`, which are for models of one stack of layers, and these have "
            f"{len(layout.stacks)}{f': {stacks}' if stacks else ''}",
            hint="merge all layers by `models:`, or name the parts by `modules:`",
        )
