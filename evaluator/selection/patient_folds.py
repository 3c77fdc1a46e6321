"""Folds of instances by patient, stratified by outcome."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError
from patientdx.wording import count_noun

from .instances import Indices, Instances


@dataclass(frozen=True)
class PatientFolds:
    """Splits instances into `number` folds (the paper: 2) after a seeded shuffle of patients.

    All instances of a patient share a fold. Patients with a death and patients without are
    assigned separately, each patient to the fold with the fewest instances of that group, so that
    the proportion of outcomes is as equal as keeping patients together allows.
    """

    number: int = 2
    seed: int = 0

    def split(self, instances: Instances, *, require_both_outcomes: bool) -> list[Indices]:
        """The indices of each fold; they do not depend on the order of the instances.

        Raises EvaluationError for fewer than two folds, for fewer patients than folds and, with
        `require_both_outcomes`, where a fold would lack an outcome.
        """
        if self.number < 2 or instances.patient_count < self.number:
            raise EvaluationError(
                f"{self.number} folds of {instances.patient_count} {instances.unit} cannot be made",
                hint="there are two folds or more, and none of them is empty",
            )
        names, patient_of = np.unique(instances.patients, return_inverse=True)
        died = np.zeros(names.size, bool)
        if instances.labels is not None:
            np.logical_or.at(died, patient_of, instances.labels)
        fold_of = _assign_folds(np.bincount(patient_of), died, self.number, self.seed)
        folds = [np.flatnonzero(fold_of[patient_of] == fold) for fold in range(self.number)]
        if require_both_outcomes:
            _check_outcomes(instances, folds)
        return folds


def _assign_folds(sizes: Indices, died: npt.NDArray[np.bool_], number: int, seed: int) -> Indices:
    """The fold of each patient; within an outcome, patients with most instances go first."""
    order = np.random.default_rng(seed).permutation(sizes.size)
    fold_of = np.zeros(sizes.size, np.intp)
    totals = np.zeros(number)
    for outcome in (True, False):
        patients = order[died[order] == outcome]
        counts = np.zeros(number)
        for patient in patients[np.argsort(-sizes[patients], kind="stable")]:
            smallest = min(range(number), key=lambda fold: (counts[fold], totals[fold]))
            counts[smallest] += sizes[patient]
            totals[smallest] += sizes[patient]
            fold_of[patient] = smallest
    return fold_of


def _check_outcomes(instances: Instances, folds: Sequence[Indices]) -> None:
    labels = instances.labels
    if labels is None:
        raise EvaluationError("folds by outcome need instances with an outcome")
    for label, who in ((True, "who died"), (False, "who survived")):
        if not all(np.any(labels[fold] == label) for fold in folds):
            count = np.unique(instances.patients[labels == label]).size
            raise EvaluationError(
                f"{count_noun(count, 'patient')} {who} for {len(folds)} folds: the metric "
                "would be undefined on one of them",
                hint="use fewer folds or more patients",
            )
