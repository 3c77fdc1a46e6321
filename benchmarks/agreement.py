"""How far a ranking agrees with the exact one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4


class Answers(NamedTuple):
    """Rankings of some queries. `numbers` is -1 past the last hit. Shape (queries, k)."""

    numbers: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> "Answers":
        """What a child saved."""
        with np.load(path) as saved:
            return cls(saved["numbers"], saved["scores"])


class Agreement(NamedTuple):
    """Shares of queries or of hits, between 0 and 1.

    `identical`: the same ids in the same order with the same float32 scores, at every rank.
    `top10`: the same top 10 up to ties (see `same_top`). `overlap10`, `overlap1000`: mean share
    of the exact top 10 and of the whole exact ranking that was found. `worst` is the largest
    relative difference of the scores of a note among the first 10.
    """

    queries: int
    identical: float
    top10: float
    overlap10: float
    overlap1000: float
    worst: float


def compare(exact: Answers, other: Answers) -> Agreement:
    """The agreement over those queries that `other` answered."""
    count = len(other.numbers)
    rows = [(exact.numbers[q], exact.scores[q], *(part[q] for part in other)) for q in range(count)]
    return Agreement(
        count,
        float(np.mean([_identical(*row) for row in rows])),
        float(np.mean([same_top(*row) for row in rows])),
        float(
            np.mean(
                [
                    _overlap(numbers[:10], numbers_returned[:10])
                    for numbers, _, numbers_returned, _ in rows
                ]
            )
        ),
        float(
            np.mean(
                [_overlap(numbers, numbers_returned) for numbers, _, numbers_returned, _ in rows]
            )
        ),
        max(_worst(*row) for row in rows),
    )


def same_top(
    numbers: NDArray[np.int64],
    scores: NDArray[np.float64],
    numbers_returned: NDArray[np.int64],
    scores_returned: NDArray[np.float64],
    depth: int = 10,
) -> bool:
    """True when the first `depth` are the same, up to notes whose exact scores tie.

    Scores within TOLERANCE tie, relative to the score where that is above one. Each note found
    at a rank must have, up to a tie, the exact score that belongs at this rank.
    """
    depth = min(depth, int(np.count_nonzero(numbers >= 0)))
    exact_of = dict(zip(numbers.tolist(), scores.tolist(), strict=True))
    if len(set(numbers_returned[:depth].tolist())) < depth or np.any(numbers_returned[:depth] < 0):
        return False
    held = np.array([exact_of.get(number, -1.0) for number in numbers_returned[:depth].tolist()])
    slack = TOLERANCE * np.maximum(1.0, scores[:depth])
    right_note = np.abs(held - scores[:depth]) <= slack
    right_score = np.abs(scores_returned[:depth] - held) <= slack
    return bool(np.all(right_note & right_score))


def _identical(
    numbers: NDArray[np.int64],
    scores: NDArray[np.float64],
    numbers_returned: NDArray[np.int64],
    scores_returned: NDArray[np.float64],
) -> bool:
    return np.array_equal(numbers, numbers_returned) and np.array_equal(scores, scores_returned)


def _overlap(numbers: NDArray[np.int64], numbers_returned: NDArray[np.int64]) -> float:
    wanted = numbers[numbers >= 0]
    return float(np.isin(wanted, numbers_returned).mean()) if len(wanted) else 1.0


def _worst(
    numbers: NDArray[np.int64],
    scores: NDArray[np.float64],
    numbers_returned: NDArray[np.int64],
    scores_returned: NDArray[np.float64],
) -> float:
    exact_of = dict(zip(numbers.tolist(), scores.tolist(), strict=True))
    pairs = zip(numbers_returned[:10].tolist(), scores_returned[:10].tolist(), strict=True)
    known = [(exact_of[number], score) for number, score in pairs if number in exact_of]
    return max((abs(score - true) / true for true, score in known if true > 0), default=0.0)
