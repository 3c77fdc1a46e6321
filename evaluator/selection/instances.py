"""The instances that candidates are scored on: stays with labels, or queries or texts without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .candidates import Candidate

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
"""Positions of instances in an `Instances`, shape (n,)."""


class InstanceScores(NamedTuple):
    """A candidate's scores of some instances, in their order, shapes (n,).

    `scores` rank stays (the higher, the likelier death), or are the value of each query or text.
    `answers` are the yes (1), no (0) or unclear (½) answers, encoded as by `answer_values`; None
    for scorers without answers.
    """

    scores: Floats
    answers: Floats | None = None


InstanceScorer = Callable[[Indices], InstanceScores | Floats | Sequence[float]]
"""Scores the instances at some indices; a score may not depend on the other indices."""

ScorerFactory = Callable[[Candidate], InstanceScorer]
"""Prepares a candidate; its scorer is valid until the next candidate is prepared."""


@dataclass(frozen=True, eq=False)
class Instances:
    """Instances in a fixed order: stays, queries or texts.

    `patients` name the unit that folds and resamples keep together. `keys` identify what is
    scored (a digest of record and prompt); stored scores are looked up by them. `labels` are the
    outcomes of instances that have one, `sizes` the weights of instances that count unequally
    (tokens of a text). `unit` is the plural noun for what `patients` names.
    """

    patients: npt.NDArray[np.str_]
    keys: npt.NDArray[np.str_]
    labels: npt.NDArray[np.bool_] | None = None
    sizes: Floats | None = None
    unit: str = "patients"

    @classmethod
    def build(
        cls,
        patients: Sequence[object],
        *,
        labels: Sequence[object] | npt.NDArray[np.generic] | None = None,
        keys: Sequence[str] | None = None,
        sizes: Sequence[float] | None = None,
        unit: str = "patients",
    ) -> "Instances":
        """Validated instances; the default key is the patient with a running number.

        Raises EvaluationError for no instance, lengths that differ, duplicate keys, labels that
        are not 0 or 1 and sizes that are not above zero.
        """
        names = tuple(str(patient) for patient in patients)
        known_keys = tuple(keys) if keys is not None else _numbered(names)
        truth = None if labels is None else np.asarray(labels)
        weights = None if sizes is None else np.asarray(sizes, dtype=np.float64)
        columns = (names, known_keys, truth, weights)
        lengths = {len(column) for column in columns if column is not None}
        if lengths != {len(names)} or not names:
            raise EvaluationError("a search needs one instance or more, each with all its facts")
        if len(set(known_keys)) < len(known_keys):
            raise EvaluationError("two instances have the same key")
        if truth is not None and not np.all((truth == 0) | (truth == 1)):
            raise EvaluationError("a label is 0 or 1")
        if weights is not None and not np.all(np.isfinite(weights) & (weights > 0)):
            raise EvaluationError("the size of an instance is above zero")
        outcomes = None if truth is None else truth.astype(bool)
        return cls(np.array(names), np.array(known_keys), outcomes, weights, unit)

    def __len__(self) -> int:
        return len(self.patients)

    def subset(self, indices: Indices) -> "Instances":
        """The instances at some indices, in that order."""
        return Instances(
            self.patients[indices],
            self.keys[indices],
            None if self.labels is None else self.labels[indices],
            None if self.sizes is None else self.sizes[indices],
            self.unit,
        )

    @property
    def all_indices(self) -> Indices:
        """The indices of all instances."""
        return np.arange(len(self))

    @property
    def patient_count(self) -> int:
        """Number of different patients."""
        return np.unique(self.patients).size

    @property
    def deaths(self) -> int | None:
        """Number of labels that are 1; None without labels."""
        return None if self.labels is None else int(np.count_nonzero(self.labels))


def class_counts(instances: Instances) -> tuple[int, int]:
    """Numbers of labels that are 1 and 0. Raises EvaluationError without labels."""
    if instances.labels is None:
        raise EvaluationError("this needs instances with an outcome")
    deaths = int(np.count_nonzero(instances.labels))
    return deaths, len(instances) - deaths


def sampling_weights(instances: Instances, population: Indices, sample: Indices) -> Floats:
    """Inverse sampling probabilities of a sample by outcome, shape (len(sample),).

    Horvitz & Thompson 1952: each sampled instance stands for as many of `population` as have its
    outcome. With these weights AUPRC, which depends on prevalence, refers to the population.
    AUROC does not depend on it.
    """
    weights = np.ones(sample.size)
    if instances.labels is None:
        return weights
    for label in (False, True):
        same_label = instances.labels[sample] == label
        if same_label.any():
            total = np.count_nonzero(instances.labels[population] == label)
            weights[same_label] = total / same_label.sum()
    return weights


def _numbered(patients: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    keys = []
    for patient in patients:
        seen[patient] = seen.get(patient, 0) + 1
        keys.append(f"{patient}#{seen[patient]}")
    return tuple(keys)
