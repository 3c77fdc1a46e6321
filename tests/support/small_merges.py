"""Pairs of two-layer Llamas of random weights to merge, and what MergeKit makes of them."""

import warnings
from pathlib import Path
from typing import Any

import tiny_models

SIZES: dict[str, Any] = {"intermediate_size": 96, "initializer_range": 0.05}


def save_model(
    folder: Path,
    *,
    seed: int,
    dtype: str = "bfloat16",
    near: Any = None,
    shard: str | None = None,
    tokenizer: bool = False,
    **config: Any,
) -> Any:
    """A model on disk; `near` is one it hardly differs from in every second tensor."""
    import torch

    tied = config.pop("tie_word_embeddings", False)
    net = tiny_models.model(seed=seed, **{**SIZES, **config})
    if tied:
        net.config.tie_word_embeddings = True
        net.tie_weights()
    with torch.no_grad():
        for at, (name, tensor) in enumerate(net.named_parameters()):
            if near is not None and at % 2:
                tensor.mul_(0.001).add_(near.get_parameter(name).float())
    net = net.to(getattr(torch, dtype))
    net.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    if tokenizer:
        tiny_models.tokenizer().save_pretrained(folder)
    return net


def save_pair(folder: Path, **options: Any) -> tuple[Path, Path]:
    """Models `a` and `b`, of which half of the tensors are nearly parallel."""
    first_options = {key: value for key, value in options.items() if not key.startswith("b_")}
    second_options = first_options | {
        key[2:]: value for key, value in options.items() if key.startswith("b_")
    }
    first = save_model(folder / "a", seed=1, **first_options)
    save_model(folder / "b", seed=2, near=first, **second_options)
    return folder / "a", folder / "b"


def by_mergekit(recipe: dict[str, Any], into: Path, **options: Any) -> Path:
    """The merge that MergeKit makes of a plain recipe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mergekit.config import MergeConfiguration
        from mergekit.io.tasks import LoaderCache
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

        LoaderCache.loaders.clear()
        config = MergeConfiguration.model_validate(recipe)
        run_merge(config, str(into), MergeOptions(quiet=True, **options))
        LoaderCache().flush_all()
        LoaderCache.loaders.clear()
    return into


def tensors(folder: Path) -> dict[str, Any]:
    """All tensors of a folder, by the safetensors library."""
    from safetensors.torch import load_file

    by_name: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        by_name |= load_file(path)
    return by_name


def ulps(ours: Any, theirs: Any) -> int:
    """The greatest distance of two tensors of one dtype, in steps of that dtype."""
    import torch

    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[ours.dtype.itemsize]
    steps = []
    for tensor in (ours, theirs):
        bits = tensor.contiguous().view(kind).to(torch.int64)
        low = torch.iinfo(kind).min
        steps.append(torch.where(bits < 0, low - bits, bits))
    return int((steps[0] - steps[1]).abs().max()) if ours.numel() else 0


def apart(ours: Any, theirs: Any, inputs: list[Any], work: Any = None) -> float:
    """The greatest distance of two merges, in what they may differ by.

    That is one step at each number, of their dtype or of the `work` dtype they had before; where
    terms cancel, the float32 (or float64) in which both add has steps of its own, of the size of
    the inputs.
    """
    import torch

    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    wide = torch.float64 in {tensor.dtype for tensor in (ours, *inputs)}
    terms = sum(tensor[: len(ours)].double().abs() for tensor in inputs if len(tensor) >= len(ours))
    x, y = ours.double(), theirs.double()
    about = max((torch.finfo(kind) for kind in (work, ours.dtype) if kind), key=lambda f: f.eps)
    exponent = torch.frexp(y)[1].double() - 1
    step = (torch.exp2(exponent) * about.eps).clamp(min=about.smallest_normal * about.eps)
    allowed = step + terms * 2.0 ** (-51 if wide else -22)
    return float(((x - y).abs() / allowed).nan_to_num(0.0).max())


def loaded(folder: Path) -> Any:
    """The model of a folder, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(folder: Path, ids: list[int]) -> Any:
    """What a model says after each of these tokens."""
    import torch

    with torch.no_grad():
        return loaded(folder)(torch.tensor([ids])).logits[0]
