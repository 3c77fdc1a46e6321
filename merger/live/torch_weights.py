"""The tensors of a live torch model, and rewriting them on the device where they lie."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from merger.checkpoints.values import Values
from merger.kernels.delta_sums import DeltaSum, TensorSum
from merger.kernels.weighted_sums import WeightedSum
from patientdx.errors import MergeError

from .live_tensors import LiveTensor

_PART = 1 << 24  # numbers of a fused product at a time, which takes float64 memory

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_TORCH_NAMES = {safetensors: torch_name for torch_name, safetensors in _DTYPES.items()}


def copy_mapped_weights(model: Any) -> None:
    """Copies weights that are mapped from a file into memory.

    Writing to them then neither needs the file nor waits for its pages.
    """
    import torch

    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    for tensor in tensors.values():
        if tensor.device.type == "cpu":
            tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def tokenizer_digest(tokenizer: Any) -> str:
    """The sha256 of a tokenizer's vocabulary, rules and chat template, as hex digits."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    facts = f"{rules}\0{getattr(tokenizer, 'chat_template', None)}"
    return hashlib.sha256(facts.encode()).hexdigest()


def to_values(tensor: Any) -> Values:
    """A contiguous torch tensor in main memory as bytes, which share its memory."""
    import torch

    flat = tensor.detach().view(-1).view(torch.uint8)
    return Values(flat.numpy(), safetensors_dtype(tensor))


def to_tensor(values: Values, shape: Sequence[int]) -> Any:
    """Bytes as a torch tensor, which shares their memory."""
    import torch

    flat = torch.from_numpy(values.data).view(getattr(torch, _TORCH_NAMES[values.dtype]))
    return flat.view(tuple(shape))


def safetensors_dtype(tensor: Any) -> str:
    """The dtype of a torch tensor as safetensors spells it. Raises MergeError for others."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise MergeError(f"a live model of {name} cannot be rewritten")
    return _DTYPES[name]


class DeviceWeights:
    """The tensors of a live model on a GPU, with copies of the inputs beside them.

    The arithmetic is that of the kernels, operation by operation, so the bits are the same.
    """

    def __init__(self, live: Mapping[str, Any], tensors: Sequence[LiveTensor]) -> None:
        self._live = live
        self._tensors = {tensor.task.name: tensor for tensor in tensors}
        self._inputs = {
            name: [_copy_to_device(values, live[name].device) for values in tensor.inputs]
            for name, tensor in self._tensors.items()
        }
        for name, tensor in self._tensors.items():
            for start, rows in tensor.copied_rows:
                target = live[name].view(-1)[start : start + rows.size]
                copied = _copy_to_device(rows, target.device)
                target.copy_(_round_to(copied, tensor.rounding_steps))

    def write(self, weights: Mapping[str, TensorSum]) -> None:
        """Rewrites the named tensors. Raises MergeError for a result that is not finite."""
        import torch

        finite = {name: self._write(name, row) for name, row in weights.items()}
        if finite and not bool(torch.stack(list(finite.values())).all()):
            name = next(name for name, is_finite in finite.items() if not bool(is_finite))
            raise MergeError(f"tensor `{name}` would hold NaN or infinity")

    def _write(self, name: str, row: TensorSum) -> Any:
        """Rewrites a tensor; returns, on the device, whether the result is finite."""
        inputs, steps = self._inputs[name], self._tensors[name].rounding_steps
        out = self._live[name].view(-1)[: inputs[0].numel()]
        if len(inputs) == 1:
            out.copy_(inputs[0])
            return out.isfinite().all()
        parts = (values.split(_PART) for values in inputs)
        for target, *sources in zip(out.split(_PART), *parts, strict=True):
            target.copy_(_round_to(_make_sum(sources, row, steps[0]), steps))
        return out.isfinite().all()


def _make_sum(inputs: Sequence[Any], row: TensorSum, dtype: str) -> Any:
    if isinstance(row, DeltaSum):
        return _delta_sum(inputs, row, dtype)
    return _weighted_sum(inputs, row)


def _delta_sum(inputs: Sequence[Any], row: DeltaSum, dtype: str) -> Any:
    """The base plus weighted differences, in torch's arithmetic of a dtype, as MergeKit has it."""
    import torch

    real = getattr(torch, _TORCH_NAMES[dtype])
    *weights, divisor, scale = row.factors(dtype)
    base, *others = (inputs[i].to(real) for i in row.order)
    total = torch.zeros_like(base, dtype=torch.float64 if dtype == "F64" else torch.float32)
    for values, weight in zip(others, weights, strict=True):
        total += values.sub(base).mul_(weight)
    total = total.to(real)
    if divisor:
        # On a GPU, torch turns a plain number as divisor into a factor, which gives other bits.
        total /= torch.full((), divisor, dtype=real, device=total.device)
    return base + (total.mul_(scale) if scale != 1 else total)


def _weighted_sum(inputs: Sequence[Any], row: WeightedSum) -> Any:
    """The weighted sum in float32, or in float64 if an input is."""
    import torch

    wide = any(values.dtype == torch.float64 for values in inputs)
    real = torch.float64 if wide else torch.float32
    total = torch.zeros_like(inputs[0], dtype=real) if row.divisor else None
    for values, weight in zip(inputs, row.weights, strict=True):
        if not weight:
            continue
        if row.divisor and not wide:
            total = _fused_multiply_add(values, weight, total)
        else:
            term = values.to(real) * weight
            total = term if total is None else total.add_(term)
    if row.divisor and total is not None:
        # On a GPU, torch turns a plain number as divisor into a factor, which gives other bits.
        total /= torch.full((), row.divisor, dtype=real, device=total.device)
    return total


def _fused_multiply_add(values: Any, weight: float, total: Any) -> Any:
    """values·weight + total of float32, rounded once.

    As in `numpy_kernels.fused_multiply_add`, the sum in float64 is rounded to odd first.
    """
    import torch

    factor = torch.full((), weight, dtype=torch.float32, device=total.device)
    product, addend = values.double() * factor.double(), total.double()
    exact = product + addend
    added = exact - product
    error = (product - (exact - added)).add_(addend - added)
    bits = exact.view(torch.int64)
    inexact_even = ((error > 0) | (error < 0)) & ((bits & 1) == 0)
    bits += torch.where((error > 0) == (exact > 0), 1, -1) * inexact_even
    return exact.float()


def _round_to(values: Any, steps: Sequence[str]) -> Any:
    """Values rounded to one dtype after another."""
    import torch

    for dtype in steps:
        values = values.to(getattr(torch, _TORCH_NAMES[dtype]))
    return values


def _copy_to_device(values: Values, device: Any) -> Any:
    import torch

    data = torch.frombuffer(bytearray(values.data), dtype=torch.uint8)
    return data.view(getattr(torch, _TORCH_NAMES[values.dtype])).to(device)
