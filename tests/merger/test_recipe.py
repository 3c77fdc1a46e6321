"""Recipes: MergeKit's YAML read as MergeKit reads it, and every error with its line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merger.recipes.presets import PUBLISHED, list_presets, load_preset
from merger.recipes.reader import parse_recipe, read_recipe
from merger.recipes.recipe import FilteredValue, MergeRecipe, ModelRef
from merger.recipes.writer import rename_models, set_weight, to_yaml, two_model_recipe
from patientdx.errors import InputError, PatientDxError, UsageError

pytest.importorskip("yaml", reason="needs the extra `merge`")

GRADIENTS = """\
# as mergekit's examples have it
slices:
  - sources:
      - model: A
        layer_range: [0, 2]
      - model: B+L
        layer_range: [0, 2]
merge_method: slerp
base_model: A
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 1]
    - filter: mlp
      value: [1, 5e-1, 0]
    - value: 0.4
dtype: bfloat16
"""


def test_a_recipe_is_read_as_it_is() -> None:
    recipe = parse_recipe(GRADIENTS)
    assert (recipe.method, recipe.dtype, recipe.base) == ("slerp", "bfloat16", ModelRef("A"))
    assert recipe.inputs == (ModelRef("A"), ModelRef("B", lora="L"))
    assert recipe.slices[0].sources[1].layers == (0, 2)
    assert recipe.parameters["t"] == (
        FilteredValue((0, 0.5, 1), "self_attn"),
        FilteredValue((1, "5e-1", 0), "mlp"),  # YAML 1.1 has it as a word, MergeKit as a number
        FilteredValue(0.4),
    )
    assert recipe.text == GRADIENTS
    assert recipe.mergekit_only_feature() is None


def test_mergekit_reads_what_we_write_and_the_other_way_round() -> None:
    config = pytest.importorskip("mergekit.config", reason="needs the extra `merge`")
    theirs = config.MergeConfiguration.model_validate(parse_recipe(GRADIENTS).to_dict())
    assert parse_recipe(theirs.to_yaml()) == parse_recipe(GRADIENTS)
    ours = to_yaml(parse_recipe(GRADIENTS).to_dict())
    assert parse_recipe(ours) == parse_recipe(GRADIENTS)
    assert "[0, 2]" in ours, "lists of numbers stay on one line"


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("A", ModelRef("A")),
        ("o/m@main", ModelRef("o/m", "main")),
        ("o/m@v1+l@v2", ModelRef("o/m", "v1", "l", "v2")),
        ("{model: {path: 'a+b'}}", ModelRef("a+b")),
        ("{model: A, lora: {path: L, revision: r}}", ModelRef("A", None, "L", "r")),
    ],
)
def test_models_are_named_as_mergekit_names_them(text: str, ref: ModelRef) -> None:
    common = pytest.importorskip("mergekit.common", reason="needs the extra `merge`")
    recipe = parse_recipe(f"models: [{{model: {text}}}]\nmerge_method: linear")
    assert recipe.inputs == (ref,)
    theirs = common.ModelReference.model_validate(recipe.to_dict()["models"][0]["model"])
    assert (theirs.model.path, theirs.model.revision) == (ref.path, ref.revision)
    assert (theirs.lora.path if theirs.lora else None) == ref.lora
    again = parse_recipe(
        to_yaml({"models": [{"model": ref.to_yaml_value()}], "merge_method": "linear"})
    )
    assert again.inputs == (ref,)


BAD = {
    "merge_method: slerp\nmodels: [": (2, "not valid YAML"),
    "": (1, "empty"),
    "- a": (1, "must be a mapping"),
    "merge_method: slerp\nmodels: []\nbase_model: A": (2, "no model is listed"),
    "models: [{model: A}]": (1, "`merge_method` is missing"),
    "merge_method: slerp\nmodels: [{model: A}, {model: B}]": (1, "needs a `base_model`"),
    "merge_method: slerp\nbase_model: A\nmodels: [{model: A}, {model: B}, {model: C}]": (
        *(1, "two models, not 3"),
    ),
    "merge_method: linear\nmodels:\n- model: A\n- model: A": (4, "listed twice"),
    "merge_method: linear\nmodels:\n- modle: A": (3, "no key `modle`"),
    "merge_method: linear\nmodels: [{model: A}]\nparamters: {}": (3, "no key `paramters`"),
    "merge_method: linear\nmodels: [{model: A}]\ndtype: int8": (3, "no dtype `int8`"),
    "merge_method: linear\nmodels: [{model: a+b+c}]": (2, "is not a model"),
    "merge_method: linear\nmodels: [{model: A}]\nparameters: {weight: [[1]]}": (3, "number or a"),
    "merge_method: linear\nmodels: [{model: A}]\nparameters: {weight: .nan}": (3, "finite"),
    "merge_method: slerp\nbase_model: A\nmodels: [{model: A}, {model: B}]\nparameters:\n  t: 1.5": (
        *(5, "between 0 and 1, not at 1.5"),
    ),
    "merge_method: slerp\nbase_model: A\nmodels: [{model: A}, {model: B}]\nparameters:\n"
    "  t:\n  - filter: mlp\n    value: [0, -0.1]\n  - value: 0": (7, "between 0 and 1"),
    "slices:\n- sources:\n  - model: A\n    layer_range: [2, 1]\nmerge_method: linear": (
        4,
        "layer",
    ),
    "slices:\n- sources:\n"
    "  - {model: A, layer_range: [0, 2]}\n  - {model: B, layer_range: [0, 1]}\n"
    "merge_method: linear": (2, "same number of layers"),
    "merge_method: linear\nmodels: [{model: A}]\n---\na: b": (3, "more than one recipe"),
    "merge_method: linear\nmerge_method: slerp": (2, "appears twice"),
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_used_is_reported_with_its_line(text: str, tmp_path: Path) -> None:
    line, said = BAD[text]
    path = tmp_path / "recipe.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert str(said) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "x.yml", tmp_path / "absent.yml"):
        with pytest.raises(InputError):
            read_recipe(path)


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_recipe_or_an_input_error(text: str) -> None:
    try:
        outcome: object = parse_recipe(text)
    except InputError as error:
        outcome = error.message.startswith("recipe:")
    assert outcome is True or isinstance(outcome, MergeRecipe)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("merge_method: ties\nmodels: [{model: A}]", "the method `ties`"),
        ("merge_method: linear\nmodels: [{model: A}]\ntokenizer: {source: union}", "`tokenizer`"),
        ("merge_method: linear\nmodules: {default: {models: [{model: A}]}}", "`modules`"),
        (
            "merge_method: linear\nslices:\n- sources: [{model: A, layer_range: [1, 2]}]",
            "slices that move, drop or repeat layers",
        ),
    ],
)
def test_what_only_mergekit_can_do_is_known(text: str, why: str) -> None:
    assert parse_recipe(text).mergekit_only_feature() == why


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_two_models_at_a_weight(method: str) -> None:
    recipe = parse_recipe(to_yaml(two_model_recipe(method, "A", "B", 0.4, "bfloat16")))
    assert recipe.base == ModelRef("A")
    if method == "slerp":
        assert recipe.parameters["t"] == 0.4
    else:
        assert [source.parameters["weight"] for source in recipe.models] == [0.6, 0.4]


def test_a_weight_is_that_of_the_model_that_is_not_the_base() -> None:
    data: dict[str, Any] = two_model_recipe("linear", "A", "B", 0.5) | {"base_model": "B"}
    recipe = parse_recipe(to_yaml(set_weight(data, 0.1)))
    assert [source.parameters["weight"] for source in recipe.models] == [0.1, 0.9]


@pytest.mark.parametrize("weight", [-0.1, 1.01, float("nan")])
def test_a_weight_outside_is_wrong_usage(weight: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        two_model_recipe("slerp", "A", "B", weight)


def test_models_are_renamed_wherever_they_are_named() -> None:
    data = parse_recipe(GRADIENTS).to_dict() | {"tokenizer": {"source": "A"}}
    names = {ModelRef("A"): "X", ModelRef("B", lora="L"): {"model": {"path": "y+z"}}}
    made = rename_models(data, names)
    assert made["base_model"] == made["tokenizer"]["source"] == "X"
    assert [source["model"] for source in made["slices"][0]["sources"]] == [
        "X",
        {"model": {"path": "y+z"}},
    ]


def test_the_presets_are_the_paper_s_models_and_their_ablations() -> None:
    names = {preset.name for preset in list_presets()}
    models = ("patientdx-7b", "patientdx-8b", "patientbiodx-8b")
    ablations = ("", "-without-math", "-without-slerp", "-without-both")
    assert names == {f"{model}{ablation}" for model in models for ablation in ablations}
    for preset in list_presets():
        recipe = parse_recipe(preset.text, preset.name)
        assert recipe.mergekit_only_feature() is None
        assert "*inferred*" in preset.text
        without_math, linear = "-math" in preset.name, "-slerp" in preset.name
        if preset.name.endswith("both"):
            without_math = linear = True
        assert recipe.method == ("linear" if linear else "slerp")
        # Math is the base, the first: t = 0 is the left end of the paper's figure 1.
        assert recipe.inputs[0] == recipe.base_model
        assert ("dart-math" in recipe.base.path) == (not without_math)
        assert not any("dart-math" in ref.path for ref in recipe.inputs[1:])
        assert ("*reconstructed*" in preset.text) == (without_math or linear)
    assert PUBLISHED in load_preset("patientdx-7b").text
    with pytest.raises(PatientDxError, match="no preset"):
        load_preset("patientdx-70b")
