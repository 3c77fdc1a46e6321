"""Invented evaluations of retrieval systems."""

import numpy as np

from evaluator import Evaluation


def evaluation(values: list[float], measure: str = "nDCG@10") -> Evaluation:
    return Evaluation((measure,), {f"q{i}": {measure: value} for i, value in enumerate(values)})


def made(
    count: int = 40, measures: tuple[str, ...] = ("RR", "AP"), seed: int = 0
) -> dict[str, Evaluation]:
    rng = np.random.default_rng(seed)
    return {
        system: Evaluation(
            measures,
            {f"q{i}": {m: float(rng.random() ** power) for m in measures} for i in range(count)},
        )
        for system, power in (("bm25", 2.0), ("rm3", 1.5), ("rrf", 1.0))
    }
