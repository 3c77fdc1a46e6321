"""Instances dealt into folds by patient, with both outcomes in each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .instances import Instances, Places


@dataclass(frozen=True)
class Deal:
    """How instances are dealt into `number` folds (the paper: 2) by a seeded shuffle.

    All instances of a patient share a fold. Patients are dealt by outcome (any death or none),
    each to the fold that has the fewest instances of that outcome, so that the folds have
    outcomes in the same proportion as nearly as patients allow.
    """

    number: int = 2
    seed: int = 0

    def folds(self, instances: Instances, *, by_class: bool) -> list[Places]:
        """The places of each fold; with `by_class` each fold must have both outcomes.

        The order of the instances changes nothing. Raises EvaluationError for fewer than two
        folds, for fewer patients than folds, and for too few patients of an outcome.
        """
        if self.number < 2 or instances.patient_count < self.number:
            raise EvaluationError(
                f"{instances.patient_count} {instances.unit} make no {self.number} folds",
                hint="there are two folds or more, and none of them is empty",
            )
        names, patient_of = np.unique(instances.patients, return_inverse=True)
        died = np.zeros(names.size, bool)
        if instances.labels is not None:
            np.logical_or.at(died, patient_of, instances.labels)
        fold_of = _dealt(np.bincount(patient_of), died, self.number, self.seed)
        folds = [np.flatnonzero(fold_of[patient_of] == fold) for fold in range(self.number)]
        if by_class:
            _check(instances, folds)
        return folds


def _dealt(sizes: Places, died: npt.NDArray[np.bool_], number: int, seed: int) -> Places:
    """The fold of each patient; the largest patients of each outcome go first."""
    order = np.random.default_rng(seed).permutation(sizes.size)
    fold_of = np.zeros(sizes.size, np.intp)
    whole = np.zeros(number)
    for outcome in (True, False):
        mine = order[died[order] == outcome]
        counts = np.zeros(number)
        for patient in mine[np.argsort(-sizes[mine], kind="stable")]:
            fold = min(range(number), key=lambda one: (counts[one], whole[one]))
            counts[fold] += sizes[patient]
            whole[fold] += sizes[patient]
            fold_of[patient] = fold
    return fold_of


def _check(instances: Instances, folds: Sequence[Places]) -> None:
    labels = instances.labels
    if labels is None:
        raise EvaluationError("folds by outcome need instances with an outcome")
    for label, who in ((True, "who died"), (False, "who survived")):
        if not all(np.any(labels[places] == label) for places in folds):
            found = np.unique(instances.patients[labels == label]).size
            raise EvaluationError(
                f"{found} patients {who} make no {len(folds)} folds: the metric would be "
                "undefined on one of them",
                hint="ask for fewer folds, or give more patients",
            )
