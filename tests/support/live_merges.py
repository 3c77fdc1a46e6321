"""Small models to merge: two-layer Llamas that are siblings, some tensors near and some far."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_models import model, tokenizer

from merger.checkpoints.checkpoint import Checkpoint
from merger.planning.merge_plan import MergePlan, TensorTask

SPELLED = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
NEAR = "down_proj"  # of siblings, these are so near that SLERP is linear


def siblings(
    folder: Path, count: int = 2, *, dtype: str = "bfloat16", tied: bool = False, rows: int = 0
) -> list[Path]:
    """Folders of a model and of others made from it by noise; `rows` more of the vocabulary."""
    import torch

    words = tokenizer()
    vocabulary = len(words) + rows
    start = model(vocabulary=vocabulary, tie_word_embeddings=tied).state_dict()
    folders = []
    for number in range(count):
        net = model(vocabulary=vocabulary, tie_word_embeddings=tied)
        torch.manual_seed(number)
        for name, tensor in net.state_dict().items():
            size = 0.005 if NEAR in name else 0.5
            noise = torch.randn_like(tensor) * max(float(start[name].std()), 0.2) * size
            tensor.copy_(start[name] + (noise if number else 0))
        folders.append(folder / f"{dtype}-{tied}-{rows}-{number}")
        net.to(getattr(torch, dtype)).save_pretrained(folders[-1])
        words.save_pretrained(folders[-1])
    return folders


def plan_of(
    folders: Sequence[Path],
    method: Any = "slerp",
    weights: Sequence[float] = (0.6, 0.4),
    *,
    dtype: str | None = None,
    rows: int | None = None,
    work: str = "",
) -> MergePlan:
    """Every tensor of the first model merged in one way; `rows` are those of the vocabulary."""
    inputs = tuple(Checkpoint.open(folder) for folder in folders)
    tasks = []
    for name, info in inputs[0].tensors.items():
        words = rows is not None and ("embed_tokens" in name or "lm_head" in name)
        shape = (rows or 0, *info.shape[1:]) if words else info.shape
        tasks.append(TensorTask(name, dtype or info.dtype, shape, method, tuple(weights), work))
    return MergePlan(inputs, tuple(tasks))


def state(folder: Path) -> dict[str, Any]:
    """The tensors of a folder."""
    from safetensors.torch import load_file

    return dict(load_file(folder / "model.safetensors"))


def agree(ours: Any, theirs: Any, inputs: Sequence[Any]) -> bool:
    """Whether two merges of one dtype differ by no more than one representable number.

    Where the inputs cancel to less than a hundredth, float32 has lost those digits: there by no
    more than that loss.
    """
    import torch

    assert ours.dtype == theirs.dtype
    bits = {2: torch.int16, 4: torch.int32}[ours.element_size()]
    apart = (_ordered(ours.view(bits)) - _ordered(theirs.view(bits))).abs()
    size = torch.stack([each.float().abs() for each in inputs]).amax(0)
    small = theirs.float().abs() < 0.01 * size
    near = (ours.float() - theirs.float()).abs() <= 1e-4 * size
    return bool(((apart <= 1) | (small & near)).all())


def _ordered(bits: Any) -> Any:
    """Bits of floating-point numbers as integers in the order of the numbers."""
    low = 1 << (8 * bits.element_size() - 1)
    wide = bits.long()
    return wide.where(wide >= 0, -wide - low)


def same_bits(ours: Any, theirs: Any) -> bool:
    """Whether two tensors are equal in type, shape and every bit."""
    import torch

    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    return bool(
        torch.equal(
            ours.contiguous().view(-1).view(torch.uint8),
            theirs.contiguous().view(-1).view(torch.uint8),
        )
    )
