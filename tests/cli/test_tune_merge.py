"""`tune-merge` from the command line: live merges of small models, asked about made-up stays."""

import csv
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="needs the extra mortality")
pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

from live_merges import siblings
from made_stays import write_stays
from typer.testing import CliRunner

from cli import app
from merger.verification import verify_merge

SECRET = "Zaphodine"
STAYS = 40


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cohort") / "cohort.parquet"
    write_stays(path, STAYS, marker=SECRET)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return siblings(tmp_path_factory.mktemp("models"), 3, dtype="float32")


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["tune-merge", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert SECRET not in result.output
    assert "subject-" not in result.output
    return result


FAST = ("--resamples", 20, "--step", 0.5)


def by_stays(cohort: Path, folder: Path) -> tuple[object, ...]:
    return ("--cohort", cohort, "--answers", folder / "a")


def test_the_whole_way(cohort: Path, models: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    first, second, third = models
    files = ("--curve", tmp_path / "c.csv", "--plot", tmp_path / "c.svg", "--json")
    tables = [("--ablation", tmp_path / f"t.{ending}") for ending in ("json", "csv", "png")]
    table = ("--without-math", third, *chain.from_iterable(tables))
    into = ("--into", tmp_path / "best", "--out", tmp_path / "r.json")
    outcome = run(first, second, *by_stays(cohort, tmp_path), *FAST, *files, *table, *into)
    report = json.loads((tmp_path / "r.json").read_text())
    (pair,) = report["pairs"].values()
    assert report["notes"]["models"] == "dtype auto, prompt format auto"
    assert pair["n"] == pair["patients"] == STAYS
    assert {trial["candidate"]["lambda"] for trial in pair["curves"]["auprc"]} == {0, 0.5, 1}
    with (tmp_path / "c.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 3
    table_data = json.loads((tmp_path / "t.json").read_text())
    assert len(table_data["rows"]) == 4
    assert (tmp_path / "c.svg").exists()
    assert (tmp_path / "t.png").exists()
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1 + 4
    card = (tmp_path / "best" / "README.md").read_text()
    record = json.loads(card.split("record of the choice: `")[1].split("`")[0])
    assert record["chosen"] == pair["chosen"]
    assert record["held_out"] == pair["held_out"]
    assert pair["warning"] in " ".join(outcome.stderr.split())
    assert pair["warning"] in card
    assert SECRET not in card
    assert "subject-" not in card
    assert f"--weight {pair['chosen']['lambda']:g}" in card
    assert verify_merge(tmp_path / "best").different == ()


def test_the_scores_are_those_of_the_written_merge(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    """What is published is what was judged."""
    common = (*by_stays(cohort, tmp_path), *FAST)
    into = tmp_path / "best"
    run(*models[:2], *common, "--into", into, "--json", "--out", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    (pair,) = report["pairs"].values()
    again = CliRunner().invoke(
        app,
        ["evaluate-mortality", str(cohort), "--model", f"best={into}", "--no-baselines", "--json",
         "--sections", "mortality", "--answers", str(tmp_path / "b"), "--resamples", "5"],
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    metrics = json.loads(again.stdout)["tasks"]["mortality"]["models"]["best"]
    assert json.dumps(metrics).count(str(pair["apparent"]["value"])[:12]) >= 1


def test_epsilon_shows_the_choice_and_nothing_else(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    into = tmp_path / "best"
    common = (*models[:2], *by_stays(cohort, tmp_path), "--step", 0.5)
    result = run(*common, "--epsilon", "0.5", "--into", into, "-q")
    record = json.loads(result.stdout)
    assert record["epsilon"] == "1/2"
    card = (into / "README.md").read_text()
    assert "ε = 1/2" in card
    assert "held" not in card
    assert verify_merge(into).different == ()
    for more in (("--plot", "x.png"), ("--metric", "auprc"), ("--strategy", "halving")):
        run(*common, "--epsilon", "1", *more, code=2 if more[0] == "--plot" else 1)


def test_a_recipe_and_halving_and_two_pairs(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.yml"
    recipe.write_text(
        f"models:\n- model: {models[0]}\n- model: {models[1]}\nmerge_method: linear\n"
        f"base_model: {models[0]}\nparameters: {{weight: 0.5}}\n"
    )
    more = ("--pair", f"other={models[1]},{models[2]}", "--strategy", "halving")
    result = run(recipe, *by_stays(cohort, tmp_path), *FAST, *more, "--json")
    assert list(json.loads(result.stdout)["pairs"]) == ["mine", "other"]
    assert "mine (linear): λ =" in result.stderr


def test_groups_of_tensors_have_a_lambda_each(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")
    into = tmp_path / "best"
    more = ("--strategy", "optuna", "--trials", 5, "--groups", "self_attn,mlp", "--into", into)
    result = run(
        *models[:2],
        *by_stays(cohort, tmp_path),
        *more,
        "--resamples",
        20,
        "--json",
        "--metric",
        "auprc",
    )
    (pair,) = json.loads(result.stdout)["pairs"].values()
    assert pair["chosen"].keys() == {"self_attn", "mlp", "rest"}
    recipe = (into / "mergekit_config.yml").read_text()
    assert "filter: self_attn" in recipe
    assert verify_merge(into).different == ()
    run(*models[:2], *by_stays(cohort, tmp_path), "--groups", "mlp", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "no pair named"),
        (("--pair", "a=b"), 2, "NAME=FIRST,SECOND"),
        (("{0}", "{1}", "--folds", "20"), 1, "for 20 folds"),
        (("{0}", "{1}", "--sample", "1"), 1, "2 folds of 1 patients cannot be made"),
        (("{0}", "{1}", "--step", "0.3"), 1, "divides 1"),
        (("{0}", "nowhere"), 1, "nowhere"),
        (("{0}", "{1}", "--without-math", "{2}"), 2, "--ablation"),
        (("{0}", "{1}", "--epsilon", "0"), 1, "above zero"),
        (("{0}", "{1}", "--power", "p.gif"), 1, "png or svg"),
    ],
)
def test_what_cannot_be_is_reported(
    cohort: Path,
    models: list[Path],
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    filled = [argument.format(*models) for argument in arguments]
    result = run(*filled, "--cohort", cohort, "--answers", tmp_path / "a", code=code)
    assert message in result.stderr


STAYS_OPTIONS = "a b --cohort c.parquet"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("r.yml --method linear --text t", "--method has no effect here"),
        ("a b --text t --sections mortality", "--sections has no effect here"),
        ("a b --text t --sample 5", "--sample has no effect here"),
        ("a b --text t --data d --sample 5", "--sample has no effect here"),
        ("a b --queries q --qrels r --split dev", "--split has no effect here"),
        ("a b --text t --index i", "--index has no effect here"),
        ("a b --text t --system rm3", "--system has no effect here"),
        (f"{STAYS_OPTIONS} --depth 10", "--depth has no effect here"),
        (f"{STAYS_OPTIONS} --groups mlp", "--groups has no effect here"),
        (f"{STAYS_OPTIONS} --trials 9 --strategy halving", "--trials has no effect here"),
        (f"{STAYS_OPTIONS} --step 0.5 --strategy optuna", "--step has no effect here"),
        (f"{STAYS_OPTIONS} --share 0.5", "--share has no effect here"),
        (f"{STAYS_OPTIONS} --share 0.5 --strategy optuna", "--share has no effect here"),
        (f"{STAYS_OPTIONS} --without-math m", "--without-math has no effect here"),
        (f"{STAYS_OPTIONS} --ablation t.csv", "--ablation has no effect here"),
        (
            f"{STAYS_OPTIONS} --epsilon 1 --pair c=d,e",
            "--epsilon shows the choice of one pair, and nothing else",
        ),
        (f"{STAYS_OPTIONS} --epsilon 1 --curve c.csv", "--curve has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --plot c.png", "--plot has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --power c.png", "--power has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --retention-text t", "--retention-text has no effect here"),
        (f"{STAYS_OPTIONS} --pareto p.png", "--pareto has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --out o", "--out has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --format latex", "--format has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --folds 3", "--folds has no effect here"),
        (f"{STAYS_OPTIONS} --epsilon 1 --resamples 9", "--resamples has no effect here"),
        (
            f"{STAYS_OPTIONS} --epsilon 1 --ablation t.csv --without-math m",
            "--ablation has no effect here",
        ),
        (f"{STAYS_OPTIONS} --format latex --json", "--format and --json exclude each other"),
    ],
)
def test_options_without_effect_are_refused(args: str, message: str) -> None:
    error, hint = (line for line in run(*args.split(), code=2).stderr.splitlines() if line)
    assert error == f"error: {message}"
    assert hint.startswith("hint: ")
