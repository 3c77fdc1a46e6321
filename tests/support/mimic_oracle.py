"""The cohort's arithmetic again, in plain Python: every bin is written out and filled by hand."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

Chart = tuple[int, int, int, float, str]
"""stay, seconds since its beginning, item, value, unit."""
Infusion = tuple[int, int, int, int, int, float]
"""stay, first second, last second, item, order, amount."""


def chart_bins(
    rows: Iterable[Chart], percentile: float, share: float
) -> dict[tuple[int, int], list[float | None]]:
    """The 24 bins of each stay and item, None where nothing was measured."""
    by_item: dict[int, list[Chart]] = defaultdict(list)
    for row in set(rows):
        by_item[row[2]].append(row)
    bins: dict[tuple[int, int], list[list[float]]] = defaultdict(lambda: [[] for _ in range(24)])
    for item, everything in by_item.items():
        kept = _one_unit(everything, share)
        limit = np.percentile([row[3] for row in kept], percentile)
        for stay, seconds, _, value, _unit in kept:
            hour = seconds // 3600
            if value <= limit and 0 <= hour < 48:
                bins[stay, item][hour // 2].append(value)
    return {
        key: [sum(values) / len(values) if values else None for values in filled]
        for key, filled in bins.items()
    }


def _one_unit(rows: list[Chart], share: float) -> list[Chart]:
    units = [row[4] for row in rows]
    major = max(set(units), key=units.count)
    if len(set(units)) > 1 and units.count(major) / len(units) > share:
        return [row for row in rows if row[4] == major]
    return rows


def filled(bins: Sequence[float | None]) -> list[float]:
    """Forward, then backward."""
    values = list(bins)
    for at in range(1, len(values)):
        values[at] = values[at - 1] if values[at] is None else values[at]
    for at in reversed(range(len(values) - 1)):
        values[at] = values[at + 1] if values[at] is None else values[at]
    return [value for value in values if value is not None]


def infusions(rows: Iterable[Infusion], hours: int) -> dict[tuple[int, int], list[float]]:
    """What runs in each of the 24 bins of each stay and item, 0 where nothing does."""
    orders: dict[tuple[int, int, int, int], list[tuple[int, float]]] = defaultdict(list)
    for stay, start, end, item, order, amount in rows:
        first, last = start // 3600, end // 3600
        if last > first and 0 <= first < 48:
            orders[stay, item, first // 2, order].append((min(last, hours, 48), amount))
    begun: dict[tuple[int, int], dict[int, list[tuple[float, float]]]]
    begun = defaultdict(lambda: defaultdict(list))
    for (stay, item, bin_, _), orders_of_bin in orders.items():
        last_bin = max(last for last, _ in orders_of_bin) / 2
        begun[stay, item][bin_].append(
            (last_bin, sum(amount for _, amount in orders_of_bin) / len(orders_of_bin))
        )
    return {key: _running(starts) for key, starts in begun.items()}


def _running(starts: dict[int, list[tuple[float, float]]]) -> list[float]:
    series, end, amount = [], 0.0, 0.0
    for bin_ in range(24):
        if bin_ in starts:
            here = starts[bin_]
            end = sum(last for last, _ in here) / len(here)
            amount = sum(value for _, value in here) / len(here)
        series.append(amount if end - bin_ > 0 else 0.0)
    return series
