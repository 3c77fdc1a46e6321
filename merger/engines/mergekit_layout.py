"""The architecture that MergeKit gets for a merge: the base's tensors as they are on disk.

MergeKit 0.1.5 has tables for some families and derives others from transformers' modules, whose
names are not always those on disk: parts of models get lost that way (LLaVA's language model,
DeepSeek's experts), experts are fused, and masks are required that no release saves. Where its
table has exactly the tensors of the base it is used; else it gets the layout of the base itself.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from merger.families.layout import StackLayout, TensorLayout


class MergekitLayout(NamedTuple):
    """The layout of a merge's base, and what becomes of its layers.

    `config` is the config.json of the output. `moved` has the source layer of each layer of the
    output, empty if layers stay in place; `ends` has the ends of their tensors' names by source
    layer.
    """

    layout: TensorLayout
    config: Mapping[str, Any]
    moved: tuple[int, ...] = ()
    ends: Mapping[int, tuple[str, ...]] = MappingProxyType({})


def choose_architecture(shape: MergekitLayout, config: Any, out_config: Any) -> Any:
    """MergeKit's ModelArchitecture for a merge.

    `config` is the base's configuration and `out_config` that of the output, both as transformers
    reads them.
    """
    from mergekit.architecture import arch_info_for_config

    own = arch_info_for_config(config)
    if own is not None and _covers(own, config, shape.layout):
        return own
    return _disk_architecture(shape, out_config)


def _covers(architecture: Any, config: Any, layout: TensorLayout) -> bool:
    """Whether an architecture has all tensors of a layout, and needs no others."""
    expected = set(layout.names)
    try:
        weights = architecture.all_weights(config)
    except (RuntimeError, AttributeError, TypeError, ValueError):
        return False
    names = {name for weight in weights for name in (weight.name, *(weight.aliases or ()))}
    needed = (
        {weight.name, *(weight.aliases or ()), *(weight.tied_names or ())}
        for weight in weights
        if not weight.optional
    )
    return expected <= names and all(alternatives & expected for alternatives in needed)


def _disk_architecture(shape: MergekitLayout, out_config: Any) -> Any:
    from mergekit.architecture import ModelArchitecture, ModuleArchitecture, ModuleDefinition
    from mergekit.architecture.base import WeightInfo

    layout = shape.layout
    outside = (*layout.after, *(() if shape.moved else layout.unread))

    def weight(name: str) -> Any:
        axis = 0 if name in layout.vocabulary else None
        return WeightInfo(name=name, vocabulary_axis=axis, tied_names=layout.tied.get(name))

    class DiskModule(ModuleArchitecture):  # type: ignore[misc]
        """A stack of layers, with the tensors outside of layers if it is the first."""

        def __init__(self, stack: StackLayout | None, *, first: bool) -> None:
            self._stack = stack
            self._first = first

        def pre_weights(self, config: Any) -> list[Any]:  # noqa: ARG002 - MergeKit's signature
            """The tensors before the layers."""
            return [weight(name) for name in layout.before if self._first]

        def post_weights(self, config: Any) -> list[Any]:  # noqa: ARG002
            """The tensors after the layers."""
            return [weight(name) for name in outside if self._first]

        def layer_weights(self, index: int, config: Any) -> list[Any]:
            """The tensors of a layer of an input, or of the output."""
            assert self._stack is not None
            if not shape.moved:
                return [weight(name) for name in self._stack.names(index)]
            ends = shape.ends[shape.moved[index] if config is out_config else index]
            return [weight(f"{self._stack.prefix}.{index}.{end}") for end in ends]

        def num_layers(self, config: Any) -> int:  # noqa: ARG002
            """The number of layers of the inputs."""
            return 0 if self._stack is None else len(self._stack.layers)

    stacks = layout.stacks or (None,)
    modules = {
        "default" if stack is None else stack.prefix: DiskModule(stack, first=n == 0)
        for n, stack in enumerate(stacks)
    }
    return ModelArchitecture(
        modules={name: ModuleDefinition(architecture=module) for name, module in modules.items()},
        architectures=[],
        model_type="",
    )
