"""Output layers that are tied, saved as copies, or models' own, and buffers among the tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import merge_inputs
import numpy as np
import odd_inputs
import pytest
import tiny_checkpoints as tiny
from odd_inputs import RawTensor, linear_recipe, slerp_recipe

from merger.checkpoints.checkpoint import Checkpoint
from merger.execution import merge
from merger.planning.output_layers import align_output_layers
from merger.verification import verify_merge
from patientdx.errors import MergeError

EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
SILENT: dict[str, Any] = {"tie_word_embeddings": None}
GEMMA: dict[str, Any] = {"model_type": "gemma", "architectures": ["GemmaForCausalLM"], **SILENT}


def save(folder: Path, seed: int, head: str = "none", **config: Any) -> Path:
    """A small model whose output layer is missing, a "copy" of the embeddings, or its "own"."""
    tensors = tiny.random_tensors(seed)
    if head == "copy":
        tensors[HEAD] = tensors[EMBEDDINGS]
    elif head == "own":
        tensors[HEAD] = tiny.random_tensors(seed + 50)[EMBEDDINGS]
    merge_inputs.make(folder, tensors)
    odd_inputs.configure(folder, **config)
    return folder


def written(recipe: str, into: Path, **options: Any) -> tuple[Checkpoint, tuple[str, ...]]:
    """A merge that was written and verified, and its remarks."""
    result = merge(odd_inputs.job_of(recipe, **options), into)
    assert verify_merge(into).different == ()
    return Checkpoint.open(into), result.remarks


def numbers(checkpoint: Checkpoint, name: str) -> np.ndarray:
    """The numbers of a tensor of bfloat16."""
    return tiny_numbers(checkpoint.values(name).data.tobytes())


def tiny_numbers(data: bytes) -> np.ndarray:
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


TIED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "silent Gemmas": (GEMMA, GEMMA),
    "said by one": (GEMMA, GEMMA | {"tie_word_embeddings": True}),
    "said by both": ({"tie_word_embeddings": True}, {"tie_word_embeddings": True}),
    "a type that no table has": ({"model_type": "new", **SILENT}, {"model_type": "new", **SILENT}),
}


@pytest.mark.parametrize("heads", [("none", "copy"), ("copy", "none"), ("copy", "copy")])
@pytest.mark.parametrize("kind", ["silent Gemmas", "said by one", "said by both"])
def test_a_saved_copy_of_the_embeddings_is_no_difference(
    tmp_path: Path, kind: str, heads: tuple[str, str]
) -> None:
    first, second = TIED[kind]
    a = save(tmp_path / "a", 1, heads[0], **first)
    b = save(tmp_path / "b", 2, heads[1], **second)
    out, remarks = written(slerp_recipe(a, b), tmp_path / "out")
    assert HEAD not in out.tensors
    assert out.config.get("tie_word_embeddings") == first.get("tie_word_embeddings")
    assert not any("output layer" in remark for remark in remarks)


def test_no_head_and_no_word_of_it_in_a_type_that_no_table_has(tmp_path: Path) -> None:
    first, second = TIED["a type that no table has"]
    a, b = save(tmp_path / "a", 1, **first), save(tmp_path / "b", 2, **second)
    out, _ = written(slerp_recipe(a, b), tmp_path / "out")
    assert HEAD not in out.tensors


OWN: dict[str, dict[str, Any]] = {
    "said": GEMMA | {"tie_word_embeddings": False},
    "not said, but another head": GEMMA,
    "said to be tied, but another head": GEMMA | {"tie_word_embeddings": True},
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("own", OWN)
def test_embeddings_stand_in_for_the_head_beside_a_model_with_one_of_its_own(
    tmp_path: Path, own: str, turned: bool
) -> None:
    tied, apart = save(tmp_path / "a", 1, "none", **GEMMA), save(tmp_path / "b", 2, "own")
    odd_inputs.configure(apart, **OWN[own])
    pair = (apart, tied) if turned else (tied, apart)
    out, remarks = written(linear_recipe(*pair), tmp_path / "out")
    assert out.config["tie_word_embeddings"] is False
    sources = numbers(Checkpoint.open(tied), EMBEDDINGS), numbers(Checkpoint.open(apart), HEAD)
    expected = (sources[0] + sources[1]) / 2
    assert np.abs(numbers(out, HEAD) - expected).max() <= np.abs(expected).max() * 2**-8
    assert any("the merge has one of its own, made of these embeddings" in r for r in remarks)
    assert any("though its configuration ties them" in r for r in remarks) == (own != "said")


def test_a_head_that_differs_is_kept_though_all_configurations_tie(tmp_path: Path) -> None:
    """As transformers loads such models: it does not tie them, with a warning."""
    a, b = (save(tmp_path / n, seed, "own", **GEMMA) for seed, n in enumerate("ab"))
    out, _ = written(slerp_recipe(a, b), tmp_path / "out")
    assert HEAD in out.tensors
    assert out.config["tie_word_embeddings"] is False


def test_text_parts_are_untied_with_the_whole(tmp_path: Path) -> None:
    text = {"text_config": {"model_type": "gemma3_text", "tie_word_embeddings": True}}
    kind = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], **text}
    a = save(tmp_path / "a", 1, "none", **kind)
    b = save(tmp_path / "b", 2, "own", **kind)
    inputs, _ = align_output_layers([Checkpoint.open(a), Checkpoint.open(b)], ["a", "b"])
    for model in inputs:
        assert model.config["tie_word_embeddings"] is False
        assert model.config["text_config"]["tie_word_embeddings"] is False
        assert HEAD in model.tensors


def test_a_head_alone_stands_in_for_the_embeddings(tmp_path: Path) -> None:
    """transformers ties the parameter that exists."""
    tensors = tiny.random_tensors(1)
    a = merge_inputs.make(
        tmp_path / "a", {HEAD if name == EMBEDDINGS else name: t for name, t in tensors.items()}
    )
    odd_inputs.configure(a, **GEMMA)
    b = save(tmp_path / "b", 2, "none", **GEMMA)
    out, _ = written(slerp_recipe(a, b, 0), tmp_path / "out")
    assert HEAD not in out.tensors
    assert out.values(EMBEDDINGS).data.tobytes() == tensors[EMBEDDINGS].values.data.tobytes()


@pytest.mark.parametrize("engine", ["stream", "mergekit"])
def test_a_model_that_lost_its_head_is_refused_beside_one_that_ties(
    tmp_path: Path, engine: str
) -> None:
    a = save(tmp_path / "a", 1, "none", **GEMMA)
    b = save(tmp_path / "b", 2, "none", **GEMMA | {"tie_word_embeddings": False})
    with pytest.raises(MergeError, match=f"{b} has no output layer in its file") as caught:
        odd_inputs.prepare(slerp_recipe(a, b), engine=engine)
    assert caught.value.hint is not None


@pytest.mark.parametrize("heads", [("none", "copy"), ("none", "own"), ("own", "none")])
def test_what_is_written_loads_and_answers_as_the_formula(
    tmp_path: Path, heads: tuple[str, str]
) -> None:
    """Gemmas of transformers: nothing missing, and both engines make the same numbers."""
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    pytest.importorskip("mergekit", reason="needs the extra merge")
    pair = [save_gemma(tmp_path / n, seed, heads[seed]) for seed, n in enumerate("ab")]
    states = []
    for engine in ("stream", "mergekit"):
        out = tmp_path / engine
        merge(odd_inputs.job_of(linear_recipe(pair[0], pair[1]), engine=engine), out)
        net, report = transformers.AutoModelForCausalLM.from_pretrained(
            out, output_loading_info=True, dtype=torch.bfloat16
        )
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        states.append(dict(net.state_dict()))
        loaded = [transformers.AutoModelForCausalLM.from_pretrained(f) for f in pair]
        mean = sum(model.lm_head.weight.double() for model in loaded) / 2
        assert float((net.lm_head.weight.double() - mean).detach().abs().max()) < 0.01
        tied = net.lm_head.weight is net.model.embed_tokens.weight
        assert tied == ("own" not in heads)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def save_gemma(folder: Path, seed: int, head: str) -> Path:
    """A Gemma whose config.json does not say whether it ties."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    torch.manual_seed(seed)
    config = transformers.GemmaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    transformers.GemmaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    if head != "none":
        embeddings = tensors[EMBEDDINGS]
        tensors[HEAD] = embeddings.clone() if head == "copy" else embeddings.flip(0).contiguous()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    odd_inputs.configure(folder, **SILENT)
    return folder


NEOX: dict[str, Any] = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}
NEOX_LAYER = "gpt_neox.layers.{}.attention."
MASKS: dict[str, Mapping[str, Any]] = {
    "GPT-NeoX": {
        **{NEOX_LAYER.format(i) + "bias": RawTensor((1, 1, 8, 8), "BOOL") for i in range(2)},
        **{NEOX_LAYER.format(i) + "masked_bias": tiny.Tensor(-np.inf, "F16") for i in range(2)},
        NEOX_LAYER.format(0) + "rotary_emb.inv_freq": tiny.Tensor([1.0, 0.1], "F32"),
    },
    "masks of numbers": {
        NEOX_LAYER.format(0) + "bias": tiny.Tensor(np.full((1, 1, 4, 4), -1e9), "F32"),
        NEOX_LAYER.format(0) + "masked_bias": tiny.Tensor(np.nan, "F32"),
    },
}


@pytest.mark.parametrize("where", ["both", "base", "other"])
@pytest.mark.parametrize("kind", MASKS)
def test_buffers_are_passed_over_and_reported_once(tmp_path: Path, kind: str, where: str) -> None:
    folders = []
    for seed, name in enumerate("ab"):
        held = where == "both" or name == ("a" if where == "base" else "b")
        tensors = {**tiny.random_tensors(seed), **(MASKS[kind] if held else {})}
        folders.append(merge_inputs.make(tmp_path / name, tensors))
        odd_inputs.configure(folders[-1], **NEOX, tie_word_embeddings=True)
    out, remarks = written(slerp_recipe(folders[0], folders[1]), tmp_path / "out")
    assert not out.tensors.keys() & MASKS[kind].keys()
    noted = [remark for remark in remarks if "compute when they are loaded" in remark]
    first = min(MASKS[kind])
    counted = f"{len(MASKS[kind])} tensors that models compute when they are loaded"
    assert noted == [f"{counted}, such as {first}, are left out"]


def test_biases_are_no_buffers(tmp_path: Path) -> None:
    """Names that end alike, of tensors that are weights."""
    names = ("attention.query_key_value.bias", "attention.dense.bias")
    extra = {f"gpt_neox.layers.0.{name}": tiny.Tensor(np.ones(8)) for name in names}
    a, b = odd_inputs.make_pair(tmp_path, extra, **NEOX)
    out, _ = written(slerp_recipe(a, b), tmp_path / "out")
    assert out.tensors.keys() >= extra.keys()


def test_weights_that_are_not_finite_are_still_refused(tmp_path: Path) -> None:
    name = "gpt_neox.layers.0.attention.dense.bias"
    extra = {name: tiny.Tensor(np.full(8, np.nan)), **MASKS["GPT-NeoX"]}
    a, b = odd_inputs.make_pair(tmp_path, extra, **NEOX)
    with pytest.raises(MergeError, match=f"`{name}` holds NaN or infinity"):
        merge(odd_inputs.job_of(slerp_recipe(a, b)), tmp_path / "out")


def test_old_and_resaved_models_merge_to_the_same_numbers(tmp_path: Path) -> None:
    """GPT-NeoX in half precision, with the masks of older releases."""
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    from safetensors.torch import load_file, save_file

    config = transformers.GPTNeoXConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    pairs: dict[str, list[Path]] = {"old": [], "resaved": []}
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        model = transformers.GPTNeoXForCausalLM(config).half()
        for kind, folders in pairs.items():
            folders.append(tmp_path / kind / name)
            model.save_pretrained(folders[-1])
        tensors = load_file(pairs["old"][-1] / "model.safetensors")
        for layer in range(2):
            prefix = NEOX_LAYER.format(layer)
            tensors[prefix + "bias"] = torch.ones(32, 32, dtype=torch.bool).tril()[None, None]
            tensors[prefix + "masked_bias"] = torch.tensor(-1e9).half()
        save_file(tensors, pairs["old"][-1] / "model.safetensors", metadata={"format": "pt"})
    merged = {}
    for i, kinds in enumerate((("resaved", "resaved"), ("old", "old"), ("resaved", "old"))):
        pair = [pairs[kind][side] for side, kind in enumerate(kinds)]
        out, _ = written(slerp_recipe(pair[0], pair[1]), tmp_path / f"out-{i}")
        merged[kinds] = {name: out.values(name).data.tobytes() for name in out.tensors}
    assert merged["old", "old"] == merged["resaved", "old"] == merged["resaved", "resaved"]
    net, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out-1", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert net.config.num_hidden_layers == 2
