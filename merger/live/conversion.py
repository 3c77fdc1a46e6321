"""Which tensors of its files transformers composes into each parameter of a model.

On loading, transformers renames tensors, adds or removes the prefix of the base model, and composes
some parameters of several tensors: the experts of a layer are one parameter. The tables and
operations used here are its own, so that a live merge holds what a load of the written merge does.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by their names in the files."""

# Operations of transformers of which each tensor fills a slice of the parameter.
_STACK, _CONCATENATE = "MergeModulelist", "Concatenate"


class Composition(NamedTuple):
    """A parameter of a model and the tensors that it is made of, by the pattern that they match.

    `converter` has the operations of transformers, and may make further parameters of the same
    tensors; without one, the only tensor is the parameter.
    """

    parameter: str
    converter: Any
    sources: dict[str, list[str]]

    @property
    def tensors(self) -> list[str]:
        """The tensors in the order in which transformers takes them."""
        return [name for names in self.sources.values() for name in names]

    def views(self, parameter: Any, shapes: Shapes) -> dict[str, Any] | None:
        """The slice of the parameter that each tensor fills.

        None if the tensors are not merely stacked and concatenated to contiguous slices.
        """
        if self.converter is None:
            return {self.tensors[0]: parameter}
        stack, concatenate = self._stack_and_concatenate()
        if stack is concatenate is None:
            return None
        groups = [self.sources[p] for p in self.converter.source_patterns if p in self.sources]
        if stack is None:
            groups = [[name] for names in groups for name in names]
        blocks = _split(parameter, groups, shapes, stack, concatenate)
        if blocks is None:
            return None
        views: dict[str, Any] = {}
        for names, block in zip(groups, blocks, strict=True):
            slices = (block,) if stack is None else block.unbind(stack)
            views |= zip(names, slices, strict=True)
        return views if all(view.is_contiguous() for view in views.values()) else None

    def convert(self, values: Mapping[str, Any], model: Any) -> dict[str, Any]:
        """The parameters made of the values of the tensors, by transformers' operations."""
        converter = deepcopy(self.converter)
        for pattern, names in self.sources.items():
            for name in names:
                converter.add_tensor(self.parameter, name, pattern, values[name])
        made = converter.convert(self.parameter, model=model, config=model.config)
        return {
            name: value[0] if isinstance(value, list) else value for name, value in made.items()
        }

    def _stack_and_concatenate(self) -> tuple[int | None, int | None]:
        """The dimensions of the two operations; None for an absent one, and if there are others."""
        operations = {type(step).__name__: step for step in self.converter.operations}
        if list(operations) not in ([_STACK], [_CONCATENATE], [_STACK, _CONCATENATE]):
            return None, None
        dimensions = {name: step.dim for name, step in operations.items()}
        return dimensions.get(_STACK), dimensions.get(_CONCATENATE)


def compose_parameters(model: Any, names: Iterable[str]) -> tuple[list[Composition], list[str]]:
    """How transformers loads tensors of these names into a model, and those that it leaves out.

    The model may lie on the meta device.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        dot_natural_key,
        rename_source_key,
    )

    transforms = get_model_conversion_mapping(model)
    renamings = [step for step in transforms if isinstance(step, WeightRenaming)]
    converters = [step for step in transforms if isinstance(step, WeightConverter)]
    by_pattern = {pattern: step for step in converters for pattern in step.source_patterns}
    prefix, state = model.base_model_prefix, model.state_dict()
    compositions: dict[str, Composition] = {}
    left_out = []
    for name in sorted(names, key=dot_natural_key):  # the order in which transformers loads
        target, pattern = rename_source_key(name, renamings, converters, prefix, state)
        if target not in state and name in state:
            target, pattern = rename_source_key(name, [], [], prefix, state)
        if target not in state or (pattern is None and target in compositions):
            left_out.append(name)
            continue
        made = Composition(target, by_pattern.get(pattern), {})
        compositions.setdefault(target, made).sources.setdefault(pattern or name, []).append(name)
    return list(compositions.values()), left_out


def _split(
    parameter: Any,
    groups: Sequence[Sequence[str]],
    shapes: Shapes,
    stack: int | None,
    concatenate: int | None,
) -> Sequence[Any] | None:
    """The part of a parameter for each group of tensors; None if their shapes do not add up."""
    blocks = [_block_shape(names, shapes, stack) for names in groups]
    if concatenate is None:
        return [parameter] if blocks == [list(parameter.shape)] else None
    whole = [length for i, length in enumerate(parameter.shape) if i != concatenate]
    for block in blocks:
        if [length for i, length in enumerate(block) if i != concatenate] != whole:
            return None
    lengths = [block[concatenate] for block in blocks]
    if sum(lengths) != parameter.shape[concatenate]:
        return None
    parts: Sequence[Any] = parameter.split(lengths, concatenate)
    return parts


def _block_shape(names: Sequence[str], shapes: Shapes, stack: int | None) -> list[int]:
    """The shape of tensors stacked, or of the only one."""
    shape = list(shapes[names[0]])
    if stack is not None:
        shape.insert(stack, len(names))
    return shape
