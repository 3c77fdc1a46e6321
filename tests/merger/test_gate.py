"""The final gate: no output is published that lost tensors or contradicts itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from merge_inputs import CONFIG, make
from tiny_checkpoints import Tensor, random_tensors

import merger.execution
from merger import Checkpoint, MergeJob, merge, parse_recipe
from merger.checking.consistency import find_contradictions, find_vocabulary_problems
from merger.checking.expected_tensors import list_tensors
from merger.engines.mergekit import run_mergekit
from merger.recipes.recipe import MergeRecipe
from merger.recipes.writer import to_yaml
from patientdx.errors import MergeError


def ties(a: Path, b: Path) -> MergeRecipe:
    models = [{"model": str(a)}, {"model": str(b), "parameters": {"weight": 0.5, "density": 0.5}}]
    recipe = {"models": models, "merge_method": "ties", "base_model": str(a), "dtype": "bfloat16"}
    return parse_recipe(to_yaml(recipe))


def run(recipe: MergeRecipe, into: Path) -> None:
    merge(MergeJob(recipe, {ref: Path(ref.path) for ref in recipe.inputs}), into)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("deepseek3", r"lost 24 of 67 tensors: model\.layers\.#\.mlp\.experts\.#"),
        ("llava", r"lost 105 of 105 tensors: .*language_model\.model\.layers\.# \(27\)"),
        ("mixtral", r"lost 39 of 60 tensors: .*block_sparse_moe\.experts"),
    ],
)
def test_what_mergekit_loses_by_its_own_layout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, message: str
) -> None:
    pytest.importorskip("transformers", reason="needs the extra hf")
    pytest.importorskip("mergekit", reason="needs the extra merge")
    from family_models import save_pair

    def derived(*args: Any, shape: object, **options: Any) -> None:
        assert shape
        run_mergekit(*args, **options)

    monkeypatch.setattr(merger.execution, "run_mergekit", derived)
    pair = save_pair(tmp_path, family)
    with pytest.raises(MergeError, match=message):
        run(ties(*pair), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.merging").exists()


def llama(folder: Path, change: Callable[[dict[str, Tensor]], None], **config: Any) -> Checkpoint:
    """A small Llama whose tensors were changed."""
    tensors = random_tensors(1)
    change(tensors)
    return Checkpoint.open(make(folder, tensors, **config))


def keep(tensors: dict[str, Tensor]) -> None:
    """Changes nothing."""
    assert tensors


def repeat_last_layer(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        if ".layers.1." in name:
            tensors[name.replace(".1.", ".2.")] = tensors[name]


def drop_first_layer(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        if ".layers.0." in name:
            del tensors[name]


@pytest.mark.parametrize(
    ("change", "config", "problem"),
    [
        (keep, {}, None),
        (repeat_last_layer, {}, "2 layers .*, and the file holds 3 of model.layers"),
        (repeat_last_layer, {"num_hidden_layers": 3}, None),
        (drop_first_layer, {}, "the file holds no layer 0"),
        (keep, {"tie_word_embeddings": False}, "holds no lm_head.weight"),
        (keep, {"architectures": ["LlamaModel"], "tie_word_embeddings": False}, None),
        (keep, {"vocab_size": 51}, "has 51 vocabulary rows, and the embeddings have 50"),
        (keep, {"model_type": "smollm3", "layer_types": ["full_attention"]}, "has 1 entries"),
        (keep, {"model_type": "qwen2_moe", "mlp_only_layers": [2]}, "`mlp_only_layers` names 2"),
        (repeat_last_layer, {"num_nextn_predict_layers": 1}, None),
    ],
)
def test_contradictions(
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], None],
    config: dict[str, Any],
    problem: str | None,
) -> None:
    import re

    problems = find_contradictions(llama(tmp_path / "model", change, **config))
    assert len(problems) == (problem is not None)
    assert problem is None or re.search(problem, problems[0])


def test_tokenizer_with_more_ids_than_rows_contradicts(tmp_path: Path) -> None:
    model = llama(tmp_path / "model", keep)
    path = model.folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["more"] = 50
    path.write_text(json.dumps(tokenizer))
    assert "tokenizer has 1 tokens beyond the 50 rows" in find_vocabulary_problems(model)[0]


def test_a_config_that_contradicts_the_tensors_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        make(tmp_path / name, random_tensors(seed))
    wrong = CONFIG | {"num_hidden_layers": 5}
    monkeypatch.setattr(merger.execution, "output_config", lambda *_: wrong)
    models = [{"model": str(tmp_path / name), "parameters": {"weight": 0.5}} for name in "ab"]
    recipe = parse_recipe(to_yaml({"models": models, "merge_method": "linear"}))
    with pytest.raises(MergeError, match="has 5 layers"):
        run(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensors_are_listed_by_kind() -> None:
    names = [f"model.layers.{n}.mlp.experts.{m}.w1" for n in range(3) for m in range(2)]
    kinds = ["lm_head.weight", "a.weight", "b.weight"]
    text = list_tensors([*kinds, *names])
    assert text.startswith("model.layers.#.mlp.experts.# (6), lm_head.weight, a.weight")
    assert text.endswith("and 1 more")
