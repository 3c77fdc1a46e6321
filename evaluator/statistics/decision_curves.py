"""Decision curves: the net benefit of acting on a probability (Vickers & Elkin 2006)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from patientdx.errors import EvaluationError

from .discrimination import Floats, Labels, Scores, validate_scores

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 51))
"""Thresholds of a decision curve: 1 % to 50 %."""


class DecisionCurve(NamedTuple):
    """Net benefit by threshold, of the model and of acting on everybody; on nobody it is 0.

    Net benefit is in true positives per patient, so the prevalence is its maximum.
    """

    thresholds: Floats
    model: Floats
    everybody: Floats


def decision_curve(
    labels: Labels, probabilities: Scores, thresholds: Sequence[float] = THRESHOLDS
) -> DecisionCurve:
    """TP / n - FP / n * t / (1 - t), acting on every patient with a probability of t or more.

    Raises EvaluationError for a threshold outside [0, 1).
    """
    truth, predicted = validate_scores(labels, probabilities)
    cutoffs = np.asarray(thresholds, dtype=np.float64)
    if np.any((cutoffs < 0) | (cutoffs >= 1)):
        raise EvaluationError("a threshold of net benefit lies from 0 to below 1")
    odds = cutoffs / (1 - cutoffs)
    died, lived = np.sort(predicted[truth]), np.sort(predicted[~truth])
    true = died.size - np.searchsorted(died, cutoffs, side="left")
    false = lived.size - np.searchsorted(lived, cutoffs, side="left")
    everybody = (died.size - lived.size * odds) / predicted.size
    return DecisionCurve(cutoffs, (true - false * odds) / predicted.size, everybody)
