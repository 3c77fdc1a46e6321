"""Both engines against MergeKit itself: the same tensors, within a step of their dtype."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("transformers", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")
from fused import torch_fuses
from small_merges import apart, by_mergekit, loaded, save_pair, tensors, ulps

from merger.execution import merge
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.recipes.recipe import ModelRef
from merger.recipes.writer import to_yaml
from patientdx.errors import InputError, MergeError

MakePair = Callable[..., tuple[Path, Path]]
"""Takes the options of `save_pair`."""
BY_PART: list[dict[str, Any]] = [
    {"filter": "self_attn", "value": [0, 0.5, 1]},
    {"filter": "mlp", "value": [1, 0.5, 0]},
    {"value": 0.4},
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> MakePair:
    """Pairs by their options, each made once."""
    made: dict[str, tuple[Path, Path]] = {}

    def pair(**options: Any) -> tuple[Path, Path]:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = save_pair(tmp_path_factory.mktemp("pair"), **options)
        return made[key]

    return pair


def recipe_of(a: Path, b: Path, method: str, parameters: Any, **more: Any) -> dict[str, Any]:
    models: list[dict[str, Any]] = [{"model": str(a)}, {"model": str(b)}]
    if method == "linear":
        for model, weight in zip(models, more.pop("weights"), strict=True):
            model["parameters"] = {"weight": weight}
    return {
        "models": models,
        "merge_method": method,
        "base_model": str(a),
        "parameters": parameters,
        **more,
    }


def job_of(recipe: dict[str, Any], **options: Any) -> MergeJob:
    read = parse_recipe(to_yaml(recipe))
    return MergeJob(read, {ref: Path(ref.path) for ref in read.inputs}, **options)


def named(recipe: dict[str, Any]) -> list[Path]:
    """The folders of a recipe's models."""
    slices = [source for each in recipe.get("slices", ()) for source in each["sources"]]
    return [Path(entry["model"]) for entry in (*recipe.get("models", ()), *slices)]


def compare(recipe: dict[str, Any], place: Path, **options: Any) -> None:
    """Merges with our engine and by MergeKit: linear is equal, slerp within a step."""
    merge(job_of(recipe, engine="stream", **options), place / "ours")
    theirs = tensors(by_mergekit(recipe, place / "theirs"))
    ours = tensors(place / "ours")
    if "lm_head.weight" not in ours:  # MergeKit writes nothing for a tied one either
        theirs.pop("lm_head.weight", None)
    assert ours.keys() == theirs.keys()
    inputs = [tensors(ref) for ref in dict.fromkeys(named(recipe))]
    for name in ours:
        sources = [model[name] for model in inputs]
        # What is written wider was rounded to the inputs' dtype before.
        work = sources[0].dtype if "out_dtype" in recipe else None
        if recipe["merge_method"] == "linear" and sources[0].dtype.itemsize < 8 and torch_fuses():
            assert ours[name].equal(theirs[name]), name
        assert apart(ours[name], theirs[name], sources, work) <= 1, name
    loaded(place / "ours")


SCHEDULES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a number": ("slerp", {"t": 0.3}, {}),
    "a word in scientific notation": ("slerp", {"t": "3e-1"}, {}),
    "a gradient": ("slerp", {"t": [0.1, 0.9]}, {}),
    "filters": ("slerp", {"t": BY_PART}, {}),
    "one filter": ("slerp", {"t": {"value": 0.2, "filter": "*"}}, {}),
    "the ends": ("slerp", {"t": [0, 1]}, {}),
    "linear": ("linear", {}, {"weights": [0.6, 0.4]}),
    "linear, gradients": ("linear", {"normalize": True}, {"weights": [[0.9, 0.2], [0.3, 0.7]]}),
    "linear, filters": ("linear", {}, {"weights": [BY_PART, 1]}),
    "linear, not normalised": ("linear", {"normalize": False}, {"weights": [0.6, 0.6]}),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_mergekit_s_tensors(
    name: str, pairs: MakePair, tmp_path: Path
) -> None:
    method, parameters, more = SCHEDULES[name]
    compare(recipe_of(*pairs(), method, parameters, **more), tmp_path)


DTYPES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "fp16": ({"dtype": "float16"}, {}),
    "fp32": ({"dtype": "float32"}, {}),
    "bf16 and fp16": ({"b_dtype": "float16"}, {}),
    "bf16 and fp32": ({"b_dtype": "float32"}, {}),
    "fp32 into bf16": ({"dtype": "float32"}, {"dtype": "bfloat16"}),
    "mixed into fp16": ({"b_dtype": "float32"}, {"dtype": "float16"}),
    "bf16 written as fp32": ({}, {"out_dtype": "float32"}),
    "fp32 written as bf16": ({"dtype": "float32"}, {"out_dtype": "bfloat16"}),
    "fp64": ({"dtype": "float64"}, {}),
}


@pytest.mark.parametrize("method", ["slerp", "linear"])
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_gives_mergekit_s_tensors(
    name: str, method: str, pairs: MakePair, tmp_path: Path
) -> None:
    options, types = DTYPES[name]
    weights = {"weights": [0.7, 0.3]} if method == "linear" else {}
    parameters = {"t": 0.3} if method == "slerp" else {}
    a, b = pairs(**options)
    compare(recipe_of(a, b, method, parameters, **weights, **types), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"tie_word_embeddings": True},
        {"shard": "60KB"},
        {"b_shard": "60KB", "tie_word_embeddings": True},
    ],
    ids=["tied", "sharded", "one sharded and tied"],
)
def test_every_layout_gives_mergekit_s_tensors(
    options: Any, pairs: MakePair, tmp_path: Path
) -> None:
    compare(recipe_of(*pairs(**options), "slerp", {"t": 0.4}), tmp_path, shard_size=50_000)


def test_slices_that_cover_the_model_give_mergekit_s_tensors(
    pairs: MakePair, tmp_path: Path
) -> None:
    a, b = pairs()
    slices = [
        {
            "sources": [{"model": str(model), "layer_range": [at, at + 1]} for model in (a, b)],
            "parameters": {"t": t},
        }
        for at, t in enumerate(([0.1, 0.2], BY_PART))
    ]
    compare({"slices": slices, "merge_method": "slerp", "base_model": str(a)}, tmp_path)


def test_a_base_that_comes_second_is_the_one_that_t_0_gives(
    pairs: MakePair, tmp_path: Path
) -> None:
    a, b = pairs()
    compare(recipe_of(a, b, "slerp", {"t": 0.2}) | {"base_model": str(b)}, tmp_path)


def test_three_models_are_averaged(pairs: MakePair, tmp_path: Path) -> None:
    a, b = pairs()
    recipe = recipe_of(a, b, "linear", {"weight": 1}, weights=[0.5, 0.3])
    recipe["base_model"] = str(pairs(dtype="float32")[1])  # no input, so it joins them
    compare(recipe, tmp_path)
    assert len(job_of(recipe).folders) == 3


@pytest.mark.parametrize("method", ["slerp", "linear"])
@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_give_the_inputs_back(
    method: str, end: int, pairs: MakePair, tmp_path: Path
) -> None:
    a, b = pairs()
    weights: Any = {"weights": [1 - end, end]} if method == "linear" else {}
    recipe = recipe_of(a, b, method, {"t": end} if method == "slerp" else {}, **weights)
    merge(job_of(recipe), tmp_path / "out")
    ours, theirs = tensors(tmp_path / "out"), tensors((a, b)[end])
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ulps(ours[name], theirs[name]) == 0


def test_the_engine_that_is_mergekit_gives_its_tensors(pairs: MakePair, tmp_path: Path) -> None:
    recipe = recipe_of(*pairs(), "slerp", {"t": BY_PART})
    done = merge(job_of(recipe, engine="mergekit"), tmp_path / "ours")
    assert done.engine.startswith("mergekit ")
    ours, theirs = tensors(tmp_path / "ours"), tensors(by_mergekit(recipe, tmp_path / "theirs"))
    assert ours.keys() == theirs.keys()
    assert all(ulps(ours[name], theirs[name]) == 0 for name in ours)
    loaded(tmp_path / "ours")


@pytest.mark.parametrize(
    "more",
    [
        {"merge_method": "ties", "parameters": {"density": 0.5, "weight": 0.5}},
        {"merge_method": "nuslerp", "base_model": None, "parameters": {"weight": 0.5}},
        {"merge_method": "passthrough", "base_model": None, "models": None, "move": True},
    ],
    ids=["ties", "nuslerp", "layers moved"],
)
def test_other_methods_pass_through(more: dict[str, Any], pairs: MakePair, tmp_path: Path) -> None:
    a, b = pairs()
    recipe = recipe_of(a, b, "slerp", {"t": 0.5}) | more
    if recipe.pop("move", False):
        ranges = [(a, [0, 2]), (b, [1, 2]), (a, [0, 1])]
        recipe["slices"] = [
            {"sources": [{"model": str(model), "layer_range": layers}]} for model, layers in ranges
        ]
        recipe["parameters"] = {}
    recipe = {key: value for key, value in recipe.items() if value is not None}
    done = merge(job_of(recipe), tmp_path / "ours")
    assert done.engine.startswith("mergekit ")
    assert done.remarks[0].startswith("MergeKit merges this: the streaming engine cannot merge ")
    ours, theirs = tensors(tmp_path / "ours"), tensors(by_mergekit(recipe, tmp_path / "theirs"))
    assert ours.keys() == theirs.keys()
    assert all(ulps(ours[name], theirs[name]) == 0 for name in ours)
    net = loaded(tmp_path / "ours")
    assert net.config.num_hidden_layers == (4 if "slices" in recipe else 2)


def test_names_with_signs_of_mergekit_s_own_are_no_trouble(tmp_path: Path) -> None:
    place = tmp_path / "x+y@z"
    place.mkdir()
    a, b = save_pair(place)
    recipe = recipe_of(a, b, "slerp", {"t": 0.5})
    for entry in recipe["models"]:
        entry["model"] = ModelRef(entry["model"]).to_yaml_value()
    recipe["base_model"] = ModelRef(str(a)).to_yaml_value()
    for engine in ("stream", "mergekit"):
        merge(job_of(recipe, engine=engine), tmp_path / engine)
    assert tensors(tmp_path / "stream").keys() == tensors(tmp_path / "mergekit").keys()


def test_a_tied_model_and_one_that_is_not_make_one_that_is_not(tmp_path: Path) -> None:
    """As MergeKit does: the output layer of a tied model is its embeddings."""
    a, b = save_pair(tmp_path, tie_word_embeddings=True, b_tie_word_embeddings=False)
    for base, other in ((a, b), (b, a)):
        recipe = recipe_of(base, other, "slerp", {"t": 0.3})
        out = tmp_path / f"out-{base.name}"
        done = merge(job_of(recipe), out)
        assert done.engine == "stream"
        assert any("the merge has one of its own" in remark for remark in done.remarks)
        net = loaded(out)
        ours, theirs = tensors(out), tensors(by_mergekit(recipe, tmp_path / f"mk-{base.name}"))
        assert ours.keys() == theirs.keys()
        assert ulps(ours["lm_head.weight"], theirs["lm_head.weight"]) <= 1
        assert not net.config.tie_word_embeddings
        assert net.lm_head.weight.equal(ours["lm_head.weight"].float())


def test_slices_that_drop_layers_are_for_mergekit(pairs: MakePair, tmp_path: Path) -> None:
    a, b = pairs()
    sources = [{"model": str(model), "layer_range": [0, 1]} for model in (a, b)]
    recipe: dict[str, Any] = {"slices": [{"sources": sources}], "merge_method": "slerp"}
    recipe["base_model"] = str(a)
    recipe["parameters"] = {"t": 0.5}
    done = merge(job_of(recipe), tmp_path / "out")
    assert "cannot merge slices that move, drop or repeat layers" in done.remarks[0]
    assert done.engine.startswith("mergekit")
    assert loaded(tmp_path / "out").config.num_hidden_layers == 1


def test_what_mergekit_refuses_is_one_line(pairs: MakePair, tmp_path: Path) -> None:
    recipe = recipe_of(*pairs(), "slerp", {}) | {"merge_method": "model_stock"}
    with pytest.raises(MergeError) as caught:
        merge(job_of(recipe), tmp_path / "out")
    assert caught.value.message.startswith("MergeKit refuses ")
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="there is no method `no_such` in MergeKit"):
        job_of(recipe | {"merge_method": "no_such"})
