"""`evaluate-mortality` from the command line, with a model of random weights."""

import json
import math
import stat
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="needs the extra mortality")
pytest.importorskip("sklearn", reason="needs the extra mortality")
pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

import tiny_models
from made_stays import write_stays
from typer.testing import CliRunner

from cli import app
from evaluator.cohorts import read_cohort

SECRET = "Zaphodine"
STAYS = 60


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cohort") / "cohort.parquet"
    write_stays(path, STAYS, marker=SECRET, stays_per_subject=2, without_events={5})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-instruct"
    return tiny_models.save_folder(folder, template=False, context=512)


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["evaluate-mortality", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert SECRET not in result.output
    return result


def test_report_predictions_and_curves(cohort: Path, model: Path, tmp_path: Path) -> None:
    common = (cohort, "--model", model, "--answers", tmp_path / "a.sqlite3", "--resamples", 50)
    files = ("--predictions", tmp_path / "p", "--plot", tmp_path / "c.svg")
    first = run(*common, *files, "--json", "--out", tmp_path / "r.json")
    assert f"{STAYS} stays in" in first.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert list(report["tasks"]) == ["mortality", "mortality-hard"]
    for task in report["tasks"].values():
        assert list(task["models"]) == ["tiny-instruct", "logistic regression", "gradient boosting"]
    assert report["cohort"]["n"] == STAYS
    assert report["models"]["tiny-instruct"]["group"] == "Instruct"
    assert report["notes"]["empty records"].startswith("1 (mortality-hard)")
    again = run(*common, "--format", "markdown")
    assert f"0 stays in 0 s" in again.stderr  # noqa: F541
    assert f"{STAYS} answered before" in again.stderr
    assert "## auroc-hard: equals balanced accuracy (the paper's AUROC)" in again.stdout
    written = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert len(written) == 6
    assert written[0] == "mortality-hard.gradient_boosting.parquet"
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "p").iterdir())
    assert "ROC" in (tmp_path / "c-mortality-hard.svg").read_text()


def test_a_sample_and_own_sections(cohort: Path, model: Path, tmp_path: Path) -> None:
    choices = ("--sample", 20, "--sections", "charts,demographics", "--no-baselines")
    named = ("--group", "own=Merged", "--lambda", "own=0.3", "--seed", 3)
    result = run(cohort, "--model", f"own={model}", *choices, *named, "--json", "--resamples", 20,
                 "--answers", tmp_path / "a.sqlite3", "--quiet")  # fmt: skip
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert report["cohort"]["n"] == 20
    assert report["notes"]["sample"] == "20 of 60, seed 3"
    (how,) = [how for name, how in report["notes"].items() if name.startswith("model ")]
    assert how.startswith("dtype float32, prompt format ")
    assert how.split()[-1] in {"raw", "chat"}
    assert report["models"]["own"]["group"] == "Merged"
    assert report["models"]["own"]["weight"] == 0.3
    assert list(report["tasks"]) == ["charts,demographics"]


def test_baselines_alone_need_no_model(cohort: Path) -> None:
    report = json.loads(run(cohort, "--json", "--resamples", 20).stdout)
    figures = report["tasks"]["mortality"]["models"]["logistic regression"]["figures"]
    assert figures["auroc"]["value"] > 0.6
    assert not math.isnan(figures["auprc"]["value"])


def test_wrong_values_are_refused(cohort: Path, tmp_path: Path) -> None:
    assert "nothing to evaluate" in run(cohort, "--no-baselines", code=2).stderr
    assert "no such sections" in run(cohort, "--sections", "weather", code=2).stderr
    assert "format of reports" in run(cohort, "--format", "docx", code=2).stderr
    assert "no such file" in run(tmp_path / "none.parquet", code=1).stderr
    assert "names are different" in run(cohort, "--model", "a=x", "--model", "a=y", code=2).stderr
    assert "--group and --lambda" in run(cohort, "--group", "a=Math", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "flag", "hint"),
    [
        (("--group", "a=Math"), "--group", "--model"),
        (("--lambda", "a=0.5"), "--lambda", "--model"),
        (("--backend", "hf"), "--backend", "--model MODEL"),
        (("--quantize", "nf4"), "--quantize", "--model MODEL"),
        (("--dtype", "float32"), "--dtype", "--model MODEL"),
        (("--prompt-format", "raw"), "--prompt-format", "--model MODEL"),
        (("--device", "cpu"), "--device", "--model MODEL"),
        (("--devices", "2"), "--devices", "--model MODEL"),
        (("--batch", "2"), "--batch", "--model MODEL"),
        (("--context", "512"), "--context", "--model MODEL"),
        (("--answers", "a.sqlite3"), "--answers", "--model MODEL"),
        (("--templates", "t.toml"), "--templates", "--model MODEL"),
        (("--format", "latex", "--json"), "--format and --json", "one of them"),
        (("--model", "a=x", "--group", "b=Math"), "no model is named `b`", "models are a"),
        (("--model", "a=x", "--group", "a=Big"), "`Big` is no group", "groups are BioMedical"),
        (("--model", "a=x", "--lambda", "a=much"), "--lambda is NAME=NUMBER", ""),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    cohort: Path, arguments: tuple[str, ...], flag: str, hint: str
) -> None:
    result = run(cohort, *arguments, code=2)
    assert result.stdout == ""
    assert flag in result.stderr.splitlines()[0]
    assert hint in result.stderr


def test_one_class_has_no_auroc(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "c.parquet"
    write_stays(path, 8, marker=SECRET, died=False)
    assert read_cohort(path).one_class
    result = run(path, "--model", model, "--answers", tmp_path / "a.sqlite3", "--resamples", 10)
    assert "everybody survived: AUROC, AUPRC and what needs both are undefined" in result.stdout
    assert "no baselines" in result.stderr
