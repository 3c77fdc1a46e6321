"""Baselines for language models: scikit-learn on the numbers of the same 48 hours.

No patient is predicted by a model that was fitted on the same patient: five folds by patient.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluator.statistics.discrimination import Floats
from evaluator.statistics.folds import Folds
from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError


def predict_out_of_fold(
    kind: str,
    matrix: npt.NDArray[np.floating],
    died: npt.NDArray[np.bool_],
    patients: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
) -> Floats:
    """Probabilities of death (n,) by one of `BASELINES`; nan in `matrix` is missing.

    Raises EvaluationError where a fold leaves only one class to learn from, ExtraMissingError
    without scikit-learn.
    """
    require_package("sklearn", "mortality")
    fold_of_patient = Folds(folds, seed).assign(set(patients))
    fold_of_stay = np.array([fold_of_patient[patient] for patient in patients])
    probabilities = np.full(len(died), np.nan)
    for fold in range(folds):
        held_out = fold_of_stay == fold
        if len(set(died[~held_out].tolist())) < 2:
            raise EvaluationError("a baseline cannot learn where all died, or all lived")
        known = ~np.isnan(matrix[~held_out]).all(axis=0)  # drops columns without any value
        model = BASELINES[kind](seed)
        model.fit(matrix[~held_out][:, known], died[~held_out])
        probabilities[held_out] = model.predict_proba(matrix[held_out][:, known])[:, 1]
    return probabilities


def _logistic(_seed: int) -> Any:
    """Imputed medians with indicator columns, scaled values, L2 penalty, C = 0.01."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(_clip),
        LogisticRegression(C=0.01, max_iter=2000),
    )


def _clip(values: Any) -> Any:
    """Scaled values clipped at five standard deviations: a single absurd value must not decide."""
    return np.clip(values, -5, 5)


def _boosting(seed: int) -> Any:
    """Gradient-boosted trees on histograms, which handle missing values themselves."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=200, max_leaf_nodes=15, l2_regularization=1.0,
        early_stopping=False, random_state=seed,
    )  # fmt: skip


BASELINES: Mapping[str, Callable[[int], Any]] = MappingProxyType(
    {"logistic regression": _logistic, "gradient boosting": _boosting}
)
