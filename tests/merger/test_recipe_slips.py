"""Slips in recipes: what MergeKit would pass over is refused with its line, and a way out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml", reason="needs the extra merge")

from command_line import patientdx
from merge_inputs import make_pair

from merger.recipes.mergekit_methods import MERGEKIT_METHODS, Parameter
from merger.recipes.parameter_checks import check_filters
from merger.recipes.presets import list_presets
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml
from patientdx.errors import InputError

HEAD = "models:\n- model: A\n- model: B\n"
TIES = HEAD + "  parameters: {weight: 0.5, density: 0.5}\nmerge_method: ties\nbase_model: A\n"
DELLA = TIES.replace("ties", "della")

REFUSED: dict[str, tuple[int, str, str]] = {
    HEAD + "merge_method: linear\nparameters:\n  normalise: false\n  weight: 1\n": (
        *(6, "linear has no parameter `normalise`", "did you mean `normalize`?"),
    ),
    HEAD + "merge_method: linear\nparameters: {wieght: 1}\n": (
        *(5, "linear has no parameter `wieght`", "did you mean `weight`?"),
    ),
    HEAD + "merge_method: linear\nparameters: {t: 0.5, weight: 1}\n": (
        *(5, "linear has no parameter `t`", "known: weight, normalize (`t` is one of slerp"),
    ),
    HEAD + "merge_method: slerp\nbase_model: A\nparameters: {weight: 0.5}\n": (
        *(6, "slerp has no parameter `weight`", "known: t"),
    ),
    TIES + "parameters:\n  densty:\n  - 1\n": (
        *(8, "ties has no parameter `densty`", "did you mean `density`?"),
    ),
    TIES + "parameters: {epsilon: 0.1}\n": (7, "ties has no parameter `epsilon`", "della"),
    TIES.replace("density: 0.5", "normalize: true"): (
        *(4, "`normalize` has no effect on a single model", "`parameters` at the top"),
    ),
    TIES.replace("- model: A\n", "- model: A\n  parameters: {weight: 1}\n"): (
        *(3, "`weight` has no effect on the base model of ties", "remove it"),
    ),
    TIES.replace("- model: A\n", "- model: {model: {path: A}}\n  parameters: {weight: 1}\n"): (
        *(3, "`weight` has no effect on the base model of ties", "remove it"),
    ),
    TIES.replace("merge_method: ties", "merge_method: tise"): (
        *(5, "there is no method `tise`", "did you mean `ties`?"),
    ),
    TIES.replace("density: 0.5", "density: 53"): (
        *(4, "density must lie between 0 and 1, not at 53", "0.5 is half"),
    ),
    TIES.replace("density: 0.5", "density: [1, -0.1]"): (4, "between 0 and 1, not at -0.1", ""),
    TIES.replace("weight: 0.5", "weight: true"): (4, "weight must be a number, not `true`", ""),
    TIES.replace("weight: 0.5", "weight: heavy"): (4, "weight must be a number, not `heavy`", ""),
    TIES.replace("weight: 0.5", "weight: 'nan'"): (4, "weight must be finite", ""),
    TIES.replace("weight: 0.5", "weight: []"): (4, "`weight` has no value", "remove it"),
    TIES + "parameters: {int8_mask: 0.5}\n": (7, "int8_mask must be true or false, not `0.5`", ""),
    TIES + "parameters:\n  lambda:\n  - value: 1\n  - {filter: mlp, value: 0.5}\n": (
        *(10, "this `lambda` has no effect", "put the value without a filter last"),
    ),
    DELLA.replace("density: 0.5", "density: 0.5, epsilon: 0.6"): (
        *(4, "epsilon must lie between 0 and 0.5, not at 0.6", ""),
    ),
    DELLA.replace("density: 0.5", "density: 0.1, epsilon: 0.2"): (
        *(4, "density 0.1 with epsilon 0.2", "between 0.2 and 0.8"),
    ),
    DELLA.replace("density: 0.5", "density: 0.9"): (4, "density 0.9 with epsilon 0.15", "0.85"),
    HEAD + "merge_method: karcher\nparameters: {max_iter: 2.5}\n": (
        *(5, "max_iter must be a whole number, not 2.5", ""),
    ),
    HEAD + "merge_method: arcee_fusion\nbase_model: A\nparameters: {t: 1}\n": (
        *(6, "arcee_fusion has no parameter `t`", "arcee_fusion has no parameters"),
    ),
    "merge_method: passthrough\nslices:\n- residual_weight: 1\n  sources:\n"
    "  - {model: A, layer_range: [0, 2]}\n": (3, "a slice has no key `residual_weight`", ""),
    "merge_method: passthrough\nslices:\n- sources:\n  - model: A\n    layer_range: [0, 2]\n"
    "    parameters: {scal: 1}\n": (6, "passthrough has no parameter `scal`", "`scale`"),
    "merge_method: linear\nmodules:\n  text_decoder:\n    models:\n    - model: A\n"
    "      parameters: {wieght: 1}\n": (6, "linear has no parameter `wieght`", "`weight`"),
    "merge_method: linear\nmodules:\n  default:\n    base_model: A\n    models: [{model: A}]\n": (
        *(4, "the module `default` has no key `base_model`", "did you mean `models`?"),
    ),
    HEAD + "merge_method: linear\ntokenizer: {sorce: base}\n": (
        *(5, "`tokenizer` has no key `sorce`", "did you mean `source`?"),
    ),
    HEAD + "merge_method: linear\ntokenizer:\n  tokens:\n    x: {forse: true}\n": (
        *(7, "the token `x` has no key `forse`", "did you mean `force`?"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_a_slip_is_refused_with_its_line(text: str) -> None:
    line, message, hint = REFUSED[text]
    with pytest.raises(InputError) as caught:
        parse_recipe(text)
    assert caught.value.message.startswith(f"recipe:{line}: ")
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.hint


def test_every_parameter_is_read_at_the_levels_where_mergekit_looks_for_it() -> None:
    for method, parameter in all_parameters():
        value = {"switch": True, "whole number": 3, "number": 0.25}[parameter.kind]
        graded = {parameter.name: [value, value]}
        filtered = {parameter.name: [{"filter": "mlp", "value": value}, {"value": [value]}]}
        for parameters in ({parameter.name: value}, graded, filtered):
            recipe: dict[str, Any] = recipe_of(method)
            parse_recipe(to_yaml(recipe | {"parameters": parameters}))
            recipe["models"][1]["parameters"] = parameters
            if parameter.scope == "recipe":
                with pytest.raises(InputError, match="no effect on a single model"):
                    parse_recipe(to_yaml(recipe))
            else:
                parse_recipe(to_yaml(recipe))


def all_parameters() -> Iterator[tuple[str, Parameter]]:
    for method in MERGEKIT_METHODS.values():
        for parameter in method.parameters.values():
            yield method.name, parameter


def recipe_of(method: str) -> dict[str, Any]:
    models = [{"model": "A"}, {"model": "B"}]
    return {"models": models, "merge_method": method, "base_model": "A"}


def test_the_table_is_mergekit_s() -> None:
    registry = pytest.importorskip("mergekit.merge_methods.registry", reason="needs mergekit")
    methods = {method.spec.name: method.spec for method in registry.registered_methods()}
    # Seeded forms of random methods are registered by merges in this process.
    methods = {name: spec for name, spec in methods.items() if not name.startswith("seeded_")}
    assert methods.keys() == MERGEKIT_METHODS.keys()
    scopes = {"shared": "recipe", "input": "model", "non_base": "model but the base"}
    kinds = {bool: "switch", int: "whole number"}
    for name, spec in methods.items():
        theirs = {
            parameter.name: (
                scopes[parameter.scope.value],
                kinds.get(parameter.value_type, "number"),
            )
            for parameter in spec.parameters
        }
        ours = MERGEKIT_METHODS[name].parameters
        assert {key: (each.scope, each.kind) for key, each in ours.items()} == theirs
        for parameter in spec.parameters:
            if not parameter.required and parameter.default is not None:
                recipe = recipe_of(name) | {"parameters": {parameter.name: parameter.default}}
                parse_recipe(to_yaml(recipe))


def test_the_presets_have_no_slips() -> None:
    for preset in list_presets():
        parse_recipe(preset.text, preset.name)


@pytest.mark.parametrize("engine", ["stream", "mergekit"])
def test_a_filter_that_is_in_no_tensor_s_name_is_refused(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = (
        "models:\n- model: math-model\n- model: medical-model\nmerge_method: slerp\n"
        "base_model: math-model\nparameters:\n  t:\n  - filter: slef_attn\n    value: 0.2\n"
        "  - value: 0.4\n"
    )
    Path("r.yml").write_text(text, encoding="utf-8")
    outcome = patientdx("merge", "r.yml", "--into", "out", "--engine", engine)
    assert outcome.code == 1
    assert "r.yml:8: no tensor has `slef_attn` in its name" in outcome.err
    assert not Path("out").exists()
    check_filters(text.replace("slef_attn", "self_attn"), "r.yml", ["x.self_attn.y"])
    check_filters(text.replace("slef_attn", "'*'"), "r.yml", ["x"])


def test_a_slip_is_reported_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("slip.yml").write_text(
        HEAD + "merge_method: linear\nparameters: {normalise: false}\n", encoding="utf-8"
    )
    outcome = patientdx("merge", "slip.yml", "--into", "out")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "error: slip.yml:5: linear has no parameter `normalise`\n\n"
        "hint: did you mean `normalize`?\n"
    )
    assert not Path("out").exists()
