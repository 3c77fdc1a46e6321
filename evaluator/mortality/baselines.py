"""What a language model is up against: scikit-learn on the numbers of the same 48 hours.

Nobody is predicted by a model that was fitted on the same patient: five folds, dealt by patient.
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


def out_of_fold(
    kind: str,
    matrix: npt.NDArray[np.floating],
    died: npt.NDArray[np.bool_],
    patients: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
) -> Floats:
    """Probabilities of death (n,) by one of `BASELINES`; nan in the matrix is what is missing.

    Raises EvaluationError where a fold leaves only one class to learn from, ExtraMissingError
    without scikit-learn.
    """
    require_package("sklearn", "mortality")
    dealt = Folds(folds, seed).deal(set(patients))
    fold_of = np.array([dealt[one] for one in patients])
    found = np.full(len(died), np.nan)
    for fold in range(folds):
        inside = fold_of == fold
        if len(set(died[~inside].tolist())) < 2:
            raise EvaluationError("a baseline cannot learn where all died, or all lived")
        known = ~np.isnan(matrix[~inside]).all(axis=0)  # what nobody has cannot be learned from
        model = BASELINES[kind](seed)
        model.fit(matrix[~inside][:, known], died[~inside])
        found[inside] = model.predict_proba(matrix[inside][:, known])[:, 1]
    return found


def _logistic(_seed: int) -> Any:
    """Medians for what is missing, and a column that says so; scaled; L2 penalty, C = 0.01."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(_within),
        LogisticRegression(C=0.01, max_iter=2000),
    )


def _within(values: Any) -> Any:
    """Scaled values cut at five standard deviations: one absurd value must not decide."""
    return np.clip(values, -5, 5)


def _boosting(seed: int) -> Any:
    """Gradient-boosted trees on histograms, which take missing values as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=200, max_leaf_nodes=15, l2_regularization=1.0,
        early_stopping=False, random_state=seed,
    )  # fmt: skip


BASELINES: Mapping[str, Callable[[int], Any]] = MappingProxyType(
    {"logistic regression": _logistic, "gradient boosting": _boosting}
)
