"""Rank correlations against scipy, and proxies of a metric over the candidates of a search."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy, kendalltau, spearmanr
from simulated_merges import GRID, simulated

from evaluator.reporting.rendering import render_document
from evaluator.selection import (
    ANSWER_ENTROPY,
    AUROC,
    CandidateEstimate,
    Estimate,
    GridSearch,
    Instances,
    InstanceScores,
    RetentionCurve,
    SelectionSettings,
    SuccessiveHalving,
    build_selection_report,
    correlate_proxies,
    select_candidate,
)
from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.rank_correlation import kendall, spearman

RESAMPLING = Resampling(resamples=100)


@pytest.mark.parametrize("n", [2, 3, 11])
@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlations_are_scipys(n: int, ties: bool) -> None:
    rng = np.random.default_rng(n)
    ours, theirs = rng.normal(size=(2, 40, n))
    if ties:
        ours, theirs = np.round(ours), np.round(theirs)
    for row, (first, second) in enumerate(zip(ours, theirs, strict=True)):
        constant = len(set(first)) == 1 or len(set(second)) == 1
        for function, oracle in ((spearman, spearmanr), (kendall, kendalltau)):
            value = function(ours, theirs)[row]
            if constant:
                assert math.isnan(value)
            else:
                assert value == pytest.approx(oracle(first, second).statistic, abs=1e-12)


def test_rows_with_nan_have_no_rank_correlation() -> None:
    rows = np.array([[1.0, 2, np.nan], [1, 2, 3]])
    for function in (spearman, kendall):
        assert math.isnan(function(rows, np.array([[3.0, 2, 1]] * 2))[0])
        assert function(rows, np.array([[3.0, 2, 1]] * 2))[1] == pytest.approx(-1)


def test_the_entropy_of_answers_is_scipys_in_bits() -> None:
    odds = np.array([-800.0, -3, 0, 0.5, 40])
    instances = Instances.build(range(5))
    statistic = ANSWER_ENTROPY.statistic(instances, InstanceScores(odds))
    yes = 1 / (1 + np.exp(np.minimum(-odds, 700)))
    expected = entropy(np.array([yes, 1 - yes]), base=2)
    for index in range(5):
        weights = np.eye(5)[index]
        assert statistic(weights[None])[0] == pytest.approx(expected[index], abs=1e-12)
    assert statistic(np.ones((1, 5)))[0] == pytest.approx(expected.mean())


def curve_of(values: dict[Any, float]) -> RetentionCurve:
    points = [CandidateEstimate(known, Estimate(value, None), 5) for known, value in values.items()]
    return RetentionCurve("perplexity of x", "texts", lower_is_better=True, points=tuple(points))


@pytest.mark.parametrize("strategy", [GridSearch(), SuccessiveHalving()], ids=lambda s: s.name)
def test_proxies_are_compared_on_the_instances_that_all_candidates_share(strategy: Any) -> None:
    cohort = simulated(2, patients=300, deaths=60)
    evaluator = cohort.evaluator()
    result = select_candidate(strategy, evaluator, AUROC, SelectionSettings(resampling=RESAMPLING))
    curve = curve_of({candidate: (candidate.weight or 0) ** 2 for candidate in GRID[2:]})
    count = evaluator.score_count
    answers, texts = correlate_proxies(
        evaluator, AUROC, result.search, [ANSWER_ENTROPY], [curve], RESAMPLING
    )
    assert evaluator.score_count == count  # nothing is scored for it
    shared = result.search.shared
    instances = evaluator.instances.subset(shared)
    row = np.ones((1, shared.size))
    scores = [InstanceScores(cohort.row(known)[shared]) for known in GRID]
    areas = [AUROC.statistic(instances, known)(row)[0] for known in scores]
    entropies = [ANSWER_ENTROPY.statistic(instances, known)(row)[0] for known in scores]
    assert list(answers.values.values()) == pytest.approx(entropies)
    assert answers.spearman is not None
    assert answers.spearman.value == pytest.approx(spearmanr(areas, entropies).statistic)
    assert answers.kendall is not None
    assert answers.kendall.value == pytest.approx(kendalltau(areas, entropies).statistic)
    assert list(texts.values) == list(GRID[2:])
    assert texts.spearman is not None
    expected = spearmanr(areas[2:], [candidate.weight for candidate in GRID[2:]]).statistic
    assert texts.spearman.value == pytest.approx(expected)
    for estimate in (answers.spearman, texts.spearman):
        assert estimate.interval is not None
        assert -1 <= estimate.interval.low < estimate.interval.high <= 1


def test_reports_have_the_correlations_and_dashes_where_there_are_none() -> None:
    cohort = simulated(2, patients=300, deaths=60)
    evaluator = cohort.evaluator()
    settings = SelectionSettings(resampling=RESAMPLING)
    result = select_candidate(GridSearch(), evaluator, AUROC, settings)
    curve = curve_of(dict.fromkeys(GRID, 1.0))
    proxies = correlate_proxies(
        evaluator, AUROC, result.search, [ANSWER_ENTROPY], [curve], RESAMPLING
    )
    assert proxies[1].spearman is None
    document = build_selection_report({"a + b": replace(result, proxies=proxies)}, {})
    text = render_document(document, "text")
    assert "entropy of yes/no" in text
    assert proxies[0].spearman is not None
    assert f"{proxies[0].spearman.value:+.4f}" in text
    entries = json.loads(render_document(document, "json"))["pairs"]["a + b"]["proxies"]
    assert [entry["name"] for entry in entries] == ["entropy of yes/no", "perplexity of x"]
    assert entries[1]["kendall"] is None
    assert len(entries[0]["values"]) == 11


def test_two_candidates_have_no_ranking() -> None:
    cohort = simulated(2, patients=300, deaths=60)
    evaluator = cohort.evaluator()
    settings = SelectionSettings(resampling=RESAMPLING)
    result = select_candidate(GridSearch(GRID[:2]), evaluator, AUROC, settings)
    assert not correlate_proxies(evaluator, AUROC, result.search, [ANSWER_ENTROPY], [], RESAMPLING)
