"""The engine against MergeKit, tensor by tensor: within one ulp of bfloat16 on every number.

Where a and b all but cancel out, float32 itself is no more exact than its rounding of each of
them, in MergeKit as here: that much is granted as well.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints as tiny
from tiny_merges import plan_of, ulps, wide

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge

torch = pytest.importorskip("torch")
pytest.importorskip("mergekit")

TORCH = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
TS = (0.0, 0.1, 0.4, 0.5, 0.93, 1.0)


def tensors_of(checkpoint: Checkpoint) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = {}
    for file in checkpoint.files:
        tensors.update(load_file(file))
    return tensors


def hard_pair(seed: int) -> tuple[dict[str, tiny.Tensor], dict[str, tiny.Tensor]]:
    """Every relation of two tensors, at every size of numbers, of odd lengths."""
    rng = np.random.default_rng(seed)
    left, right = {}, {}
    relations: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "free": lambda a: rng.standard_normal(a.shape),
        "near": lambda a: a + 0.5 * rng.standard_normal(a.shape),
        "same": lambda a: a + 0.01 * rng.standard_normal(a.shape),
        "far": lambda a: -a + 0.5 * rng.standard_normal(a.shape),
        "antipodal": lambda a: -a,
        "twice": lambda a: 2 * a,
        "zero": np.zeros_like,
    }
    for scale in (1e-20, 1e-3, 1.0, 3e4):
        for name, relation in relations.items():
            a = rng.standard_normal((37, 129))
            left[f"{name}.{scale:g}"] = tiny.Tensor(a * scale * 0.2)
            right[f"{name}.{scale:g}"] = tiny.Tensor(relation(a) * scale * 0.2)
    return left, right


def agree(ours: Checkpoint, theirs: Mapping[str, Any], pair: list[Checkpoint], dtype: str) -> float:
    """The share of equal numbers; fails where one differs by more than an ulp of bfloat16."""
    equal = total = 0
    assert set(ours.tensors) == set(theirs)
    for name, tensor in theirs.items():
        assert tuple(tensor.shape) == ours.tensors[name].shape
        assert tensor.dtype == getattr(torch, TORCH[dtype]), name
        merged, expected = wide(ours.values(name)), tensor.double().numpy().reshape(-1)
        a, b = (np.abs(wide(each.values(name))) for each in pair)
        granted = ulps(expected, "BF16" if dtype != "F16" else "F16") + 2e-6 * (a + b)
        assert np.all(np.abs(merged - expected) <= granted), name
        equal += int(np.sum(merged == expected))
        total += len(merged)
    return equal / total


@pytest.mark.parametrize("t", TS)
@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_bfloat16_in_memory(tmp_path: Path, method: str, t: float) -> None:
    from mergekit.merge_methods import merge_state_dicts

    pair = [
        Checkpoint.open(tiny.write(tmp_path / str(n), each)) for n, each in enumerate(hard_pair(0))
    ]
    write_merge(plan_of(pair, method, (1 - t, t)), tmp_path / "out", {"config.json": b"{}"})
    parameters = {"t": t} if method == "slerp" else {"weight": [1 - t, t]}
    theirs = merge_state_dicts([*map(tensors_of, pair)], method, parameters=parameters, base=0)
    assert agree(Checkpoint.open(tmp_path / "out"), theirs, pair, "BF16") > 0.99


DTYPES = [
    # left, right, MergeKit's dtype and out_dtype; ours: dtype and work
    ("F16", "F16", None, None, "F16", ""),
    ("F32", "F32", None, None, "F32", ""),
    ("F64", "F64", None, None, "F64", ""),
    ("BF16", "F32", None, None, "F32", ""),
    ("BF16", "F16", None, None, "F32", ""),
    ("F64", "BF16", None, None, "F64", ""),
    ("F32", "F32", "bfloat16", None, "BF16", "BF16"),
    ("F32", "F16", "bfloat16", None, "BF16", "BF16"),
    ("BF16", "BF16", "float32", None, "F32", "F32"),
    ("BF16", "BF16", None, "float32", "F32", "BF16"),
    ("F32", "F32", "float16", "bfloat16", "BF16", "F16"),
]


@pytest.mark.parametrize(("left", "right", "dtype", "out_dtype", "ours", "work"), DTYPES)
@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_dtypes_in_memory(
    tmp_path: Path,
    method: str,
    left: str,
    right: str,
    dtype: str | None,
    out_dtype: str | None,
    ours: str,
    work: str,
) -> None:
    from mergekit.merge_methods import merge_state_dicts

    pair = [
        Checkpoint.open(tiny.write(tmp_path / str(n), tiny.random_tensors(n, kind)))
        for n, kind in enumerate((left, right))
    ]
    plan = plan_of(pair, method, (0.6, 0.4), ours, work)
    write_merge(plan, tmp_path / "out", {"config.json": b"{}"})
    theirs = merge_state_dicts(
        [*map(tensors_of, pair)],
        method,
        parameters={"t": 0.4} if method == "slerp" else {"weight": [0.6, 0.4]},
        base=0,
        dtype=getattr(torch, dtype) if dtype else None,
        out_dtype=getattr(torch, out_dtype) if out_dtype else None,
    )
    share = agree(Checkpoint.open(tmp_path / "out"), theirs, pair, ours)
    assert share > (0.99 if ours in {"BF16", "F16"} else 0.3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_a_merge_on_disk(tmp_path: Path, method: str) -> None:
    transformers = pytest.importorskip("transformers")
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    for seed in range(2):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
        model.save_pretrained(tmp_path / str(seed))
    folders = [str(tmp_path / str(seed)) for seed in range(2)]
    models = [
        {"model": folder, "parameters": {"weight": weight}}
        for folder, weight in zip(folders, (0.6, 0.4), strict=True)
    ]
    recipe: dict[str, Any] = {"models": models, "merge_method": method, "dtype": "bfloat16"}
    if method == "slerp":
        recipe |= {"base_model": folders[0], "parameters": {"t": 0.4}}
        recipe["models"] = [{"model": folder} for folder in folders]
    run_merge(
        MergeConfiguration.model_validate(recipe),
        str(tmp_path / "theirs"),
        MergeOptions(cuda=False, copy_tokenizer=False, quiet=True),
    )
    pair = [Checkpoint.open(folder) for folder in folders]
    plan = plan_of(pair, method, (0.6, 0.4), "BF16", "BF16")
    write_merge(plan, tmp_path / "ours", {"config.json": b"{}"})
    theirs = tensors_of(Checkpoint.open(tmp_path / "theirs"))
    assert agree(Checkpoint.open(tmp_path / "ours"), theirs, pair, "BF16") > 0.99
