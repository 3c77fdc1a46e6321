"""Samples of stays that keep the cohort's share of deaths."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def draw_places(died: Sequence[bool] | npt.NDArray[np.bool_], count: int, seed: int) -> list[int]:
    """The places of `count` stays, in order, with as many deaths in proportion as there are.

    Both outcomes are among two stays or more where both are among all. A larger sample by the same
    seed holds the smaller one, but for at most a stay that rounding moves to the other outcome, so
    that kept answers serve both.
    """
    dead = np.asarray(died, bool)
    order = np.random.default_rng(seed).permutation(dead.size)
    deaths, lives = order[dead[order]], order[~dead[order]]
    if count >= dead.size:
        return list(range(dead.size))
    least, most = (1, count - 1) if deaths.size and lives.size and count > 1 else (0, count)
    wanted = min(max(round(count * deaths.size / dead.size), least), most)
    return sorted(map(int, [*deaths[:wanted], *lives[: count - wanted]]))
