"""What is predicted of stays, by a language model or by a baseline, beside what came true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluator.cohorts.cohort import Cohort
from evaluator.statistics.discrimination import Floats
from patientdx.errors import EvaluationError

from .answer_store import Answer
from .question import Question, log_odds, probability


@dataclass(frozen=True, repr=False)
class Outcomes:
    """The stays that were asked about, one place a stay; `age` is nan where unknown.

    It never prints itself.
    """

    died: npt.NDArray[np.bool_]
    patients: tuple[str, ...]
    age: Floats
    sex: tuple[str | None, ...]
    unit: tuple[str | None, ...]

    @classmethod
    def of(cls, cohort: Cohort, places: Sequence[int] | None = None) -> "Outcomes":
        """All stays of a cohort, or those at some places. Raises EvaluationError for none."""
        chosen = list(range(len(cohort)) if places is None else places)
        if not chosen:
            raise EvaluationError("the cohort has no stay")
        return cls(
            cohort.died[chosen],
            tuple(cohort.subject_ids[place] for place in chosen),
            cohort.age[chosen],
            tuple(cohort.sex[place] for place in chosen),
            tuple(cohort.unit[place] for place in chosen),
        )

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def deaths(self) -> int:
        """Stays that ended in death."""
        return int(self.died.sum())

    @property
    def prevalence(self) -> float:
        """The share of stays that ended in death."""
        return self.deaths / len(self)

    @property
    def one_class(self) -> bool:
        """Whether nothing can be told apart, because all died or all lived."""
        return self.deaths in {0, len(self)}


@dataclass(frozen=True, repr=False)
class Prediction:
    """One model's word on every stay.

    `odds` are log-odds of death, `probability` what they amount to, `answers` yes, no, or None
    for what could not be read. Of a language model `mass` is the probability of any of the
    answers asked for, `tokens` how many tokens of the prompt it read, `cut` how many records
    were cut.
    """

    odds: Floats
    probability: Floats
    answers: tuple[bool | None, ...]
    mass: Floats | None = None
    tokens: npt.NDArray[np.int_] | None = None
    cut: int = 0

    @property
    def unreadable(self) -> int:
        """Answers that are neither yes nor no."""
        return sum(one is None for one in self.answers)


def prediction_of(answers: Sequence[Answer], question: Question) -> Prediction:
    """What a language model's answers say."""
    odds = np.array([log_odds(one.died, one.lived) for one in answers])
    return Prediction(
        odds=odds,
        probability=np.array([probability(float(one)) for one in odds]),
        answers=tuple(question.read(one.reply) for one in answers),
        mass=np.exp([one.died for one in answers]) + np.exp([one.lived for one in answers]),
        tokens=np.array([one.tokens for one in answers]),
        cut=sum(one.cut for one in answers),
    )


def baseline_prediction(probabilities: Floats) -> Prediction:
    """What a baseline's probabilities say; it answers yes from 1/2 on."""
    from evaluator.statistics.calibration import logit

    return Prediction(
        odds=logit(probabilities),
        probability=probabilities,
        answers=tuple(bool(one >= 0.5) for one in probabilities),
    )
