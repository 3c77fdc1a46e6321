"""The settings of the system `phrases`."""

import math
from dataclasses import dataclass

from patientdx.errors import InputError


@dataclass(frozen=True)
class PhraseSettings:
    """The constants of the formulas in `phrases`; `k1` and `b` must be those of the index.

    `sharpness` is p there, `feedback_words` g, `feedback_notes` m, `feedback_terms` T, `rerank` K
    and `pair_weight` lambda.
    """

    k1: float = 0.9
    b: float = 0.4
    sharpness: float = 1.5
    k3: float = 2.0
    feedback_words: float = 1.0
    feedback_notes: int = 10
    feedback_terms: int = 50
    rerank: int = 200
    distances: tuple[int, ...] = (1, 2)
    pair_weight: float = 0.5

    def __post_init__(self) -> None:
        constants = (self.k3, self.sharpness, self.feedback_words, self.pair_weight)
        if not all(math.isfinite(constant) and constant >= 0 for constant in constants):
            raise InputError("the constants of `phrases` must be 0 or more")
        if min(self.feedback_notes, self.feedback_terms, self.rerank, *self.distances) < 1:
            raise InputError("the numbers of notes, terms and words of `phrases` must be 1 or more")
