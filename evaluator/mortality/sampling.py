"""Random samples of stays, uniform or with the cohort's share of deaths."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def sample_uniform(stays: int, count: int | None, seed: int) -> list[int]:
    """The positions of `count` of `stays` stays, ascending; all where `count` is None."""
    if count is None or count >= stays:
        return list(range(stays))
    drawn = np.random.default_rng(seed).choice(stays, size=count, replace=False)
    return sorted(map(int, drawn))


def sample_stratified(
    died: Sequence[bool] | npt.NDArray[np.bool_], count: int, seed: int
) -> list[int]:
    """The positions of `count` stays, ascending, with the share of deaths of all stays.

    A sample of two stays or more has both outcomes where the cohort has both, even where rounding
    would drop the rare one. A larger sample by the same seed contains the smaller one, except for
    at most one stay that rounding moves to the other outcome, so that stored answers serve both.
    """
    dead = np.asarray(died, bool)
    if count >= dead.size:
        return list(range(dead.size))
    order = np.random.default_rng(seed).permutation(dead.size)
    deaths, survivors = order[dead[order]], order[~dead[order]]
    both = deaths.size and survivors.size and count > 1
    fewest, most = (1, count - 1) if both else (0, count)
    drawn = min(max(round(count * deaths.size / dead.size), fewest), most)
    return sorted(map(int, [*deaths[:drawn], *survivors[: count - drawn]]))
