"""Schedules against MergeKit's own resolution of settings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merger.methods.method import TensorWeights
from merger.recipes.reader import parse_recipe
from merger.recipes.weight_schedule import WeightSchedule
from merger.recipes.writer import to_yaml
from patientdx.errors import InputError, MergeError

theirs = pytest.importorskip("mergekit.config", reason="needs the extra `merge`")

NAMES = [
    "model.embed_tokens.weight",
    *(
        f"model.layers.{layer}.{part}.weight"
        for layer in range(4)
        for part in ("self_attn.q_proj", "mlp.up_proj", "input_layernorm")
    ),
    "model.norm.weight",
    "lm_head.weight",
]

VALUES = st.floats(0, 1).map(lambda value: round(value, 4)) | st.sampled_from([0, 1, "5e-1"])
PLAIN = VALUES | st.lists(VALUES, min_size=1, max_size=6)
CONDITION = st.fixed_dictionaries(
    {"value": PLAIN},
    optional={"filter": st.sampled_from(["self_attn", "mlp", "*", "layers.1", "norm", "q_proj"])},
)


def reachable(conditions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conditions up to the first that holds for all tensors; recipes may have no more."""
    ends = [at for at, each in enumerate(conditions, 1) if each.get("filter", "*") == "*"]
    return conditions[: min(ends, default=len(conditions))]


SETTINGS = PLAIN | CONDITION | st.lists(CONDITION, min_size=1, max_size=4).map(reachable)


def resolved(name: str, place: float, *settings: Any) -> float | None:
    """MergeKit's value of a number from settings in falling precedence."""
    for setting in settings:
        if setting is None:
            continue
        parsed = theirs.InputModelDefinition.model_validate(
            {"model": "A", "parameters": {"x": setting}}
        ).parameters["x"]
        value = theirs.evaluate_setting(name, parsed, place, validate=float)
        if value is not None:
            return float(value)
    return None


def place_of(name: str, layers: int) -> float:
    if ".layers." not in name:
        return 0.0
    return int(name.split(".")[2]) / (layers - 1) if layers > 1 else 1.0


@given(SETTINGS, st.integers(1, 4))
def test_slerp_takes_the_t_that_mergekit_takes(setting: Any, layers: int) -> None:
    text = to_yaml(
        {
            "models": [{"model": "B"}, {"model": "A"}],
            "merge_method": "slerp",
            "base_model": "A",
            "parameters": {"t": setting},
        }
    )
    schedule = WeightSchedule(parse_recipe(text), layers)
    for name in NAMES:
        if ".layers." in name and int(name.split(".")[2]) >= layers:
            continue
        t = resolved(name, place_of(name, layers), setting)
        if t is None:
            with pytest.raises(MergeError, match="gives no `t`"):
                schedule.weights_of(name)
        else:
            method = "copy" if t in {0, 1} else "slerp"
            assert schedule.weights_of(name) == TensorWeights(method, (t, 1 - t))


@given(SETTINGS, st.none() | SETTINGS, SETTINGS, st.booleans())
def test_linear_takes_the_weights_that_mergekit_takes(
    first: Any, second: Any, shared: Any, normalize: bool
) -> None:
    models: list[dict[str, Any]] = [
        {"model": "A", "parameters": {"weight": first}},
        {"model": "B"} | ({"parameters": {"weight": second}} if second is not None else {}),
    ]
    parameters = {"weight": shared, "normalize": normalize}
    recipe = {"models": models, "merge_method": "linear", "parameters": parameters}
    schedule = WeightSchedule(parse_recipe(to_yaml(recipe)), 4)
    for name in NAMES:
        place = place_of(name, 4)
        weights = [resolved(name, place, own, shared) for own in (first, second)]
        total = sum(weight or 0 for weight in weights)
        if None in weights or (normalize and total == 0):
            with pytest.raises(MergeError):
                schedule.weights_of(name)
            continue
        expected = [float(weight or 0) for weight in weights]
        shares = [weight / (total if normalize else 1) for weight in expected]
        resolved_weights = schedule.weights_of(name)
        if sorted(shares) == [0.0, 1.0]:
            assert resolved_weights == TensorWeights("copy", tuple(shares))
            continue
        assert resolved_weights.weights == pytest.approx(expected, rel=1e-12, abs=0)
        assert (resolved_weights.method, resolved_weights.divided) == ("linear", bool(normalize))


@pytest.mark.parametrize("said", [False, 0, "no", "off"])
def test_normalize_is_read_as_mergekit_reads_truth(said: Any) -> None:
    recipe = {
        "models": [{"model": "A"}, {"model": "B"}],
        "merge_method": "linear",
        "parameters": {"weight": 1, "normalize": said},
    }
    assert WeightSchedule(parse_recipe(to_yaml(recipe)), 1).weights_of("x") == TensorWeights(
        "linear", (1, 1), False
    )
    recipe["parameters"] = {"weight": 1}
    assert WeightSchedule(parse_recipe(to_yaml(recipe)), 1).weights_of("x") == TensorWeights(
        "linear", (1, 1), True
    )
    recipe["parameters"] = {"weight": "much"}
    with pytest.raises(InputError, match="weight must be a number, not `much`"):
        parse_recipe(to_yaml(recipe))


def test_slices_have_gradients_of_their_own_and_outer_tensors_those_of_their_end() -> None:
    source = [{"model": model, "layer_range": [0, 2]} for model in "AB"]
    later = [{"model": model, "layer_range": [2, 4]} for model in "AB"]
    recipe = {
        "slices": [
            {"sources": source, "parameters": {"t": [0.1, 0.2]}},
            {"sources": later, "parameters": {"t": [0.5, 0.7]}},
        ],
        "merge_method": "slerp",
        "base_model": "A",
    }
    schedule = WeightSchedule(parse_recipe(to_yaml(recipe)), 4)
    ts = [schedule.weights_of(name).weights[1] for name in NAMES if "input" in name]
    assert ts == pytest.approx([0.1, 0.2, 0.5, 0.7])
    assert schedule.weights_of("model.embed_tokens.weight").weights[1] == 0.1
    assert schedule.weights_of("model.norm.weight").weights[1] == 0.5
    with pytest.raises(MergeError, match="4 layers, the models 6"):
        WeightSchedule(parse_recipe(to_yaml(recipe)), 6)
    with pytest.raises(MergeError, match="beyond the 4 layers"):
        schedule.weights_of("model.layers.4.mlp.up_proj.weight")


def test_a_base_that_is_no_input_takes_part() -> None:
    recipe = {
        "models": [{"model": "A", "parameters": {"weight": 3}}],
        "merge_method": "linear",
        "base_model": "B",
        "parameters": {"weight": 1},
    }
    assert WeightSchedule(parse_recipe(to_yaml(recipe)), 1).weights_of("x").weights == (3.0, 1.0)
    slerp = {"models": [{"model": "A"}], "merge_method": "slerp", "base_model": "B"}
    schedule = WeightSchedule(parse_recipe(to_yaml(slerp | {"parameters": {"t": 0.25}})), 1)
    assert schedule.weights_of("x") == TensorWeights("slerp", (0.25, 0.75))


def test_a_gradient_runs_over_each_stack() -> None:
    recipe = {
        "models": [{"model": "A"}, {"model": "B"}],
        "merge_method": "slerp",
        "base_model": "A",
        "parameters": {"t": [0, 1]},
    }
    stacks = {"encoder.block": 3, "decoder.block": 5}
    extra = "decoder.block.5.wo.weight"
    schedule = WeightSchedule(parse_recipe(to_yaml(recipe)), 3, stacks, beyond={extra})

    def t(name: str) -> float:
        return schedule.weights_of(name).weights[1]

    assert [t(f"encoder.block.{n}.wo.weight") for n in range(3)] == [0, 0.5, 1]
    assert [t(f"decoder.block.{n}.wo.weight") for n in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert t("projector.steps.7.weight") == t(extra) == t("shared.weight") == 0
    with pytest.raises(MergeError, match="beyond the 3 layers"):
        t("encoder.block.3.wo.weight")


def test_slices_of_several_stacks_are_refused() -> None:
    source = [{"model": model, "layer_range": [0, 2]} for model in "AB"]
    recipe = {"slices": [{"sources": source}], "merge_method": "linear"}
    with pytest.raises(MergeError, match="2 stacks of layers"):
        WeightSchedule(parse_recipe(to_yaml(recipe)), 2, {"encoder.block": 2, "decoder.block": 2})
