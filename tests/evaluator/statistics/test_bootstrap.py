"""Bootstrap by patient: whole patients are drawn, the same for every figure."""

import math

import numpy as np
import pytest

from evaluator.statistics.bootstrap import (
    Resampling,
    balanced_accuracy,
    patient_weights,
    percentile_interval,
    resample_statistics,
    weighted_mean,
)
from evaluator.statistics.discrimination import RankedLabels, answer_values, hard_auroc
from patientdx.errors import EvaluationError

PATIENTS = ["a", "b", "a", "c", "c", "c", "d"]


def test_all_stays_of_a_patient_are_drawn_together() -> None:
    weights = np.concatenate(list(patient_weights(PATIENTS, Resampling(resamples=500))))
    assert weights.shape == (500, 7)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3, 6]].sum(axis=1) == 4).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.15)


def test_the_draws_depend_on_the_seed_and_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Resampling(resamples=40, seed=3)
    whole = np.concatenate(list(patient_weights(PATIENTS, settings)))
    monkeypatch.setattr("evaluator.statistics.bootstrap._DRAWN_AT_ONCE", 21)
    parts = list(patient_weights(PATIENTS, settings))
    assert len(parts) > 5
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    other = np.concatenate(list(patient_weights(PATIENTS, Resampling(resamples=40, seed=4))))
    assert (other != whole).any()


def test_a_resample_is_what_repeated_rows_give() -> None:
    labels = np.array([True, False, True, False, False, True, False])
    scores = np.array([0.9, 0.8, 0.3, 0.3, 0.1, 0.6, 0.7])
    values = answer_values([True, None, False, False, True, True, False])
    statistics = {
        "mean": weighted_mean(scores),
        "hard": balanced_accuracy(labels, values),
        "auroc": RankedLabels.from_scores(labels, scores).auroc,
    }
    settings = Resampling(resamples=60)
    result = resample_statistics(PATIENTS, statistics, settings)
    weights = np.concatenate(list(patient_weights(PATIENTS, settings))).astype(int)
    seen = 0
    for row, times in enumerate(weights):
        indices = np.repeat(np.arange(7), times)
        assert result["mean"][row] == pytest.approx(scores[indices].mean())
        if labels[indices].all() or not labels[indices].any():
            assert math.isnan(result["hard"][row])
            assert math.isnan(result["auroc"][row])
            continue
        seen += 1
        assert result["hard"][row] == pytest.approx(hard_auroc(labels[indices], values[indices]))
        repeated = RankedLabels.from_scores(labels[indices], scores[indices]).auroc()
        assert result["auroc"][row] == pytest.approx(float(repeated))
    assert seen > 30


def test_intervals_of_independent_stays_are_those_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(size=400)
    result = resample_statistics(
        range(400), {"mean": weighted_mean(values)}, Resampling(resamples=4000)
    )
    interval = percentile_interval(result["mean"], 0.95)
    assert interval is not None
    half = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.012)


def test_undefined_resamples_are_left_out() -> None:
    assert percentile_interval(np.array([math.nan, 1.0, 1.0]), 0.95) == (1.0, 1.0)
    assert percentile_interval(np.array([math.nan]), 0.95) is None
    with pytest.raises(EvaluationError, match="one patient"):
        resample_statistics([], {}, None)
    with pytest.raises(EvaluationError, match="level"):
        Resampling(level=1.0)
