"""The parameters of a live torch model as places that merged tensors are written to."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from patientdx.errors import MergeError

from .conversion import Composition, Shapes, compose_parameters

WRITE_INSTEAD = "write the merge instead: patientdx merge … --into FOLDER"


class LiveParameters:
    """Where the tensors of a merge are written in a live model.

    `places` has a contiguous torch tensor by the name in the files: a parameter, a slice of one, or
    memory of its own, from which `settle` composes the parameter by transformers' operations.
    `unexpected` are the tensors for which the model has no place, and does not say so.
    """

    def __init__(
        self,
        model: Any,
        places: Mapping[str, Any],
        composed: Sequence[Composition],
        left_out: Sequence[str],
    ) -> None:
        self.places = places
        passed_over = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
        self.unexpected = [
            name for name in left_out if not any(re.search(part, name) for part in passed_over)
        ]
        self._model = model
        self._composed = composed

    def settle(self, written: Collection[str]) -> None:
        """Composes the parameters of which a tensor was written, where its place is not in them."""
        import torch

        changed = [part for part in self._composed if not {*part.tensors}.isdisjoint(written)]
        state = self._model.state_dict() if changed else {}
        with torch.no_grad():
            for part in changed:
                for name, value in part.convert(self.places, self._model).items():
                    state[name].copy_(value)


def find_live_parameters(model: Any, shapes: Shapes) -> LiveParameters:
    """The places of a model for tensors of these shapes; a tied one comes once.

    Raises MergeError for a parameter that the tensors do not make, or not in its shape. The model
    may lie on the meta device.
    """
    state = dict(model.state_dict(keep_vars=True))
    compositions, left_out = compose_parameters(model, shapes)
    places: dict[str, Any] = {}
    composed: list[Composition] = []
    filled: set[int] = set()  # by identity of the parameter
    order = {name: i for i, name in enumerate(state)}
    for part in sorted(compositions, key=lambda part: order[part.parameter]):
        parameter = state[part.parameter]
        if id(parameter) in filled:  # tied to one that comes before
            continue
        views = part.views(parameter.detach(), shapes)
        if views is None:
            views, names = _own_memory(part, parameter, model, state, shapes)
            composed.append(part)
            filled |= {id(state[name]) for name in names}
        _check_shapes(views, shapes)
        places |= views
        filled.add(id(parameter))
    _check_filled(model, state, filled)
    return LiveParameters(model, places, composed, left_out)


def embedding_rows(model: Any, shapes: Shapes) -> int | None:
    """The rows that the tensors have for the input embeddings of a model, if they have any."""
    state = model.state_dict(keep_vars=True)
    embeddings = model.get_input_embeddings().weight
    for part in compose_parameters(model, shapes)[0]:
        if part.converter is None and state[part.parameter] is embeddings:
            return shapes[part.tensors[0]][0]
    return None


def _own_memory(
    part: Composition, parameter: Any, model: Any, state: Mapping[str, Any], shapes: Shapes
) -> tuple[dict[str, Any], list[str]]:
    """Memory for tensors that are composed later, and the parameters that they make.

    As in transformers, they have the dtype of the first parameter. Raises MergeError.
    """
    import torch

    empty = {name: torch.empty(shapes[name], device="meta") for name in part.tensors}
    try:
        made = part.convert(empty, model)
        fits = all(state[name].shape == value.shape for name, value in made.items())
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        made, fits = {}, False
    if not fits:
        raise MergeError(
            f"transformers cannot compose `{part.parameter}` of the {_family(model)} model from "
            f"`{part.tensors[0]}` and the like of the merge",
            hint=WRITE_INSTEAD,
        )
    like = {"dtype": parameter.dtype, "device": parameter.device}
    return {name: torch.empty(shapes[name], **like) for name in part.tensors}, list(made)


def _check_shapes(views: Mapping[str, Any], shapes: Shapes) -> None:
    for name, view in views.items():
        if tuple(view.shape) != shapes[name]:
            raise MergeError(
                f"tensor `{name}`: its shape is {list(view.shape)} in the live model "
                f"and {list(shapes[name])} in the merge"
            )


def _check_filled(model: Any, state: Mapping[str, Any], filled: Collection[int]) -> None:
    """Raises MergeError for a parameter that nothing is written to.

    Buffers that transformers computes where files lack them need not be written.
    """
    patterns = getattr(model, "_keys_to_ignore_on_load_missing", None) or ()
    buffers = {name for name, _ in model.named_buffers()}
    for name, tensor in state.items():
        computed = name in buffers and any(re.search(pattern, name) for pattern in patterns)
        if id(tensor) in filled or computed:
            continue
        raise MergeError(
            f"the live {_family(model)} model needs `{name}`, which the merge does not have",
            hint=WRITE_INSTEAD,
        )


def _family(model: Any) -> str:
    return str(model.config.model_type)
