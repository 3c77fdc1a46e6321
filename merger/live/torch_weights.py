"""The tensors of a live torch model, and rewriting them on the device where they lie."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from merger.checkpoints.values import Values
from merger.kernels.weighted_sums import WeightedSum
from patientdx.errors import MergeError

from .live_tensors import LiveTensor

_PART = 1 << 24  # numbers of a fused product at a time: float64 takes room

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_NAMES = {ours: torchs for torchs, ours in _DTYPES.items()}


def match_live_tensors(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The tensors of a model to be rewritten, by names of `shapes`; a tied one comes once.

    Names that the model does not have are left out, as by loading. Raises MergeError where a
    tensor of the model is not in `shapes`, or has another shape.
    """
    named = dict(model.state_dict(keep_vars=True))
    found: dict[int, str] = {}
    for name, tensor in named.items():
        if name in shapes:
            found.setdefault(id(tensor), name)
    for name, tensor in named.items():
        if id(tensor) not in found:
            raise MergeError(f"tensor `{name}` of the live model is not in the merge")
    for name in found.values():
        if tuple(named[name].shape) != shapes[name]:
            raise MergeError(
                f"tensor `{name}`: its shape is {list(named[name].shape)} in the live model "
                f"and {list(shapes[name])} in the merge"
            )
    return {name: named[name].detach() for name in found.values()}


def copy_mapped_weights(model: Any) -> None:
    """Moves weights that are mapped from a file into memory of their own.

    So that writing to them neither needs the file any more nor waits for its pages.
    """
    import torch

    for tensor in {id(one): one for one in model.state_dict(keep_vars=True).values()}.values():
        if tensor.device.type == "cpu":
            tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def tokenizer_digest(tokenizer: Any) -> str:
    """The sha256 of what a tokenizer does, as hex digits."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    words = inner.to_str() if inner is not None else repr(sorted(tokenizer.get_vocab().items()))
    facts = f"{words}\0{getattr(tokenizer, 'chat_template', None)}"
    return hashlib.sha256(facts.encode()).hexdigest()


def to_values(tensor: Any) -> Values:
    """A contiguous torch tensor in the computer's memory as bytes, shared with it."""
    import torch

    flat = tensor.detach().view(-1).view(torch.uint8)
    return Values(flat.numpy(), safetensors_dtype(tensor))


def to_tensor(values: Values, shape: Sequence[int]) -> Any:
    """Bytes as a torch tensor, shared with them."""
    import torch

    flat = torch.from_numpy(values.data).view(getattr(torch, _NAMES[values.dtype]))
    return flat.view(tuple(shape))


def safetensors_dtype(tensor: Any) -> str:
    """The dtype of a torch tensor as safetensors spells it."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise MergeError(f"a live model of {name} cannot be rewritten")
    return _DTYPES[name]


class DeviceWeights:
    """The live tensors of blends on a GPU, with copies of the inputs beside them.

    The arithmetic is that of the kernels, operation by operation, so the bits are too.
    """

    def __init__(self, live: Mapping[str, Any], some: Sequence[LiveTensor]) -> None:
        self._live = live
        self._steps = {blend.task.name: blend.rounding_steps for blend in some}
        self._inputs = {
            blend.task.name: [
                _copy_to_device(each, live[blend.task.name].device) for each in blend.inputs
            ]
            for blend in some
        }
        for blend in some:
            out = live[blend.task.name]
            for start, tail in blend.copied_rows:
                part = out.view(-1)[start : start + tail.size]
                part.copy_(_round_to(_copy_to_device(tail, out.device), blend.rounding_steps))

    def write(self, weights: Mapping[str, WeightedSum]) -> None:
        """Rewrites the tensors named. Raises MergeError for a result that is not finite."""
        import torch

        finite = {name: self._write(name, row) for name, row in weights.items()}
        if finite and not bool(torch.stack(list(finite.values())).all()):
            name = next(name for name, sound in finite.items() if not bool(sound))
            raise MergeError(f"tensor `{name}` would hold NaN or infinity")

    def _write(self, name: str, wanted: WeightedSum) -> Any:
        inputs, steps = self._inputs[name], self._steps[name]
        out = self._live[name].view(-1)[: inputs[0].numel()]
        if len(inputs) == 1:
            out.copy_(inputs[0])
            return out.isfinite().all()
        for parts in zip(out.split(_PART), *(one.split(_PART) for one in inputs), strict=True):
            parts[0].copy_(_round_to(_weighted_sum(parts[1:], wanted), steps))
        return out.isfinite().all()


def _weighted_sum(inputs: Sequence[Any], wanted: WeightedSum) -> Any:
    import torch

    wide = any(one.dtype == torch.float64 for one in inputs)
    real = torch.float64 if wide else torch.float32
    total = torch.zeros_like(inputs[0], dtype=real) if wanted.divisor else None
    for values, weight in zip(inputs, wanted.weights, strict=True):
        if not weight:
            continue
        if wanted.divisor and not wide:
            total = _fused_multiply_add(values, weight, total)
        else:
            term = values.to(real) * weight
            total = term if total is None else total.add_(term)
    if wanted.divisor and total is not None:
        # A plain number as divisor is turned into a factor on a GPU, with other bits.
        total /= torch.full((), wanted.divisor, dtype=real, device=total.device)
    return total


def _fused_multiply_add(values: Any, weight: float, total: Any) -> Any:
    """values·weight + total of float32, rounded once: see `kernels_numpy.fused`."""
    import torch

    narrow = torch.full((), weight, dtype=torch.float32, device=total.device)
    product, addend = values.double() * narrow.double(), total.double()
    exact = product + addend
    seen = exact - product
    rest = (product - (exact - seen)).add_(addend - seen)
    bits = exact.view(torch.int64)
    even = ((rest > 0) | (rest < 0)) & ((bits & 1) == 0)
    bits += torch.where((rest > 0) == (exact > 0), 1, -1) * even
    return exact.float()


def _round_to(values: Any, steps: Sequence[str]) -> Any:
    import torch

    for dtype in steps:
        values = values.to(getattr(torch, _NAMES[dtype]))
    return values


def _copy_to_device(values: Values, device: Any) -> Any:
    import torch

    data = torch.frombuffer(bytearray(values.data), dtype=torch.uint8)
    return data.view(getattr(torch, _NAMES[values.dtype])).to(device)
