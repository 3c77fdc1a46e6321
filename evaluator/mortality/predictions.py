"""Predictions of a language model or a baseline, and the outcomes of the same stays."""

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
    """The outcomes of the evaluated stays, and the traits that define subgroups.

    All fields have one entry per stay; `age` is nan where unknown. It never prints itself.
    """

    died: npt.NDArray[np.bool_]
    patients: tuple[str, ...]
    age: Floats
    sex: tuple[str | None, ...]
    unit: tuple[str | None, ...]

    @classmethod
    def from_cohort(cls, cohort: Cohort, positions: Sequence[int] | None = None) -> "Outcomes":
        """All stays of a cohort, or those at some positions. Raises EvaluationError for none."""
        chosen = list(range(len(cohort)) if positions is None else positions)
        if not chosen:
            raise EvaluationError("the cohort has no stay")
        return cls(
            cohort.died[chosen],
            tuple(cohort.subject_ids[position] for position in chosen),
            cohort.age[chosen],
            tuple(cohort.sex[position] for position in chosen),
            tuple(cohort.unit[position] for position in chosen),
        )

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def deaths(self) -> int:
        """Number of stays that ended in death."""
        return int(self.died.sum())

    @property
    def prevalence(self) -> float:
        """Share of stays that ended in death."""
        return self.deaths / len(self)

    @property
    def one_class(self) -> bool:
        """True where all died or all lived, so that AUROC is undefined."""
        return self.deaths in {0, len(self)}


@dataclass(frozen=True, repr=False)
class Prediction:
    """A model's prediction for every stay.

    `log_odds` are log-odds of death, `probability` the same as probabilities, `answers` yes, no,
    or None where the reply is unreadable. Of a language model, `answer_mass` is the probability of
    any answer of the question, `tokens` the length of each prompt, `cut` the number of records
    that were cut to fit the context.
    """

    log_odds: Floats
    probability: Floats
    answers: tuple[bool | None, ...]
    answer_mass: Floats | None = None
    tokens: npt.NDArray[np.int_] | None = None
    cut: int = 0

    @property
    def unreadable(self) -> int:
        """Number of answers that are neither yes nor no."""
        return sum(answer is None for answer in self.answers)


def prediction_from_answers(answers: Sequence[Answer], question: Question) -> Prediction:
    """The prediction of a language model from its answers."""
    odds = np.array([log_odds(answer.died, answer.lived) for answer in answers])
    died, lived = ([getattr(answer, label) for answer in answers] for label in ("died", "lived"))
    return Prediction(
        log_odds=odds,
        probability=np.array([probability(float(value)) for value in odds]),
        answers=tuple(question.parse_reply(answer.reply) for answer in answers),
        answer_mass=np.exp(died) + np.exp(lived),
        tokens=np.array([answer.tokens for answer in answers]),
        cut=sum(answer.cut for answer in answers),
    )


def prediction_from_probabilities(probabilities: Floats) -> Prediction:
    """The prediction of a baseline from its probabilities; its answer is yes from 1/2 on."""
    from evaluator.statistics.calibration import logit

    return Prediction(
        log_odds=logit(probabilities),
        probability=probabilities,
        answers=tuple(bool(value >= 0.5) for value in probabilities),
    )
