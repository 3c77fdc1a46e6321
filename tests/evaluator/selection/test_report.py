"""Reports, figures, the ablation table and cards of selections."""

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from simulated_merges import GRID, simulated

from evaluator.reporting.rendering import render_document
from evaluator.selection import (
    ABLATION_ROWS,
    AUPRC,
    AUROC,
    Candidate,
    GridSearch,
    OptunaSearch,
    Range,
    SearchSpace,
    Selection,
    SelectionSettings,
    SuccessiveHalving,
    ablation_rows,
    build_ablation,
    build_selection_report,
    choose_privately,
    model_card_remarks,
    plot_sweeps,
    private_record,
    select_candidate,
    selection_record,
    sweep_csv,
)
from evaluator.statistics.bootstrap import Resampling
from patientdx.errors import EvaluationError

SETTINGS = SelectionSettings(resampling=Resampling(resamples=60), curves=(AUPRC,))


def selection(seed: int, *, halving: bool = False) -> Selection:
    cohort = simulated(seed, patients=300, deaths=60)
    return select_candidate(
        SuccessiveHalving() if halving else GridSearch(), cohort.evaluator(), AUROC, SETTINGS
    )


@pytest.fixture(scope="module")
def pairs() -> dict[str, Selection]:
    return {"math + medical": selection(0), "math + $instruct": selection(1, halving=True)}


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "json"])
def test_the_report_reports_everything_in_every_format(
    pairs: Mapping[str, Selection], form: str
) -> None:
    message = render_document(build_selection_report(pairs, {"cohort": "simulated"}), form)
    for pair in pairs.values():
        assert f"{pair.held_out.value:.4f}"[:5] in message
        assert f"{pair.apparent.value:.4f}"[:5] in message
    assert "research use" in message
    if form == "json":
        data = json.loads(message)["pairs"]["math + medical"]
        pair = pairs["math + medical"]
        assert data["held_out"]["value"] == pair.held_out.value
        assert data["bits_leaked"] == pytest.approx(3.459, abs=1e-3)
        assert len(data["curves"]["auprc"]) == 11
        assert sum(win["share"] for win in data["wins"]) == pytest.approx(1)
    if form == "text":
        assert "p (Holm)" in message
        assert "3.46" in message


def test_failed_candidates_are_listed() -> None:
    cohort = simulated(0, patients=300, deaths=60)
    cohort.scores[4] = float("nan")
    result = select_candidate(GridSearch(), cohort.evaluator(), AUROC, SETTINGS)
    message = render_document(build_selection_report({"pair": result}, {}), "text")
    assert "0.4       -" in message or "failed" in message
    data = json.loads(render_document(build_selection_report({"pair": result}, {}), "json"))
    assert data["pairs"]["pair"]["failed"] == [{"lambda": 0.4}]


def test_selections_by_different_metrics_make_no_report(pairs: Mapping[str, Selection]) -> None:
    with pytest.raises(EvaluationError, match="same metric"):
        build_selection_report({}, {})


def test_the_data_file_has_every_point(pairs: Mapping[str, Selection]) -> None:
    rows = list(csv.DictReader(io.StringIO(sweep_csv(pairs))))
    assert len(rows) == 2 * 2 * 11
    for row in rows:
        points = pairs[row["pair"]].curves[row["metric"]]
        (cohort,) = [p for p in points if str(p.candidate) == row["lambda"]]
        assert float(row["value"]) == cohort.estimate.value
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert (row["chosen"] == "1") == (cohort.candidate == pairs[row["pair"]].chosen)


def test_the_figure_has_a_panel_a_metric_and_pair_with_both_ends(
    pairs: Mapping[str, Selection], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    ends = {"math + medical": ("math", "medical")}
    paths = [tmp_path / "a.svg", tmp_path / "a.png", tmp_path / "b.svg"]
    plot_sweeps(pairs, paths[:2], ends)
    plot_sweeps(pairs, paths[2:], ends)
    result = ET.parse(paths[0]).iter("{http://www.w3.org/2000/svg}text")
    message = ["".join(item.itertext()) for item in result]
    for text in ("math + medical: n = 300", "math + $instruct: n = 300", "medical", "second", "λ"):
        assert text in message
    assert (message.count("auroc"), message.count("auprc")) == (2, 2)
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(EvaluationError, match="png or svg"):
        plot_sweeps(pairs, [tmp_path / "a.gif"])


@pytest.mark.parametrize(("inputs", "marked"), [((0.0, 1.0), 2), ((0.0,), 1)])
def test_ends_are_marked_as_inputs_where_they_are(
    inputs: tuple[float, ...], marked: int, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    # By task arithmetic of several models on a base, λ = 1 is a merge.
    ends = tuple(Candidate.at_lambda(weight) for weight in inputs)
    settings = replace(SETTINGS, curves=(), baselines=ends, inputs=ends)
    cohort = simulated(0, patients=300, deaths=60)
    result = select_candidate(GridSearch(), cohort.evaluator(), AUROC, settings)
    plot_sweeps({"pair": result}, [tmp_path / "a.svg"])
    content = (tmp_path / "a.svg").read_text(encoding="utf-8").lower()
    uses = re.findall(r"<use [^>]*fill: #d55e00", content)
    assert len(uses) == marked


def test_candidates_that_are_no_single_lambda_have_no_figure() -> None:
    pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")
    cohort = simulated(0, patients=300, deaths=60)
    evaluator = cohort.evaluator()
    evaluator._factory = lambda candidate: cohort.factory(
        GRID[round(10 * float(candidate.values[0][1]))]
    )
    strategy = OptunaSearch(trials=5, space=SearchSpace({"attn": Range(0, 1, 0.1)}))
    result = select_candidate(
        strategy, evaluator, AUROC, SelectionSettings(baselines=(), curves=(AUPRC,))
    )
    with pytest.raises(EvaluationError, match="one λ each"):
        plot_sweeps({"pair": result}, ["a.png"])


def test_the_ablation_table_has_changes_against_the_full_merge() -> None:
    result = {
        row: {pair: selection(10 * at + side) for side, pair in enumerate(("7B", "8B"))}
        for at, row in enumerate(ABLATION_ROWS)
    }
    document = build_ablation(result, {"cohort": "simulated"})
    data = json.loads(render_document(document, "json"))
    full, less = result["full"]["8B"], result["without SLERP"]["8B"]
    expected = less.held_out.value / full.held_out.value - 1
    assert data["changes"]["without SLERP"]["8B"] == pytest.approx(expected)
    assert data["changes"]["full"] == {"7B": 0, "8B": 0}
    message = render_document(document, "text")
    assert f"{expected:+.1%}" in message
    for mean_drop in ("-13.8%", "-14.5%", "-17.3%"):  # the paper has 13.7, 14.4 and 17.3
        assert mean_drop in message
    rows = ablation_rows(result)
    assert len(rows) == 8
    assert rows[0]["change"] == 0
    for broken in (
        {},
        {"without Math": result["full"]},
        {**result, "full": {"7B": result["full"]["7B"]}},
    ):
        with pytest.raises(EvaluationError):
            build_ablation(broken, {})


def test_a_card_holds_the_whole_record_without_any_patient(pairs: Mapping[str, Selection]) -> None:
    record = selection_record(pairs["math + medical"])
    *warnings, sentence, shown = model_card_remarks(record)
    assert warnings == [f"Warning: {record['warning']}"]
    assert json.loads(shown.split("`")[1]) == record
    assert "held out" in sentence
    assert "\n" not in sentence + shown
    assert "p17" not in shown


def test_a_private_card_holds_lambda_epsilon_and_the_mechanism_only() -> None:
    cohort = simulated(0, patients=317, deaths=61)
    choice = choose_privately(GridSearch(), cohort.evaluator(), AUROC, Fraction(1, 2))
    record = private_record(choice)
    assert set(record) == {
        *("chosen_by", "chosen", "epsilon", "metric", "sensitivity", "candidates", "neighbours")
    }
    section = " ".join(model_card_remarks(record))
    assert "ε = 1/2" in section
    assert f"λ = {choice.chosen}" in section
    for number in ("317", "61", "256"):  # patients, deaths, survivors
        assert number not in section
    areas = GridSearch().search(cohort.evaluator(), AUROC, cohort.evaluator().instances.all_indices)
    for tried in areas.trials:
        assert f"{tried.value:.4f}"[1:] not in section
