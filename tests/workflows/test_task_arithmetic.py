"""Task arithmetic by workflows and commands: merged on a base, and its λ searched."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

from command_line import patientdx
from live_merges import same_bits, siblings, state

from evaluator.selection import Candidate, delta_weights, lambda_grid
from patientdx.errors import EvaluationError, UsageError
from patientdx.settings import Settings, default_settings
from workflows.lambda_search import (
    LambdaSearch,
    MergeTuner,
    ModelSet,
    TextSource,
    tune_merge,
)
from workflows.merge_recipes import TaskArithmeticMerge, resolve_merge
from workflows.merges import merge, verify_merge

TEXTS = (
    "the patient has a fever",
    "the note of a patient, the pain",
    "pain in the chest of the patient with a fever",
    "a patient with a note",
    "chills, fever and the pain of a patient",
    "in the note the chest of a patient has pain",
)
QUICK = LambdaSearch(step=0.5, resamples=20)
METHOD = "task_arithmetic"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A base and two models."""
    folder = tmp_path_factory.mktemp("models")
    return [str(path) for path in siblings(folder, 3)]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS), encoding="utf-8")
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(default_settings(), cache=tmp_path / "cache")


def equal(first: Path, second: Path) -> bool:
    ours, theirs = state(first), state(second)
    return ours.keys() == theirs.keys() and all(same_bits(ours[k], theirs[k]) for k in ours)


def command(*args: object, cache: Path) -> Any:
    outcome = patientdx(*args, env={"PATIENTDX_CACHE": str(cache)})
    assert outcome.code == 0, outcome.err
    return outcome


def test_models_on_a_base_are_merged_by_a_command_that_repeats(
    models: list[str], settings: Settings, tmp_path: Path
) -> None:
    base, *others = models
    args = ("--method", METHOD, "--base", base, "--weight", 0.4, *others)
    command("merge", *args, "--into", tmp_path / "out", cache=settings.cache)
    merge(TaskArithmeticMerge(base, others, 0.4), tmp_path / "python", settings=settings)
    assert equal(tmp_path / "out", tmp_path / "python")
    assert verify_merge(tmp_path / "out", settings=settings).different == ()
    recipe = tmp_path / "out" / "mergekit_config.yml"
    command("merge", recipe, "--into", tmp_path / "again", cache=settings.cache)
    assert equal(tmp_path / "out", tmp_path / "again")
    command("merge", recipe, "--weight", 0.9, "--into", tmp_path / "more", cache=settings.cache)
    merge(TaskArithmeticMerge(base, others, 0.9), tmp_path / "nine", settings=settings)
    assert equal(tmp_path / "more", tmp_path / "nine")


def test_the_command_of_a_merge_on_a_base_has_all_of_it(models: list[str]) -> None:
    base, *others = models
    resolved = resolve_merge(TaskArithmeticMerge(base, others, 0.4, dtype="float32"))
    assert resolved.command == (
        f"patientdx merge --method task_arithmetic --base {base} --weight 0.4 --dtype float32 "
        f"{others[0]} {others[1]}"
    )
    assert resolved.recipe.dtype == "float32"
    assert [str(ref) for ref in resolved.recipe.inputs] == [*others, base]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--method", METHOD, "--weight", 0.4, "A", "B"), "task_arithmetic needs a --base"),
        (("--method", "slerp", "--base", "B", "--weight", 0.4, "A", "C"), "on a base by task_ar"),
        (("--method", METHOD, "--base", "B", "--weight", 0.4), "no model named but the base"),
        (("--method", METHOD, "--base", "B", "A"), "no --weight named"),
        (("--method", METHOD, "--base", "B", "--weight", "nan", "A"), "must be a finite number"),
        (("--method", METHOD, "--base", "A", "--weight", 1, "A"), "is also one of the models"),
        (("--base", "B", "recipe.yml"), "--base goes with --method task_arithmetic"),
    ],
)
def test_merges_without_a_base_or_models_are_refused(
    args: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    outcome = patientdx("merge", *args, "--into", tmp_path / "out")
    assert outcome.code != 0
    assert message in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [1, 2])
def test_one_lambda_of_all_differences_is_searched_and_published(
    number: int, models: list[str], texts: Path, settings: Settings, tmp_path: Path
) -> None:
    base, *others = models
    args = ("tune-merge", "--method", METHOD, "--base", base, *others[:number])
    search_options = ("--text", texts, "--step", 0.5, "--max-lambda", 1.5, "--resamples", 20)
    printed = command(
        *args, *search_options, "--into", tmp_path / "best", "--json", cache=settings.cache
    ).json
    on_base = ModelSet.from_models(others[:number], [METHOD], base=base)
    search = replace(QUICK, max_lambda=1.5)
    tuning = tune_merge(on_base, TextSource.read(texts), search, settings=settings)
    (selection,) = tuning.selections.values()
    tried = [point.candidate.weight for point in selection.curves["perplexity"]]
    assert [weight for weight in tried if weight is not None] == [0.0, 0.5, 1.0, 1.5]
    chosen = selection.chosen.weight
    assert chosen is not None
    assert json.loads(tuning.render("json")) == printed
    merge(TaskArithmeticMerge(base, others[:number], chosen), tmp_path / "again", settings=settings)
    assert equal(tmp_path / "best", tmp_path / "again")
    card = (tmp_path / "best" / "README.md").read_text(encoding="utf-8")
    assert f"--method task_arithmetic --base {Path(base).name} --weight {chosen:g}" in card


def test_optuna_searches_a_lambda_for_each_model(
    models: list[str], texts: Path, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="needs the extra tune")
    base, *others = models
    on_base = ModelSet.from_models(others, base=base)
    search = replace(QUICK, strategy="optuna", trials=6)
    tuner = MergeTuner(TextSource.read(texts), search, settings)
    tuning = tuner.tune([on_base])
    (selection,) = tuning.selections.values()
    inputs = [contrast.baseline for contrast in selection.contrasts if contrast.is_input]
    assert [dict(candidate.values) for candidate in inputs] == [
        {"lambda1": 0.0, "lambda2": 0.0},
        {"lambda1": 1.0, "lambda2": 0.0},
        {"lambda1": 0.0, "lambda2": 1.0},
    ]
    weights = tuning.choice.record["weights"]
    assert list(weights) == others
    tuner.publish(tuning.choice, tmp_path / "best")
    merge(tuning.choice.recipe, tmp_path / "again", settings=settings)
    assert equal(tmp_path / "best", tmp_path / "again")


def test_groups_of_tensors_have_a_lambda_each(
    models: list[str], texts: Path, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="needs the extra tune")
    base, *others = models
    on_base = ModelSet.from_models(others, base=base)
    search = replace(QUICK, strategy="optuna", trials=4, groups=("self_attn",))
    tuner = MergeTuner(TextSource.read(texts), search, settings)
    candidate = Candidate.from_values({"self_attn": 0.9, "rest": 0.25})
    merge(on_base.resolve(candidate, None), tmp_path / "groups", settings=settings)
    for weight, part in ((0.9, "self_attn"), (0.25, "mlp")):
        plain = tmp_path / part
        merge(TaskArithmeticMerge(base, others, weight), plain, settings=settings)
        written, wanted = state(tmp_path / "groups"), state(plain)
        assert all(same_bits(written[k], wanted[k]) for k in wanted if part in k)
    point = on_base.point(candidate)
    assert [point("x.self_attn.y"), point("x.mlp.y")] == [0.9, 0.25]
    assert tuner.tune([on_base]).render()


def test_a_recipe_on_a_base_is_searched_anew(
    models: list[str], texts: Path, settings: Settings, tmp_path: Path
) -> None:
    """Its weights, its lambda and normalize do not count."""
    base, *others = models
    path = tmp_path / "recipe.yml"
    recipe = resolve_merge(TaskArithmeticMerge(base, others, 0.4)).recipe
    path.write_text(recipe.text + "parameters: {lambda: 0.1, normalize: true}\n", encoding="utf-8")
    from_recipe = ModelSet.from_recipe(path)
    assert from_recipe.models == tuple(models)
    tuning = tune_merge(from_recipe, TextSource.read(texts), QUICK, settings=settings)
    named = ModelSet.from_models(others, base=base)
    other = tune_merge(named, TextSource.read(texts), QUICK, settings=settings)
    assert tuning.choice.candidate == other.choice.candidate
    candidate = Candidate.at_lambda(0.5)
    merge(from_recipe.resolve(candidate, None), tmp_path / "a", settings=settings)
    merge(named.resolve(candidate, None), tmp_path / "b", settings=settings)
    assert equal(tmp_path / "a", tmp_path / "b")


def test_grids_beyond_1() -> None:
    assert [candidate.weight for candidate in lambda_grid(0.25, 1.5)] == [
        *(0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    ]
    with pytest.raises(EvaluationError, match="divides the highest λ"):
        lambda_grid(0.25, 1.1)
    assert delta_weights(Candidate.at_lambda(0.5), 3) == (0.5, 0.5, 0.5)
    with pytest.raises(EvaluationError, match="one for each"):
        delta_weights(Candidate.from_values({"lambda1": 0.5}), 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("A", "B", "--max-lambda", 2), "--max-lambda goes with --base"),
        (("--base", "B"), "no model named but the base"),
        (("A", "--base", "B", "--method", "slerp"), "on a base by task_arithmetic"),
        (("A", "--base", "B", "--method", "task_arithmetic,linear"), "merged by one method"),
        (("A", "B", "--method", METHOD), "task_arithmetic is not searched for 2 models"),
        (("A", "--base", "B", "--pair", "x=C,D"), "--base"),
    ],
)
def test_searches_that_cannot_be_made_are_refused(
    args: tuple[object, ...], message: str, texts: Path
) -> None:
    outcome = patientdx("tune-merge", *args, "--text", texts)
    assert outcome.code != 0
    assert message in outcome.err


def test_lambda_beyond_1_needs_a_base(models: list[str], texts: Path, settings: Settings) -> None:
    search = replace(QUICK, max_lambda=2.0)
    with pytest.raises(UsageError, match="on a base only"):
        tune_merge(ModelSet.from_models(models[:2]), TextSource.read(texts), search)
