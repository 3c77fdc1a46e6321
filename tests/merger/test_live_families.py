"""A live merge of any family equals, bit by bit, what transformers loads of the written merge."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from live_merges import plan_of, same_bits
from tiny_families import change_tensors, save_family_pair, vocabulary

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.execution import merge
from merger.live import loading
from merger.live.live_parameters import find_live_parameters
from merger.live.live_tensors import measure_pairs, open_live_tensors
from merger.live.merged_model import MergedModel
from merger.live.torch_weights import DeviceWeights
from merger.methods.method import TensorWeights
from merger.methods.registry import compute_sum
from merger.planning.input_checks import check_inputs
from merger.planning.job import MergeJob
from merger.planning.merge_plan import MergePlan
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe
from patientdx.errors import MergeError, ModelError
from patientdx.models.settings import DType, ModelSettings
from patientdx.models.torch.loading import load

# Experts that are stacked (and transposed: qwen3_vl_moe), renamed, tied, fused, recurrent layers,
# models of text and images, and tensors that are split (hrm_text, lara_mini) or concatenated.
OF_EVERY_KIND = (
    "afmoe", "bloom", "deepseek_v3", "gemma3", "gpt2", "gpt_neox", "granitemoehybrid", "llama4",
    "hrm_text", "jamba", "lara_mini", "llava", "mamba", "mixtral", "olmo_hybrid", "phi3",
    "phimoe", "qwen2", "qwen2_moe", "qwen3_next", "qwen3_vl_moe",
)  # fmt: skip
FLOAT32 = ModelSettings(dtype="float32")


def written(plan: MergePlan, into: Path) -> Path:
    """The merge as a folder, with the configuration and tokenizer of its base."""
    base = plan.inputs[plan.base].folder
    beside = [file for file in base.iterdir() if file.suffix in {".json", ".jinja"}]
    write_merge(plan, into, {file.name: file.read_bytes() for file in beside})
    return into


def assert_live_is_written(folders: list[Path], into: Path, dtype: DType = "float32") -> Any:
    """Compares every tensor of the live module with that of the loaded merge, at three λ."""
    settings = ModelSettings(dtype=dtype)
    warnings: list[str] = []
    merged = MergedModel.load(plan_of(folders), settings=settings, warn=warnings.append)
    for method, t in (("slerp", 0.3), ("linear", 0.7), ("slerp", 1.0)):
        merged.remix(t, method=method)
        plan = plan_of(folders, method, (1 - t, t))
        expected = load(written(plan, into / f"{method}-{t}"), settings).model.state_dict()
        live = merged.module.state_dict()
        assert live.keys() == expected.keys()
        assert [name for name in live if not same_bits(live[name], expected[name])] == []
    assert merged.generate(["the patient has"])[0].completion_tokens
    return warnings


@pytest.mark.parametrize("family", OF_EVERY_KIND)
def test_every_kind_of_family_in_memory_is_what_is_written(tmp_path: Path, family: str) -> None:
    warnings = assert_live_is_written(save_family_pair(tmp_path, family), tmp_path)
    # transformers runs Llama 4 without its images, and says so of no other.
    assert len(warnings) == (family == "llama4")


@pytest.mark.parametrize("family", ["mixtral", "qwen3_vl_moe"])
def test_experts_in_half_precision(tmp_path: Path, family: str) -> None:
    folders = save_family_pair(tmp_path, family, dtype="float16")
    assert_live_is_written(folders, tmp_path, "bfloat16")


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "bloom"])
def test_files_without_the_prefix_of_the_base_model(tmp_path: Path, family: str) -> None:
    """As older files of GPT-2 and BLOOM are, and models without a head whose head is tied."""
    prefix = {"gpt2": "transformer.", "qwen2": "model.", "bloom": "transformer."}[family]
    folders = save_family_pair(tmp_path, family)
    for folder in folders:
        change_tensors(folder, lambda own: {n.removeprefix(prefix): t for n, t in own.items()})
    assert_live_is_written(folders, tmp_path)


def add_layer_61(tensors: dict[str, Any]) -> dict[str, Any]:
    """A copy of the first layer where DeepSeek-V3 has one that predicts further tokens."""
    of_first = {name for name in tensors if "layers.0." in name}
    copies = {n.replace("layers.0.", "layers.61."): tensors[n].clone() for n in of_first}
    return tensors | copies


def test_layers_that_predict_further_tokens_are_passed_over(tmp_path: Path) -> None:
    folders = save_family_pair(tmp_path, "deepseek_v3")
    for folder in folders:
        change_tensors(folder, add_layer_61)
    assert assert_live_is_written(folders, tmp_path) == []


def test_vocabularies_of_two_sizes_under_other_names(tmp_path: Path) -> None:
    large, small = (
        save_family_pair(tmp_path / str(rows), "gpt_neox", vocab_size=rows) for rows in (310, 303)
    )
    plan = plan_of([large[0], small[1]])
    tasks = tuple(
        task._replace(shape=(303, *task.shape[1:])) if "embed_" in task.name else task
        for task in plan.tensors
    )
    merged = MergedModel.load(MergePlan(plan.inputs, tasks), settings=FLOAT32).remix(1)
    assert merged.module.lm_head.weight.shape[0] == 303
    other = load(small[1], FLOAT32).model.state_dict()
    live = merged.module.state_dict()
    assert [name for name in other if not same_bits(live[name], other[name])] == []


@pytest.mark.parametrize("family", ["mixtral", "qwen3_vl_moe"])
def test_the_path_of_a_gpu_composes_the_same_experts(tmp_path: Path, family: str) -> None:
    """Run on the computer's own memory: the same operations of torch."""
    plan = plan_of(save_family_pair(tmp_path, family))
    merged = MergedModel.load(plan, settings=FLOAT32).remix(0.3)
    other = MergedModel.load(plan, settings=FLOAT32).remix(1)
    parameters = find_live_parameters(other.module, {t.name: t.shape for t in plan.tensors})
    tensors = list(open_live_tensors(plan))
    with ThreadPoolExecutor(1) as pool:
        pairs = measure_pairs(tensors, pool)
    weights = TensorWeights("slerp", (0.7, 0.3))
    sums = {name: compute_sum(weights, moments) for name, moments in pairs.items()}
    DeviceWeights(parameters.places, tensors).write(sums)
    parameters.settle(sums)
    expected = merged.module.state_dict()
    for name, tensor in other.module.state_dict().items():
        assert same_bits(tensor, expected[name]), name


def test_a_head_that_is_merged_apart_from_the_embeddings(tmp_path: Path) -> None:
    """The base ties them, its file has a copy, and the merge has a head of its own."""
    tied, untied = (
        save_family_pair(tmp_path / name, "qwen2", tie_word_embeddings=name == "tied")[i]
        for i, name in enumerate(("tied", "untied"))
    )
    change_tensors(
        tied, lambda own: own | {"lm_head.weight": own["model.embed_tokens.weight"].clone()}
    )
    merged = MergedModel.load(plan_of([tied, untied]), settings=FLOAT32)
    expected = load(untied, FLOAT32).model.state_dict()
    live = merged.remix(1).module.state_dict()
    assert [name for name in live if not same_bits(live[name], expected[name])] == []
    assert not same_bits(live["lm_head.weight"], live["model.embed_tokens.weight"])


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "gemma"])
@pytest.mark.parametrize("base", ["tied", "untied"])
def test_a_tied_model_with_one_that_is_not(family: str, base: str, tmp_path: Path) -> None:
    """The merge has a head of its own, in memory as on disk."""
    pair = [
        save_family_pair(tmp_path / name, family, tie_word_embeddings=name == "tied")[i]
        for i, name in enumerate((base, "untied" if base == "tied" else "tied"))
    ]
    first, second = map(str, pair)
    recipe = parse_recipe(to_yaml(two_model_recipe("slerp", first, second, 0.4)))
    merge(MergeJob(recipe, {ref: Path(ref.path) for ref in recipe.inputs}), tmp_path / "out")
    live = MergedModel.from_recipe(recipe, FLOAT32).module.state_dict()
    expected = load(tmp_path / "out", FLOAT32).model.state_dict()
    assert live.keys() == expected.keys()
    assert [name for name in live if not same_bits(live[name], expected[name])] == []


def without(name: str) -> Any:
    return lambda own: {key: tensor for key, tensor in own.items() if key != name}


@pytest.mark.parametrize(
    ("family", "missing", "message"),
    [
        ("llama", "lm_head.weight", "the live llama model needs `lm_head.weight`"),
        ("mixtral", "model.layers.1.block_sparse_moe.experts.2.w1.weight", "cannot compose"),
        ("mixtral", "model.layers.1.block_sparse_moe.experts.2.w2.weight", "cannot compose"),
        ("rwkv", "", "rwkv changes its weights while it runs"),
        ("bert", "", "BertForMaskedLM does not continue text"),
        ("t5", "", "t5 does not continue text"),
        ("whisper", "", "whisper does not continue text"),
    ],
)
def test_what_cannot_be_merged_in_memory_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, missing: str, message: str
) -> None:
    folders = save_family_pair(tmp_path, family)
    if missing:
        for folder in folders:
            change_tensors(folder, without(missing))

    def fail(*_: object) -> None:
        pytest.fail("weights were loaded")

    monkeypatch.setattr(loading, "load", fail)
    with pytest.raises((MergeError, ModelError), match=message) as refused:
        MergedModel.load(plan_of(folders))
    assert refused.value.hint


def test_a_head_with_a_dense_layer_has_no_rows_of_tokens_there(tmp_path: Path) -> None:
    """RoBERTa's `lm_head.dense.weight` is as wide as the model, whatever the vocabulary."""
    inputs = [Checkpoint.open(folder) for folder in save_family_pair(tmp_path, "roberta")]
    agreement = check_inputs(inputs, ["a", "b"], 0)
    shape = inputs[0].tensors["lm_head.dense.weight"].shape
    assert agreement.shape("lm_head.dense.weight", shape) == shape == (64, 64)
    assert agreement.rows == vocabulary()


def test_experts_of_another_shape_are_refused(tmp_path: Path) -> None:
    folders = save_family_pair(tmp_path, "mixtral")
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 98}))
    with pytest.raises(MergeError, match="cannot compose"):
        MergedModel.load(plan_of(folders))
