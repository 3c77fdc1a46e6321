"""Mortality evaluation from Python: the same results as the command line, and nothing printed."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs the extra mortality")
pytest.importorskip("sklearn", reason="needs the extra mortality")

from command_line import run_successfully
from made_stays import write_stays
from recording_monitor import RecordingMonitor

from evaluator.cohorts import CohortMeta, read_cohort, read_templates, write_cohort
from patientdx.errors import EvaluationError, UsageError
from patientdx.models import ModelSettings, ScriptedModel
from patientdx.settings import Settings, default_settings
from workflows.mortality import ModelTraits, evaluate_mortality
from workflows.mortality_files import draw_curves, write_prediction_files
from workflows.stays import StayRecords, sample_notes, sample_stays

STAYS = 40


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cohort") / "cohort.parquet"
    write_stays(path, STAYS)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(default_settings(), cache=tmp_path / "cache")


def heart_rate(prompt: str) -> float:
    match = re.search(r"([0-9.]+) for HR", prompt)
    assert match is not None
    return float(match[1])


def score_by_heart_rate(prompt: str, form: str) -> Sequence[float]:
    """The log-probability of yes grows with the heart rate."""
    death = form.strip().lower() in {"yes", "dead", "1"}
    return [-5 + (heart_rate(prompt) - 90) / 20 * (1 if death else -1)]


def scripted_model(name: str = "scripted") -> ScriptedModel:
    def answer(prompt: str) -> str:
        return "yes" if heart_rate(prompt) > 90 else "no"

    return ScriptedModel(answer, score=score_by_heart_rate, name=name)


def test_an_open_model_is_evaluated_on_every_task(
    cohort: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = RecordingMonitor()
    evaluation = evaluate_mortality(
        cohort,
        {"pulse": scripted_model()},
        traits={"pulse": ModelTraits("Merged", 0.3)},
        resamples=20,
        settings=settings,
        monitor=monitor,
    )
    rates = np.array([stay.charts[0].mean for stay in read_cohort(cohort)])
    tasks = ("mortality", "mortality-hard")
    models = ["pulse", "logistic regression", "gradient boosting"]
    assert tuple(evaluation.predictions) == tuple(evaluation.metrics) == tasks
    for task in tasks:
        assert list(evaluation.predictions[task]) == models
        prediction = evaluation.predictions[task]["pulse"]
        assert prediction.answers == tuple((rates > 90).tolist())
        odds = prediction.log_odds - prediction.log_odds[0]
        np.testing.assert_allclose(odds, (rates - rates[0]) / 10, atol=1e-3)
        assert evaluation.metrics[task]["pulse"].values["auroc"].value > 0.8
        assert monitor.steps[f"pulse: {task}"] == STAYS
    assert len(evaluation.sample) == STAYS
    report = json.loads(evaluation.render("json"))
    assert report["models"]["pulse"]["group"] == "Merged"
    assert report["models"]["pulse"]["weight"] == 0.3
    assert "## auroc-hard" in evaluation.render("markdown")
    with pytest.raises(EvaluationError, match="not a format"):
        evaluation.render("docx")
    assert any(notice.startswith("pulse: mortality: 40 stays in") for notice in monitor.notices)
    assert monitor.notices[-2:] == ["fitting logistic regression", "fitting gradient boosting"]
    assert monitor.warnings == []
    assert capsys.readouterr() == ("", "")


def test_answers_are_stored_in_the_cache_folder_or_in_a_file(
    cohort: Path, settings: Settings, tmp_path: Path
) -> None:
    def run(answers: Path | None = None) -> tuple[ScriptedModel, RecordingMonitor]:
        model, monitor = scripted_model(), RecordingMonitor()
        evaluate_mortality(
            cohort, {"m": model}, sections=["charts"], resamples=5, baselines=False,
            answers=answers, settings=settings, monitor=monitor,
        )  # fmt: skip
        return model, monitor

    records = StayRecords(sample_stays(cohort), ("charts",), read_templates())
    different = len({tuple(record) for record in records})  # equal ones are asked about once
    assert len(run()[0].prompts) == different
    assert (settings.cache / "answers.sqlite3").exists()
    again, monitor = run()
    assert again.prompts == []
    assert monitor.notices[-1].endswith(f"{STAYS} answered before")
    assert monitor.steps == {"m: charts": STAYS}
    assert len(run(tmp_path / "own.sqlite3")[0].prompts) == different
    assert (tmp_path / "own.sqlite3").exists()


def test_python_and_the_command_line_report_alike(cohort: Path, settings: Settings) -> None:
    evaluation = evaluate_mortality(cohort, resamples=20, sample=30, seed=2, settings=settings)
    arguments = (cohort, "--resamples", 20, "--sample", 30, "--seed", 2)
    for name in ("json", "text", "latex"):
        printed = run_successfully("evaluate-mortality", *arguments, "--format", name).out
        assert printed == evaluation.render(name)


def test_python_and_the_command_line_run_models_alike(cohort: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra hf")
    pytest.importorskip("transformers", reason="needs the extra hf")
    import tiny_models

    model = tiny_models.save_folder(tmp_path / "tiny-math", template=False, context=512)
    evaluation = evaluate_mortality(
        cohort,
        {"tiny": model},
        traits={"tiny": ModelTraits(merge_weight=0.5)},
        sections=["mortality-hard"],
        sample=10,
        resamples=10,
        baselines=False,
        model_settings=ModelSettings(batch=4),
        answers=tmp_path / "python.sqlite3",
    )
    printed = run_successfully(
        "evaluate-mortality", cohort, "--model", f"tiny={model}", "--lambda", "tiny=0.5",
        "--sections", "mortality-hard", "--sample", 10, "--resamples", 10, "--no-baselines",
        "--batch", 4, "--json", "--answers", tmp_path / "command.sqlite3",
    ).out  # fmt: skip
    assert printed == evaluation.render("json")
    assert json.loads(printed)["notes"]["model tiny"].startswith("dtype float32")


def test_what_cannot_be_evaluated_is_an_error(cohort: Path, settings: Settings) -> None:
    model = scripted_model()
    with pytest.raises(UsageError, match="no model is named `other`"):
        evaluate_mortality(cohort, {"m": model}, traits={"other": ModelTraits()})
    with pytest.raises(UsageError, match="`Big` is no group"):
        evaluate_mortality(cohort, {"m": model}, traits={"m": ModelTraits("Big")})
    with pytest.raises(UsageError, match="no such sections"):
        evaluate_mortality(cohort, {"m": model}, sections=["weather"])
    with pytest.raises(EvaluationError, match="no prediction"):
        evaluate_mortality(cohort, baselines=False, settings=settings)
    assert model.prompts == []


def test_one_class_is_warned_about(tmp_path: Path, cohort: Path, settings: Settings) -> None:
    path = tmp_path / "survivors.parquet"
    survivors = [stay for stay in read_cohort(cohort) if not stay.died]
    write_cohort(path, survivors, CohortMeta("made up"))
    monitor = RecordingMonitor()
    evaluation = evaluate_mortality(
        read_cohort(path), {"m": scripted_model()}, resamples=5, settings=settings, monitor=monitor
    )
    assert monitor.warnings == ["no baselines: a cohort with one class only teaches nothing"]
    assert "auroc" not in evaluation.metrics["mortality"]["m"].values
    with pytest.raises(EvaluationError, match="curves need"):
        draw_curves(evaluation, [tmp_path / "c.svg"])


def test_files_of_an_evaluation(cohort: Path, settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    evaluation = evaluate_mortality(
        cohort, {"a/b": scripted_model()}, sections=["charts,medications"], resamples=5,
        baselines=False, settings=settings,
    )  # fmt: skip
    folder = tmp_path / "new" / "predictions"
    (path,) = write_prediction_files(evaluation, folder)
    assert path == folder / "charts_medications.a_b.parquet"
    assert path.exists()
    drawn = draw_curves(evaluation, [tmp_path / "c.svg"])
    assert drawn == [tmp_path / "c-charts_medications.svg"]
    assert drawn[0].exists()
    assert draw_curves(evaluation, []) == []


def test_samples(cohort: Path) -> None:
    whole = sample_stays(cohort)
    assert whole.positions == tuple(range(STAYS))
    assert whole.describe() == ""
    drawn = sample_stays(whole.cohort, 10, seed=3)
    assert len(drawn) == len(drawn.outcomes) == 10
    assert drawn.positions == sample_stays(str(cohort), 10, seed=3).positions
    assert drawn.positions != sample_stays(cohort, 10, seed=4).positions
    assert drawn.describe() == "10 of 40, seed 3"
    stratified = sample_stays(cohort, 20, seed=3, stratified=True)
    assert stratified.outcomes.deaths == math.floor(20 * whole.outcomes.deaths / STAYS)
    assert stratified.describe() == "20 of 40, stratified by outcome, seed 3"


def test_records_of_a_sample_and_their_notes(cohort: Path) -> None:
    stays = sample_stays(cohort, 5, seed=1)
    records = StayRecords(stays, ("charts",), read_templates())
    texts = list(records)
    assert len(texts) == len(records) == 5
    assert texts == list(records)
    assert all(len(record) == 1 and "for HR" in record[0] for record in texts)
    assert records.empty == 0
    nothing = StayRecords(stays, ("procedures",), read_templates())
    assert list(nothing) == [[]] * 5
    assert nothing.empty == 5
    notes = sample_notes(stays, {"procedures": ("procedures",)}, empty={"procedures": 5})
    assert notes == {
        "cohort": str(cohort),
        "sections": "procedures: procedures",
        "sample": "5 of 40, seed 1",
        "empty records": "5 (procedures): asked about all the same",
    }
