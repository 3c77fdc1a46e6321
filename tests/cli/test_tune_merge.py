"""`tune-merge` from the command line: live merges of small models, asked about made-up stays."""

import csv
import json
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


def run(*given: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["tune-merge", *map(str, given)])
    assert result.exit_code == code, result.output
    assert SECRET not in result.output
    assert "subject-" not in result.output
    return result


def asked(cohort: Path, folder: Path) -> tuple[object, ...]:
    return ("--cohort", cohort, "--answers", folder / "a", "--resamples", 20, "--step", 0.5)


def test_the_whole_way(cohort: Path, models: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    first, second, third = models
    files = ("--curve", tmp_path / "c.csv", "--plot", tmp_path / "c.svg", "--json")
    table = ("--without-math", third, "--ablation", tmp_path / "t.json")
    table += ("--ablation", tmp_path / "t.csv", "--ablation", tmp_path / "t.png")
    into = ("--into", tmp_path / "best", "--out", tmp_path / "r.json")
    run(first, second, *asked(cohort, tmp_path), *files, *table, *into)
    report = json.loads((tmp_path / "r.json").read_text())
    (pair,) = report["pairs"].values()
    assert report["notes"]["models"] == "dtype auto, prompt format auto"
    assert pair["n"] == pair["patients"] == STAYS
    assert {one["candidate"]["lambda"] for one in pair["curves"]["auprc"]} == {0, 0.5, 1}
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
    assert SECRET not in card
    assert "subject-" not in card
    assert f"--weight {pair['chosen']['lambda']:g}" in card
    assert verify_merge(tmp_path / "best").different == ()


def test_the_scores_are_those_of_the_written_merge(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    """What is published is what was judged."""
    common = asked(cohort, tmp_path)
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
    told = json.loads(again.stdout)["tasks"]["mortality"]["models"]["best"]
    assert json.dumps(told).count(str(pair["apparent"]["value"])[:12]) >= 1


def test_epsilon_shows_the_choice_and_nothing_else(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    into = tmp_path / "best"
    result = run(*models[:2], *asked(cohort, tmp_path), "--epsilon", "0.5", "--into", into, "-q")
    record = json.loads(result.stdout)
    assert record["epsilon"] == "1/2"
    card = (into / "README.md").read_text()
    assert "ε = 1/2" in card
    assert "held" not in card
    assert verify_merge(into).different == ()
    for more in (("--plot", "x.png"), ("--metric", "auprc"), ("--strategy", "halving")):
        run(
            *models[:2],
            *asked(cohort, tmp_path),
            "--epsilon",
            "1",
            *more,
            code=2 if more[0] == "--plot" else 1,
        )


def test_a_recipe_and_halving_and_two_pairs(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.yml"
    recipe.write_text(
        f"models:\n- model: {models[0]}\n- model: {models[1]}\nmerge_method: linear\n"
        f"base_model: {models[0]}\nparameters: {{weight: 0.5}}\n"
    )
    more = ("--pair", f"other={models[1]},{models[2]}", "--strategy", "halving")
    result = run(recipe, *asked(cohort, tmp_path), *more, "--json")
    assert list(json.loads(result.stdout)["pairs"]) == ["mine", "other"]
    assert "mine (linear): λ =" in result.stderr


def test_groups_of_tensors_have_a_lambda_each(
    cohort: Path, models: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")
    into = tmp_path / "best"
    more = ("--strategy", "optuna", "--trials", 5, "--groups", "self_attn,mlp", "--into", into)
    result = run(*models[:2], *asked(cohort, tmp_path), *more, "--json", "--metric", "auprc")
    (pair,) = json.loads(result.stdout)["pairs"].values()
    assert pair["chosen"].keys() == {"self_attn", "mlp", "rest"}
    recipe = (into / "mergekit_config.yml").read_text()
    assert "filter: self_attn" in recipe
    assert verify_merge(into).different == ()
    run(*models[:2], *asked(cohort, tmp_path), "--groups", "mlp", code=2)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ((), 2, "no pair named"),
        (("--pair", "a=b"), 2, "NAME=FIRST,SECOND"),
        (("{0}", "{1}", "--folds", "20"), 1, "make no 20 folds"),
        (("{0}", "{1}", "--sample", "1"), 1, "make no 2 folds"),
        (("{0}", "{1}", "--step", "0.3"), 1, "divides 1"),
        (("{0}", "nowhere"), 1, "nowhere"),
        (("{0}", "{1}", "--without-math", "{2}"), 2, "--ablation"),
        (("{0}", "{1}", "--epsilon", "0"), 1, "above zero"),
    ],
)
def test_what_cannot_be_is_said(
    cohort: Path, models: list[Path], tmp_path: Path, given: tuple[str, ...], code: int, said: str
) -> None:
    filled = [one.format(*models) for one in given]
    result = run(*filled, "--cohort", cohort, "--answers", tmp_path / "a", code=code)
    assert said in result.stderr
