"""Retention beside the metric: measured, compared with the inputs, and its Pareto front drawn."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from simulated_merges import GRID, simulated

from evaluator.reporting.rendering import render_document
from evaluator.selection import (
    AUROC,
    Candidate,
    CandidateEvaluator,
    GridSearch,
    Instances,
    MeanMetric,
    Metric,
    Perplexity,
    RetentionCurve,
    Selection,
    SelectionSettings,
    best_retaining_input,
    build_selection_report,
    measure_retention,
    pareto_points,
    plot_pareto,
    retention_candidates,
    select_candidate,
)
from evaluator.statistics.bootstrap import Resampling
from patientdx.errors import EvaluationError

RESAMPLING = Resampling(resamples=50)


def selection(seed: int = 0, step: int = 1) -> Selection:
    cohort = simulated(seed, patients=300, deaths=60)
    return select_candidate(
        GridSearch(GRID[::step]),
        cohort.evaluator(),
        AUROC,
        SelectionSettings(resampling=RESAMPLING),
    )


def losses(candidate: Candidate) -> Any:
    """Mean losses of six texts, which are least at λ = 0.3."""
    weight = candidate.weight or 0.0
    return np.linspace(2, 3, 6) + (weight - 0.3) ** 2


SIZES = np.array([5, 1, 9, 4, 4, 7])


def curve(result: Selection, metric: Metric | None = None) -> RetentionCurve:
    def factory(candidate: Candidate) -> Any:
        return lambda indices: losses(candidate)[indices]

    instances = Instances.build(range(6), sizes=list(SIZES), unit="texts")
    evaluator = CandidateEvaluator(factory, instances)
    candidates = retention_candidates(result)
    return measure_retention("loss", evaluator, metric or Perplexity(), candidates, RESAMPLING)


def test_retention_is_measured_of_every_candidate_on_every_instance() -> None:
    result = curve(selection())
    assert [point.candidate for point in result.points] == list(GRID)
    assert (result.unit, result.lower_is_better) == ("texts", True)
    for point in result.points:
        expected = np.exp(np.average(losses(point.candidate), weights=SIZES))
        assert point.estimate.value == pytest.approx(expected)
        assert point.estimate.interval is not None
        assert point.n == 6
    missing = Candidate.at_lambda(0.05)
    assert result.at(missing) is None


def test_controls_that_the_search_did_not_try_are_measured_too() -> None:
    result = selection(step=2)
    assert GRID[5] not in {trial.candidate for trial in result.search.trials}
    points = pareto_points(result, curve(result))
    assert [point.candidate for point in points] == [*GRID[::2], GRID[5]]
    middle = next(contrast for contrast in result.contrasts if contrast.baseline == GRID[5])
    assert points[-1].metric == middle.value


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_front_is_what_no_other_candidate_dominates(seed: int, lower: bool) -> None:
    result = selection(seed)
    metric = MeanMetric("loss", lower_is_better=lower)
    points = pareto_points(result, curve(result, metric))
    sign = -1 if lower else 1
    for point in points:
        dominated = False
        for other in points:
            no_worse = (
                other.metric.value >= point.metric.value
                and sign * other.retention.value >= sign * point.retention.value
            )
            better = (
                other.metric.value > point.metric.value
                or sign * other.retention.value > sign * point.retention.value
            )
            dominated |= no_worse and better
        assert point.on_front == (not dominated)
    assert any(point.on_front for point in points)
    assert not all(point.on_front for point in points)


def test_equal_candidates_are_both_on_the_front() -> None:
    cohort = simulated(0, patients=300, deaths=60)
    cohort.scores[:] = cohort.scores[4]
    result = select_candidate(
        GridSearch(), cohort.evaluator(), AUROC, SelectionSettings(resampling=RESAMPLING)
    )
    evaluator = CandidateEvaluator(
        lambda _: lambda indices: np.ones(indices.size), Instances.build("ab")
    )
    same = measure_retention("x", evaluator, MeanMetric("x"), GRID, RESAMPLING)
    assert all(point.on_front for point in pareto_points(result, same))


def test_the_report_has_the_change_against_the_input_that_retains_most() -> None:
    result = selection()
    known = curve(result)
    result = replace(result, retention=(known,))
    assert best_retaining_input(result, known) == GRID[0]  # λ = 0 is nearer to 0.3 than λ = 1
    document = build_selection_report({"a + b": result}, {})
    text = render_document(document, "text")
    assert "Retention of a + b: loss" in text
    start, end = known.at(GRID[0]), known.at(GRID[10])
    assert start is not None
    assert end is not None
    assert f"{end.value - start.value:+.4f}" in text
    (data,) = json.loads(render_document(document, "json"))["pairs"]["a + b"]["retention"]
    assert data["best_input"] == {"lambda": 0}
    points = pareto_points(result, known)
    for row, point in zip(data["points"], points, strict=True):
        assert row["candidate"] == {"lambda": point.candidate.weight}
        assert row["value"] == point.retention.value
        assert row["metric"] == point.metric.value
        assert row["on_front"] == point.on_front


def test_a_candidate_without_finite_scores_has_no_point() -> None:
    def factory(candidate: Candidate) -> Any:
        values = losses(candidate) * (np.nan if candidate == GRID[3] else 1)
        return lambda indices: values[indices]

    evaluator = CandidateEvaluator(factory, Instances.build(range(6)))
    known = measure_retention("x", evaluator, MeanMetric("x"), GRID, RESAMPLING)
    assert GRID[3] not in {point.candidate for point in known.points}
    assert len(pareto_points(selection(), known)) == 10


def test_the_figure_labels_every_candidate_by_its_lambda(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    result = selection()
    with pytest.raises(EvaluationError, match="retention"):
        plot_pareto({"pair": result}, [tmp_path / "a.svg"])
    other = replace(curve(result, MeanMetric("loss")), name="$gain of x")
    result = replace(result, retention=(curve(result), other))
    paths = [tmp_path / "a.svg", tmp_path / "b.png", tmp_path / "c.svg"]
    plot_pareto({"pair": result}, paths[:2])
    plot_pareto({"pair": result}, paths[2:])
    texts = ["".join(item.itertext()) for item in ET.parse(paths[0]).iter() if "text" in item.tag]
    for candidate in GRID[1:-1]:
        assert texts.count(str(candidate)) >= 2
    assert "$gain of x (right is better)" in texts
    assert texts.count("chosen") == 2
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert paths[1].read_bytes().startswith(b"\x89PNG")
