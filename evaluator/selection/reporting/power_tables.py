"""Power in reports: how many patients would distinguish the choices from λ = ½."""

from collections.abc import Mapping

from evaluator.reporting.documents import DocumentPart
from evaluator.reporting.text_table import TextTable
from evaluator.selection.evidence.power import ChoicePower, choice_power
from evaluator.selection.nested_selection import Selection
from evaluator.statistics.power import TARGET_POWER

_NOTE = (
    "Whether more {unit} would distinguish the choices, held out, from the merge that needs no "
    "search. Power of the two-sided test at {alpha:.2g}: Φ(√n |difference| / spread - z), if the "
    "true difference is the one seen; spread: √n times its standard error. Shown at n: the least "
    "difference that the n at hand would show with 80 % power."
)
_HEADER = ["pair", "against", "difference", "spread", "n", "power", "n for 80 %", "shown at n"]


def power_part(selections: Mapping[str, Selection]) -> DocumentPart:
    """The table of the power of all pairs."""
    rows = [[pair, *_cells(choice_power(selection))] for pair, selection in selections.items()]
    first = next(iter(selections.values()))
    note = _NOTE.format(unit=first.unit, alpha=1 - first.resampling.level)
    return DocumentPart("Power", TextTable.build(_HEADER, rows, words=2), note)


def power_data(power: ChoicePower | None) -> dict[str, object] | None:
    """The power as plain values: statistics of the cohort, nothing about any patient."""
    if power is None:
        return None
    return {
        "baseline": dict(power.baseline.values),
        "difference": power.paired.difference,
        "spread": power.paired.spread,
        "n": power.n,
        "power": power.observed,
        "target": TARGET_POWER,
        "needed": power.needed,
        "detectable": power.detectable,
        "curve": [point._asdict() for point in power.curve()],
    }


def _cells(power: ChoicePower | None) -> list[str]:
    if power is None:
        return ["-"] * (len(_HEADER) - 1)
    return [
        f"λ = {power.baseline}",
        f"{power.paired.difference:+.4f}",
        f"{power.paired.spread:.4f}",
        f"{power.n:,}",
        f"{power.observed:.1%}",
        "-" if power.needed is None else f"{power.needed:,}",
        f"{power.detectable:.4f}",
    ]
