"""Recipes of multislerp in a live model: what MergeKit's gives in float32, to its rounding."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("transformers", reason="needs the extras hf and merge")
pytest.importorskip("yaml", reason="needs the extra merge")

from live_merges import same_bits, siblings, state

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.live.merged_model import MergedModel
from merger.planning.merge_plan import MergePlan
from merger.planning.recipe_resolver import plan_merge
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml
from patientdx.errors import MergeError
from patientdx.models.settings import ModelSettings


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def three(tmp_path_factory: pytest.TempPathFactory, request: Any) -> list[Path]:
    return siblings(tmp_path_factory.mktemp("three"), 3, dtype=request.param)


EPSILON = 2.0**-23  # of float32
WEIGHTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "plain": ([0.2, 0.3, 0.5], {}),
    "divided": ([1, 2, 3], {}),
    "not divided": ([0.5, 0.2, 0.1], {"normalize_weights": False}),
    "one left out": ([0.0, 0.6, 0.4], {}),
    "one subtracted": ([0.8, -0.3, 0.7], {}),
    "gradients": ([[0.1, 0.9], [0.5, 0.2], 0.3], {}),
    "filters": (
        [[{"filter": "self_attn", "value": 0.9}, {"value": 0.2}], 0.3, 0.5],
        {"normalize_weights": "true"},
    ),
}


def recipe_of(folders: list[Path], weights: list[Any], **more: Any) -> dict[str, Any]:
    models = [
        {"model": str(folder), "parameters": {"weight": weight}}
        for folder, weight in zip(folders, weights, strict=True)
    ]
    return {"models": models, "merge_method": "multislerp", "dtype": "float32"} | more


def planned(data: dict[str, Any], *, live: bool = True) -> MergePlan:
    recipe = parse_recipe(to_yaml(data))
    return plan_merge(recipe, [Checkpoint.open(ref.path) for ref in recipe.inputs], live=live)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_recipe_of_multislerp_is_mergekit_s(kind: str, three: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("mergekit")
    from small_merges import by_mergekit, tensors

    weights, parameters = WEIGHTS[kind]
    data = recipe_of(three, weights, parameters=parameters)
    rounded = tensors(by_mergekit(data, tmp_path / "float32"))
    exact = tensors(by_mergekit(data | {"dtype": "float64"}, tmp_path / "float64"))
    merged = MergedModel.load(planned(data), settings=ModelSettings(dtype="float32"))
    assert {mix.method for mix in merged.tensor_weights.values()} == {"multislerp"}
    hand = [state(folder) for folder in three]
    assert merged.tensor_weights.keys() == rounded.keys()
    for name, tensor in merged.module.state_dict().items():
        terms = sum(source[name].double().abs() for source in hand)
        assert apart(tensor, exact[name], terms) < 2 * EPSILON
        # MergeKit's float32 rounds norms, means and projections on the way.
        assert apart(rounded[name], exact[name], terms) < 20 * EPSILON
    merged.close()


def apart(left: Any, right: Any, terms: Any) -> float:
    """The greatest distance of two tensors, in shares of the sizes of the inputs."""
    return float(((left.double() - right.double()).abs() / terms).nan_to_num(0.0).max())


def test_a_recipe_is_opened_from_its_folders(three: list[Path]) -> None:
    data = recipe_of(three, [0.2, 0.3, 0.5])
    settings = ModelSettings(dtype="float32")
    opened = MergedModel.from_recipe(parse_recipe(to_yaml(data)), settings)
    planned_model = MergedModel.load(planned(data), settings=settings)
    assert opened.digest == planned_model.digest
    for model in (opened, planned_model):
        model.close()
    data["models"][0]["model"] += "+lora"
    with pytest.raises(MergeError, match="lora: adapters are not added in memory"):
        MergedModel.from_recipe(parse_recipe(to_yaml(data)), settings)


def test_weights_beside_zeros_are_an_input(three: list[Path]) -> None:
    data = recipe_of(three, [0, 3, 0])
    merged = MergedModel.load(planned(data), settings=ModelSettings(dtype="float32"))
    expected = state(three[1])
    for name, tensor in merged.module.state_dict().items():
        assert same_bits(tensor, expected[name].float())
    merged.close()


def test_multislerp_is_of_memory_only(three: list[Path], tmp_path: Path) -> None:
    data = recipe_of(three, [0.2, 0.3, 0.5])
    with pytest.raises(MergeError, match="cannot merge the method `multislerp`"):
        planned(data, live=False)
    with pytest.raises(MergeError, match="cannot merge the method `multislerp`"):
        write_merge(planned(data), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"base_model": ""}, "multislerp around a `base_model`"),
        ({"parameters": {"eps": 0.1}}, "multislerp with an `eps`"),
        ({"merge_method": "ties"}, "the method `ties`"),
    ],
)
def test_what_only_mergekit_s_multislerp_can_is_refused(
    more: dict[str, Any], said: str, three: list[Path]
) -> None:
    if "base_model" in more:
        more = {"base_model": str(three[0])}
    recipe = recipe_of(three, [0.2, 0.3, 0.5], **more)
    if "base_model" in more:
        del recipe["models"][0]["parameters"]
    with pytest.raises(MergeError) as caught:
        planned(recipe)
    assert said in caught.value.message


def test_weights_that_add_up_to_nothing_are_refused(three: list[Path]) -> None:
    with pytest.raises(MergeError, match="add up to 0") as caught:
        planned(recipe_of(three, [1, -1, 0]))
    assert "normalize_weights" in str(caught.value.hint)
