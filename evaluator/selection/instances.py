"""What candidates are scored on: stays with labels, or queries or texts without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .candidates import Candidate

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


class Ratings(NamedTuple):
    """What a candidate says of some instances, in their order, shapes (n,).

    `scores` rank: the higher, the likelier death; or they are the value of each query or text.
    `answers` are yes (1), no (0) or neither (½), as of `hard_values`; None where none were asked.
    """

    scores: Floats
    answers: Floats | None = None


Scorer = Callable[[Places], Ratings | Floats | Sequence[float]]
"""Places of instances into what a candidate says of each; no number may depend on another place."""

Factory = Callable[[Candidate], Scorer]
"""Makes a candidate ready; its scorer serves until the next candidate is made ready."""


@dataclass(frozen=True, eq=False)
class Instances:
    """Instances in a fixed order: stays, queries or texts.

    `patients` name the unit that folds and resamples keep together. `keys` name what is scored
    (a digest of record and prompt): stored scores are found again by them. `labels` are there
    where instances have an outcome, `sizes` where some count more than others (tokens of a text).
    `unit` is what people call what `patients` names, in the plural.
    """

    patients: npt.NDArray[np.str_]
    keys: npt.NDArray[np.str_]
    labels: npt.NDArray[np.bool_] | None = None
    sizes: Floats | None = None
    unit: str = "patients"

    @classmethod
    def of(
        cls,
        patients: Sequence[object],
        *,
        labels: Sequence[object] | npt.NDArray[np.generic] | None = None,
        keys: Sequence[str] | None = None,
        sizes: Sequence[float] | None = None,
        unit: str = "patients",
    ) -> "Instances":
        """Checked; without `keys` an instance is known by its patient and place.

        Raises EvaluationError for nobody, for lengths that differ, keys that are not unique,
        labels that are not 0 or 1 and sizes that are not above zero.
        """
        names = tuple(str(one) for one in patients)
        known = tuple(keys) if keys is not None else _numbered(names)
        truth = None if labels is None else np.asarray(labels)
        weights = None if sizes is None else np.asarray(sizes, dtype=np.float64)
        lengths = {len(one) for one in (names, known, truth, weights) if one is not None}
        if lengths != {len(names)} or not names:
            raise EvaluationError("a search needs one instance or more, each with all its facts")
        if len(set(known)) < len(known):
            raise EvaluationError("two instances have the same key")
        if truth is not None and not np.all((truth == 0) | (truth == 1)):
            raise EvaluationError("a label is 0 or 1")
        if weights is not None and not np.all(np.isfinite(weights) & (weights > 0)):
            raise EvaluationError("the size of an instance is above zero")
        labelled = None if truth is None else truth.astype(bool)
        return cls(np.array(names), np.array(known), labelled, weights, unit)

    def __len__(self) -> int:
        return len(self.patients)

    def at(self, places: Places) -> "Instances":
        """Some of them, in that order."""
        return Instances(
            self.patients[places],
            self.keys[places],
            None if self.labels is None else self.labels[places],
            None if self.sizes is None else self.sizes[places],
            self.unit,
        )

    @property
    def everywhere(self) -> Places:
        """All places."""
        return np.arange(len(self))

    @property
    def patient_count(self) -> int:
        """How many different patients there are."""
        return np.unique(self.patients).size

    @property
    def deaths(self) -> int | None:
        """How many labels are 1; None without labels."""
        return None if self.labels is None else int(np.count_nonzero(self.labels))


def class_counts(instances: Instances) -> tuple[int, int]:
    """Labels of 1 and of 0. Raises EvaluationError where there are no labels."""
    if instances.labels is None:
        raise EvaluationError("this needs instances with an outcome")
    deaths = int(np.count_nonzero(instances.labels))
    return deaths, len(instances) - deaths


def _numbered(patients: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    keys = []
    for patient in patients:
        seen[patient] = seen.get(patient, 0) + 1
        keys.append(f"{patient}#{seen[patient]}")
    return tuple(keys)
