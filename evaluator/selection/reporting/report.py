"""The report of selections: what was chosen, what it is worth, how candidates compare."""

from collections.abc import Mapping
from typing import Any

from evaluator.reporting.cells import Grid, one_line
from evaluator.reporting.documents import Document, Part
from evaluator.selection.judging import Judged, Point
from evaluator.selection.privacy import bits_leaked
from evaluator.selection.selection import Contrast, Selection
from patientdx.errors import EvaluationError

_CHOICE = (
    "Apparent: on all {unit}, which chose it; held out: mean over folds, each judged by the choice "
    "made without it; optimism: how much better the first looks."
)
_CONTRASTS = (
    "The choices, held out, minus one λ on the same {unit}. {test}; Holm over the rows of a pair."
)
_DELONG = "z and p: DeLong's paired test, variances summed over folds"
_RANDOMISED = "p: paired randomisation test by {unit}, as the mean over folds counts them"


def build_selection_report(
    selections: Mapping[str, Selection], notes: Mapping[str, str]
) -> Document:
    """A report of one selection a pair, all by the same metric. Raises EvaluationError for none."""
    if len({one.metric for one in selections.values()}) != 1:
        raise EvaluationError("a report needs one selection or more, all by the same metric")
    first = next(iter(selections.values()))
    parts = [
        Part("Choice", _choices(selections), _CHOICE.format(unit=first.unit)),
        Part(_against(selections), _contrasts(selections), _tested(first)),
        *(
            Part(f"Every λ: {one_line(pair)}", _curve(one), _curve_note(one))
            for pair, one in selections.items()
        ),
    ]
    resampling = first.resampling
    method = (
        f"[low, high]: {resampling.level * 100:g}% percentile bootstrap by {first.unit}, "
        f"{resampling.resamples:,} resamples, seed {resampling.seed}; choices are taken as given. "
        f"{len(first.folds)} folds by {first.unit}"
        f"{'' if first.deaths is None else ' and outcome'}, seed {first.seed}."
    )
    data = {"pairs": {pair: selection_data(one) for pair, one in selections.items()}}
    return Document(f"Search for λ by {first.metric}", tuple(parts), notes, method, data)


def selection_data(one: Selection) -> dict[str, Any]:
    """A selection in full, as plain values: figures of the cohort, nothing of any patient."""
    return {
        "metric": one.metric,
        "strategy": one.search.strategy,
        "chosen": _values(one),
        "apparent": judged_data(one.apparent),
        "held_out": judged_data(one.held_out),
        "optimism": judged_data(one.optimism),
        "folds": [
            {
                "chosen": dict(fold.chosen.values),
                "apparent": fold.apparent,
                "held_out": fold.held_out,
                "n": fold.n,
                "deaths": fold.deaths,
            }
            for fold in one.folds
        ],
        "contrasts": [_contrast_data(each) for each in one.contrasts],
        "wins": [
            {"candidate": dict(each.values), "share": share} for each, share in one.wins.items()
        ],
        "curves": {
            name: [_point_data(each) for each in points] for name, points in one.curves.items()
        },
        "failed": [dict(each.values) for each in one.search.failed],
        "n": one.n,
        "patients": one.patients,
        "unit": one.unit,
        "deaths": one.deaths,
        "evaluations": one.search.evaluations,
        "exhaustive": one.search.exhaustive,
        "bits_leaked": bits_of(one),
    }


def bits_of(one: Selection) -> float:
    """log2 of how many candidates might have been chosen.

    A search whose trials depend on the patients tells by its choice also what it tried.
    """
    return bits_leaked(one.search.possible)


def judged_data(one: Judged) -> dict[str, float | None]:
    """A figure and its interval as plain values."""
    low, high = one.interval or (None, None)
    return {"value": one.value, "low": low, "high": high}


def shown(one: Judged, *, signed: bool = False) -> str:
    """A figure and its interval for a table."""
    sign = "+" if signed else ""
    if one.interval is None:
        return f"{one.value:{sign}.4f}"
    return f"{one.value:{sign}.4f} [{one.interval.low:{sign}.4f}, {one.interval.high:{sign}.4f}]"


def grid(header: list[str], rows: list[list[str]], words: int = 1) -> Grid:
    """Cells of a table."""
    return Grid(tuple(tuple(one_line(cell) for cell in cells) for cells in [header, *rows]), words)


def _choices(selections: Mapping[str, Selection]) -> Grid:
    header = [
        *("pair", "strategy", "n", "deaths", "λ", "λ by fold", "apparent", "held out"),
        *("optimism", "scores needed", "of all", "bits told"),
    ]
    rows = [
        [
            pair,
            one.search.strategy,
            f"{one.n:,}",
            "-" if one.deaths is None else f"{one.deaths:,}",
            str(one.chosen),
            " / ".join(str(fold.chosen) for fold in one.folds),
            shown(one.apparent),
            shown(one.held_out),
            shown(one.optimism, signed=True),
            f"{one.search.evaluations:,}",
            f"{one.search.evaluations / one.search.exhaustive:.1%}",
            f"{bits_of(one):.2f}",
        ]
        for pair, one in selections.items()
    ]
    return grid(header, rows, words=2)


def _contrasts(selections: Mapping[str, Selection]) -> Grid:
    rows = [
        [
            pair,
            f"λ = {each.baseline}",
            shown(each.difference, signed=True),
            *_test(each),
        ]
        for pair, one in selections.items()
        for each in one.contrasts
    ]
    return grid(["pair", "against", "difference", "z", "p", "p (Holm)"], rows, words=2)


def _against(selections: Mapping[str, Selection]) -> str:
    found = [each.baseline for one in selections.values() for each in one.contrasts]
    if any(one.weight is None for one in found):
        return "Against each model alone, and all alike"
    return "Against both inputs and the middle"


def _tested(one: Selection) -> str:
    test = _DELONG if one.deaths is not None else _RANDOMISED.format(unit=one.unit)
    return _CONTRASTS.format(unit=one.unit, test=test)


def _test(one: Contrast) -> list[str]:
    if one.p is None or one.holm is None:
        return ["-", "-", "-"]
    z = "-" if one.delong is None else f"{one.delong.z:+.2f}"
    return [z, f"{one.p:.3g}", f"{one.holm:.3g}"]


def _curve(one: Selection) -> Grid:
    names = list(one.curves)
    by_metric = {name: {p.candidate: p for p in points} for name, points in one.curves.items()}
    rows = []
    for tried in one.search.tried:
        points = [by_metric[name].get(tried.candidate) for name in names]
        cells = ["-" if point is None else shown(point.judged) for point in points]
        wins = one.wins.get(tried.candidate, 0.0)
        mark = " *" if tried.candidate == one.chosen else ""
        rows.append([f"{tried.candidate}{mark}", f"{tried.places.size:,}", *cells, f"{wins:.1%}"])
    rows += [[f"{each}", "-", *("failed" for _ in names), "-"] for each in one.search.failed]
    return grid(["λ", "n", *names, "wins"], rows)


def _curve_note(one: Selection) -> str:
    return (
        "*: chosen. wins: how often it is the best over resamples of the "
        f"{one.search.shared.size:,} instances that all were scored on."
    )


def _values(one: Selection) -> dict[str, Any]:
    return dict(one.chosen.values)


def _contrast_data(one: Contrast) -> dict[str, Any]:
    test = None if one.delong is None else {"z": _finite(one.delong.z), "p": one.delong.p}
    return {
        "baseline": dict(one.baseline.values),
        "difference": judged_data(one.difference),
        "delong": test,
        "randomisation": None if one.randomisation is None else one.randomisation._asdict(),
        "holm": one.holm,
    }


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _point_data(one: Point) -> dict[str, Any]:
    return {"candidate": dict(one.candidate.values), "n": one.n, **judged_data(one.judged)}
