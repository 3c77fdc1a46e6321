"""From predictions to the report: metrics, averages, subgroups, contrasts, tables, files."""

import json
import math
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator.cohorts import CohortMeta, FlowStep
from evaluator.mortality.answer_store import Answer
from evaluator.mortality.evaluation import ReportedModel, evaluate_predictions
from evaluator.mortality.metrics import average_over_tasks, compute_metrics
from evaluator.mortality.plots import plot_curves
from evaluator.mortality.predictions import (
    Outcomes,
    Prediction,
    prediction_from_answers,
    prediction_from_probabilities,
)
from evaluator.mortality.predictions_file import subject_numbers, write_predictions
from evaluator.mortality.published import find_published, model_group
from evaluator.mortality.question import PAPER_QUESTION
from evaluator.mortality.report import build_report
from evaluator.mortality.subgroups import age_band, evaluate_subgroups
from evaluator.reporting.rendering import render_document
from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.calibration import brier_score
from evaluator.statistics.discrimination import (
    answer_values,
    auroc,
    average_precision,
    delong_test,
    hard_auroc,
)
from evaluator.statistics.significance import holm
from patientdx.errors import EvaluationError

N = 240
FEW = Resampling(resamples=60)
META = CohortMeta("made up", {"hours": 48}, notes=("codes were assigned at discharge",))


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    chance = np.random.default_rng(0)
    return Outcomes(
        died=chance.random(N) < 0.25,
        patients=tuple(f"p{number % 170}" for number in range(N)),
        age=np.where(np.arange(N) % 40 == 0, np.nan, chance.uniform(18, 95, N)),
        sex=tuple("FM"[number % 2] for number in range(N)),
        unit=tuple(
            None if number % 3 == 2 else ("MICU", "SICU")[number % 3] for number in range(N)
        ),
    )


def make_prediction(outcomes: Outcomes, seed: int, signal: float = 1.0) -> Prediction:
    chance = np.random.default_rng(seed)
    odds = chance.normal(-1, 1, N) + signal * outcomes.died
    answers = [
        Answer(-1.0 + value, -1.5, "yes" if value > 0 else ("no" if value > -2 else "hm"),
               100 + number % 7,
               number % 50 == 0)
        for number, value in enumerate(odds)
    ]  # fmt: skip
    return prediction_from_answers(answers, PAPER_QUESTION)


@pytest.fixture(scope="module")
def tasks(outcomes: Outcomes) -> dict[str, dict[str, Prediction]]:
    base = prediction_from_probabilities(1 / (1 + np.exp(-(outcomes.died * 1.0 - 1.2))))
    return {
        "mortality": {
            "Mistral-7B-Instruct": make_prediction(outcomes, 1, 0.2),
            "PatientDx-8B": make_prediction(outcomes, 2),
            "logistic regression": base,
        },
        "mortality-hard": {
            "Mistral-7B-Instruct": make_prediction(outcomes, 3, 0.1),
            "PatientDx-8B": make_prediction(outcomes, 4, 0.8),
            "logistic regression": base,
        },
    }


def test_answers_become_a_prediction() -> None:
    answers = [
        Answer(math.log(0.3), math.log(0.1), "Yes", 10, cut=False),
        Answer(math.log(0.2), math.log(0.6), "…", 12, cut=True),
        Answer(-math.inf, -math.inf, "no", 14, cut=False),
    ]
    prediction = prediction_from_answers(answers, PAPER_QUESTION)
    assert prediction.probability == pytest.approx([0.75, 0.25, 0.5])
    assert prediction.answers == (True, None, False)
    assert (prediction.unreadable, prediction.cut) == (1, 1)
    assert prediction.answer_mass == pytest.approx([0.4, 0.8, 0.0])
    assert prediction_from_probabilities(np.array([0.5, 0.2])).answers == (True, False)


def test_metrics_are_those_of_the_functions(outcomes: Outcomes) -> None:
    prediction = make_prediction(outcomes, 1)
    metrics = compute_metrics(prediction, outcomes, FEW)
    died = outcomes.died
    expected = {
        "auroc": auroc(died, prediction.log_odds),
        "auprc": average_precision(died, prediction.log_odds),
        "auroc-hard": hard_auroc(died, answer_values(prediction.answers)),
        "brier": brier_score(died, prediction.probability),
    }
    for name, value in expected.items():
        assert metrics.values[name].value == pytest.approx(value, abs=1e-12)
        interval = metrics.values[name].interval
        assert interval is not None
        assert interval.low < value < interval.high
        assert metrics.draws[name].shape == (60,)
    assert (metrics.n, metrics.deaths, metrics.patients) == (N, int(died.sum()), 170)
    assert metrics.delong is not None


def test_an_average_is_paired(outcomes: Outcomes) -> None:
    both = [compute_metrics(make_prediction(outcomes, seed), outcomes, FEW) for seed in (1, 2)]
    average = average_over_tasks(both, "auroc", 0.95)
    assert average is not None
    assert average.value == pytest.approx(
        np.mean([metrics.values["auroc"].value for metrics in both])
    )
    draws = (both[0].draws["auroc"] + both[1].draws["auroc"]) / 2
    assert average.interval == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert average_over_tasks(both, "unknown", 0.95) is None


def test_subgroups_are_all_stays_by_each_trait(outcomes: Outcomes) -> None:
    prediction = make_prediction(outcomes, 1)
    rows = evaluate_subgroups(prediction, outcomes)
    for by in ("sex", "age", "unit"):
        some = [row for row in rows if row.by == by]
        assert sum(row.n for row in some) == N
        assert sum(row.deaths for row in some) == outcomes.deaths
    female = next(row for row in rows if row.level == "F")
    inside = np.array([sex == "F" for sex in outcomes.sex])
    assert female.auroc == pytest.approx(auroc(outcomes.died[inside], prediction.log_odds[inside]))
    assert [row.level for row in rows if row.by == "unit"] == ["MICU", "SICU", "unknown"]
    assert age_band(17.9) == "0-17"
    assert age_band(18) == "18-44"
    assert age_band(91.4) == "80+"
    assert age_band(math.nan) == "unknown"


def test_contrasts_are_delong_s_and_holm_s(outcomes: Outcomes, tasks: Any) -> None:
    results = evaluate_predictions(tasks, outcomes, resampling=FEW)
    first, *others = tasks["mortality"]
    tests = [
        delong_test(
            outcomes.died, tasks["mortality"][name].log_odds, tasks["mortality"][first].log_odds
        )
        for name in others
    ]
    contrasts = results.contrasts["mortality"]
    assert [contrast.model for contrast in contrasts] == others
    assert [contrast.delong for contrast in contrasts] == tests
    assert [contrast.holm for contrast in contrasts] == pytest.approx(
        holm([test.p for test in tests])
    )
    value, interval = contrasts[0].differences["auprc"]
    assert interval is not None
    assert interval.low <= value <= interval.high


def test_the_main_table_has_the_paper_s_shape(outcomes: Outcomes, tasks: Any) -> None:
    models = {
        "PatientDx-8B": ReportedModel("Merged", 0.4),
        "logistic regression": ReportedModel("Baseline"),
    }
    results = evaluate_predictions(tasks, outcomes, models, FEW)
    document = build_report(results, PAPER_QUESTION, META, {"cohort": "x.parquet"})
    hard = document.parts[0]
    assert "equals balanced accuracy (the paper's AUROC)" in hard.title
    header, *rows = hard.table.lines
    assert header == ("group", "model", "λ", "mortality", "mortality-hard", "average", "paper")
    assert [row[:3] for row in rows] == [
        ("Instruct", "Mistral-7B-Instruct", ""),
        ("Merged", "PatientDx-8B", "0.4"),
        ("Baseline", "logistic regression", ""),
    ]
    assert rows[1][-1] == ".6338"
    expected = results.metrics["mortality"]["PatientDx-8B"].values["auroc-hard"].value
    assert rows[1][3].startswith(f"{expected:.4f} [")
    assert "prevalence" in hard.note
    assert document.notes["cohort 1"] == "codes were assigned at discharge"
    assert "reconstructed" in document.notes["question"]
    answers = next(part for part in document.parts if part.title == "Answers")
    assert [row[0] for row in answers.table.lines[1:]].count("all") == 1  # the baseline, once


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "json"])
def test_every_format_holds_every_model(outcomes: Outcomes, tasks: Any, form: str) -> None:
    results = evaluate_predictions(tasks, outcomes, resampling=FEW)
    text = render_document(build_report(results, PAPER_QUESTION, META), form)
    assert text.count("PatientDx-8B") > 5
    assert "For research use; not a medical device." in text
    assert text.endswith("\n")
    if form == "json":
        data = json.loads(text)
        model = data["tasks"]["mortality-hard"]["models"]["PatientDx-8B"]
        assert model["figures"]["auroc"]["value"] == pytest.approx(
            results.metrics["mortality-hard"]["PatientDx-8B"].values["auroc"].value
        )
        assert len(model["figures"]["auroc"]["delong"]) == 2
        assert data["question"]["new_tokens"] == 2
        assert data["models"]["PatientDx-8B"]["paper"]["auroc-hard"] == ".6338"
        assert len(model["net-benefit"]["model"]) == 50
    if form == "latex":
        assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 5
        assert "λ" not in text


def test_one_class_is_noted_and_the_rest_is_reported(outcomes: Outcomes) -> None:
    nobody = Outcomes(np.zeros(N, bool), *(getattr(outcomes, name) for name in
                      ("patients", "age", "sex", "unit")))  # fmt: skip
    results = evaluate_predictions({"t": {"m": make_prediction(nobody, 1)}}, nobody, resampling=FEW)
    document = build_report(results, PAPER_QUESTION, META)
    assert "everybody survived" in document.notes["one class"]
    assert "auroc" not in results.metrics["t"]["m"].values
    assert results.metrics["t"]["m"].values["brier"].value > 0
    assert document.parts[2].table.lines[1][-1] == "-"
    json.loads(render_document(document, "json"))
    with pytest.raises(EvaluationError, match="curves need"):
        plot_curves(results, "t", ["x.png"])


def test_refusals(outcomes: Outcomes, tasks: Any) -> None:
    with pytest.raises(EvaluationError, match="no prediction"):
        evaluate_predictions({}, outcomes)
    short = prediction_from_probabilities(np.array([0.5]))
    with pytest.raises(EvaluationError, match="every stay"):
        evaluate_predictions({"t": {"m": short}}, outcomes)
    document = build_report(
        evaluate_predictions(tasks, outcomes, resampling=FEW), PAPER_QUESTION, META
    )
    with pytest.raises(EvaluationError, match="not a format of reports"):
        render_document(document, "docx")


def test_groups_go_by_names() -> None:
    names = ("BioMistral-7B", "Mistral-7B-Instruct-v0.3", "dart-math-mistral-7b", "PatientBioDx-8B")
    assert [model_group(name) for name in names] == ["BioMedical", "Instruct", "Math", "Merged"]
    assert model_group("smollm2") == "Other"
    known = find_published("PatientBioDx-8B")
    assert known is not None
    assert known.auroc_hard == ".6101"
    assert find_published("gpt") is None


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_curves_are_drawn_the_same_each_time(
    outcomes: Outcomes, tasks: Any, tmp_path: Path, suffix: str
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    results = evaluate_predictions(tasks, outcomes, resampling=FEW)
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        plot_curves(results, "mortality", [path])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if suffix == "svg":
        text = paths[0].read_text()
        for title in ("ROC", "Precision and recall", "Calibration", "Decision curve"):
            assert title in text
        assert "PatientDx-8B (AUROC" in text


def test_predictions_are_as_meds_evaluation_reads_them(outcomes: Outcomes, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra mortality")
    import pyarrow as pa

    path = tmp_path / "p.parquet"
    prediction = make_prediction(outcomes, 1)
    write_predictions(path, prediction, outcomes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    table = parquet.read_table(path)
    # PredictionSchema of meds-evaluation 0.0.6, to the column: it allows no other.
    assert table.schema.remove_metadata() == pa.schema(
        [
            ("subject_id", pa.int64()),
            ("prediction_time", pa.timestamp("us")),
            ("boolean_value", pa.bool_()),
            ("predicted_boolean_value", pa.bool_()),
            ("predicted_boolean_probability", pa.float32()),
        ]
    )
    assert sum(table.column(name).null_count for name in table.column_names) == 0
    assert table.column("boolean_value").to_pylist() == outcomes.died.tolist()
    probabilities = table.column("predicted_boolean_probability").to_numpy()
    np.testing.assert_allclose(probabilities, prediction.probability, atol=1e-7)


def test_patients_become_distinct_numbers() -> None:
    assert subject_numbers(["10", "7", "10"]) == [10, 7, 10]
    hashed = subject_numbers(["10", "a", "10", "b"])
    assert hashed[0] == hashed[2] != 10
    assert len(set(hashed)) == 3
    assert all(0 <= value < 2**63 for value in hashed)
    assert len(set(subject_numbers(["1", "01"]))) == 2


def test_a_baseline_never_sees_its_own_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="needs the extra mortality")
    from evaluator.mortality import baselines

    seen: list[set[int]] = []

    class Spy:
        def fit(self, matrix: Any, _died: Any) -> None:
            self.known = set(matrix[:, 0].tolist())

        def predict_proba(self, matrix: Any) -> Any:
            assert not self.known & set(matrix[:, 0].tolist())
            seen.append(set(matrix[:, 0].tolist()))
            return np.tile([0.5, 0.5], (len(matrix), 1))

    monkeypatch.setattr(baselines, "BASELINES", {"spy": lambda _seed: Spy()})
    patients = [f"p{number // 3}" for number in range(90)]
    matrix = np.array([[number // 3] for number in range(90)], dtype=np.float32)
    died = np.arange(90) % 4 == 0
    probabilities = baselines.predict_out_of_fold("spy", matrix, died, patients)
    assert probabilities.tolist() == [0.5] * 90
    assert len(seen) == 5
    assert set.union(*seen) == set(range(30))


@pytest.mark.parametrize("kind", ["logistic regression", "gradient boosting"])
def test_baselines_find_a_signal_among_gaps(kind: str) -> None:
    pytest.importorskip("sklearn", reason="needs the extra mortality")
    from evaluator.mortality.baselines import predict_out_of_fold

    chance = np.random.default_rng(0)
    matrix = chance.normal(size=(400, 6)).astype(np.float32)
    died = matrix[:, 0] + chance.normal(size=400) > 1
    matrix[chance.random(matrix.shape) < 0.2] = np.nan
    matrix[3, 1] = 1e9
    matrix[:, 5] = np.nan
    chances = predict_out_of_fold(kind, matrix, died, [str(number) for number in range(400)])
    assert np.isfinite(chances).all()
    assert auroc(died, chances) > 0.65
    again = predict_out_of_fold(kind, matrix, died, [str(number) for number in range(400)])
    np.testing.assert_array_equal(chances, again)
    with pytest.raises(EvaluationError, match="cannot learn"):
        predict_out_of_fold(
            kind, matrix, np.zeros(400, bool), [str(number) for number in range(400)]
        )


def test_the_flow_of_the_cohort_is_a_table(outcomes: Outcomes, tasks: Any) -> None:
    results = evaluate_predictions(tasks, outcomes, resampling=FEW)
    flow = (FlowStep("stays", "all", 0, 90), FlowStep("stays", "is too short", 30, 60))
    text = render_document(build_report(results, PAPER_QUESTION, replace(META, flow=flow)), "text")
    lines = [line.split() for line in text.partition("Flow of the cohort")[2].splitlines()]
    assert ["stays", "all", "90"] in lines
    assert ["is", "too", "short", "-30", "60"] in lines
    assert "Flow of the cohort" not in render_document(
        build_report(results, PAPER_QUESTION, META), "text"
    )
