"""ROC, precision-recall and DeLong against scikit-learn, and a reference in O(n^2)."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from evaluator.statistics.discrimination import (
    RankedLabels,
    answer_values,
    auroc,
    average_precision,
    delong_covariance,
    delong_interval,
    delong_test,
    hard_auroc,
    midranks,
    precision_recall_curve,
    roc_curve,
)
from patientdx.errors import EvaluationError

# Few values, so that ties are the rule.
STAYS = some.lists(
    some.tuples(some.booleans(), some.sampled_from([-1.5, 0.0, 0.1, 0.2, 0.7, 1.0, 3.0])),
    min_size=4,
    max_size=40,
).filter(lambda rows: 2 <= sum(died for died, _ in rows) <= len(rows) - 2)


def random_stays(n: int, seed: int, models: int = 1) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    labels = chance.random(n) < 0.2
    labels[:2], labels[2:4] = True, False
    scores = chance.normal(size=(models, n)) + labels * chance.random((models, 1))
    return labels, np.round(scores, 1)  # ties


def brute_components(labels: Any, scores: Any) -> tuple[Any, Any]:
    """DeLong 1988, equations as they stand: every pair of a death and a survivor."""
    died, lived = scores[:, labels], scores[:, ~labels]
    pairs = (died[:, :, None] > lived[:, None, :]) + 0.5 * (died[:, :, None] == lived[:, None, :])
    return pairs.mean(axis=2), pairs.mean(axis=1)


def brute_covariance(labels: Any, scores: Any) -> tuple[Any, Any]:
    v10, v01 = brute_components(labels, scores)
    areas = v10.mean(axis=1)
    m, n = v10.shape[1], v01.shape[1]
    k = len(scores)
    s10, s01 = np.zeros((k, k)), np.zeros((k, k))
    for r in range(k):
        for s in range(k):
            s10[r, s] = ((v10[r] - areas[r]) * (v10[s] - areas[s])).sum() / (m - 1)
            s01[r, s] = ((v01[r] - areas[r]) * (v01[s] - areas[s])).sum() / (n - 1)
    return areas, s10 / m + s01 / n


@given(STAYS)
def test_areas_are_those_of_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra mortality")
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    assert auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    expected = metrics.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)


@given(STAYS, some.data())
def test_weighted_areas_are_those_of_scikit_learn(rows: list[Any], data: Any) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra mortality")
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    weights = np.array(data.draw(some.lists(some.integers(0, 3), min_size=len(rows),
                                            max_size=len(rows))), float)  # fmt: skip
    ordered = RankedLabels.from_scores(labels, scores)
    result = ordered.auroc(np.stack([weights, np.ones(len(rows))]))
    assert result[1] == pytest.approx(auroc(labels, scores), abs=1e-12)
    if (weights @ labels) * (weights @ ~labels) == 0:
        assert math.isnan(result[0])
        return
    expected = metrics.roc_auc_score(labels, scores, sample_weight=weights)
    assert result[0] == pytest.approx(expected, abs=1e-9)
    expected = metrics.average_precision_score(labels, scores, sample_weight=weights)
    assert ordered.average_precision(weights) == pytest.approx(expected, abs=1e-9)


def test_curves_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra mortality")
    labels, (scores,) = random_stays(300, seed=1)
    x, y, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    ours = roc_curve(labels, scores)
    np.testing.assert_allclose(ours.x, x, atol=1e-12)
    np.testing.assert_allclose(ours.y, y, atol=1e-12)
    np.testing.assert_allclose(ours.thresholds, thresholds)
    precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
    curve = precision_recall_curve(labels, scores)
    np.testing.assert_allclose(curve.x[::-1], recall[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.y[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(curve.thresholds[::-1], thresholds)


@given(STAYS, some.randoms())
def test_delong_is_what_every_pair_gives(rows: list[Any], chance: Any) -> None:
    labels = np.array([died for died, _ in rows])
    scores = np.array([[score for _, score in rows]] * 3)
    for model in scores[1:]:
        chance.shuffle(model)
    areas, covariance = delong_covariance(labels, list(scores))
    brute_areas, brute = brute_covariance(labels, scores)
    np.testing.assert_allclose(areas, brute_areas, atol=1e-12)
    np.testing.assert_allclose(covariance, brute, atol=1e-12)
    test = delong_test(labels, scores[0], scores[1])
    variance = brute[0, 0] + brute[1, 1] - 2 * brute[0, 1]
    assert test.difference == pytest.approx(brute_areas[0] - brute_areas[1], abs=1e-12)
    half = (test.interval.high - test.interval.low) / 2
    assert half == pytest.approx(1.959963984540054 * math.sqrt(max(variance, 0)), abs=1e-7)


def test_delong_of_many_stays_is_what_every_pair_gives() -> None:
    from scipy.stats import norm

    labels, scores = random_stays(700, seed=3, models=2)
    areas, covariance = delong_covariance(labels, scores)
    brute_areas, brute = brute_covariance(labels, scores)
    np.testing.assert_allclose(areas, brute_areas, atol=1e-9)
    np.testing.assert_allclose(covariance, brute, atol=1e-9)
    test = delong_test(labels, *scores)
    z = (areas[0] - areas[1]) / math.sqrt(brute[0, 0] + brute[1, 1] - 2 * brute[0, 1])
    assert test.z == pytest.approx(z, abs=1e-9)
    assert test.p == pytest.approx(2 * norm.sf(abs(z)), abs=1e-9)
    low, high = delong_interval(labels, scores[0], 0.9)
    assert high - low == pytest.approx(2 * norm.ppf(0.95) * math.sqrt(brute[0, 0]), abs=1e-9)


def test_two_models_that_rank_alike_are_no_different() -> None:
    labels, (scores,) = random_stays(50, seed=5)
    test = delong_test(labels, scores, 2 * scores + 1)
    assert (test.difference, test.z, test.p) == (0.0, 0.0, 1.0)
    perfect = delong_test(labels, labels.astype(float), 1.0 - labels)
    assert (test.interval.low, perfect.difference, perfect.p) == (0.0, 1.0, 0.0)


def test_a_hard_auroc_is_balanced_accuracy() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra mortality")
    chance = np.random.default_rng(7)
    labels, answers = (
        chance.random(200) < 0.3,
        [bool(number) for number in chance.random(200) < 0.4],
    )
    values = answer_values(answers)
    result = hard_auroc(labels, values)
    assert result == pytest.approx(metrics.balanced_accuracy_score(labels, answers), abs=1e-12)
    assert result == pytest.approx(auroc(labels, values), abs=1e-12)
    # What is neither yes nor no is worth what a coin gives: TPR (1 + 1/2)/2, TNR (1/2 + 1)/2.
    assert hard_auroc([1, 1, 0, 0], answer_values([True, None, None, False])) == 0.75
    assert hard_auroc([1, 0], answer_values([None, None])) == 0.5


def test_midranks_are_those_of_scipy() -> None:
    from scipy.stats import rankdata

    values = np.random.default_rng(2).integers(0, 9, size=60).astype(float)
    np.testing.assert_array_equal(midranks(values), rankdata(values))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0.1, 0.2], "AUROC is undefined: everybody dies"),
        ([0, 0], [0.1, 0.2], "AUROC is undefined: everybody survives"),
        ([0, 1], [0.1, math.nan], "finite"),
        ([0, 2], [0.1, 0.2], "0 or 1"),
        ([0, 1], [0.1], "one label and one score"),
        ([], [], "one stay or more"),
    ],
)
def test_what_has_no_area_is_refused(labels: Any, scores: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        auroc(labels, scores)


def test_other_refusals() -> None:
    with pytest.raises(EvaluationError, match="nobody dies"):
        average_precision([0, 0], [1.0, 2.0])
    with pytest.raises(EvaluationError, match="two stays of each class"):
        delong_interval([0, 0, 1], [1.0, 2.0, 3.0])
    with pytest.raises(EvaluationError, match="level"):
        delong_interval([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0], 1.0)
    with pytest.raises(EvaluationError, match="counts from 0"):
        hard_auroc([0, 1], [0.0, 2.0])
    for function in (roc_curve, precision_recall_curve):
        with pytest.raises(EvaluationError, match="everybody survives"):
            function([0, 0], [1.0, 2.0])
