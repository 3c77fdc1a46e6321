"""The report of selections: the choices, their estimates, and all candidates compared."""

from collections.abc import Mapping
from typing import Any

from evaluator.reporting.documents import Document, DocumentPart
from evaluator.reporting.text_table import TextTable, one_line
from evaluator.selection.contrasts import Contrast
from evaluator.selection.estimates import CandidateEstimate
from evaluator.selection.evidence.power import choice_power
from evaluator.selection.evidence.verdict import choice_warning, input_contrasts
from evaluator.selection.nested_selection import Selection
from evaluator.selection.privacy import bits_leaked
from patientdx.errors import EvaluationError
from patientdx.wording import count_noun

from .estimate_format import estimate_data, format_estimate
from .power_tables import power_data, power_part
from .proxy_tables import proxy_data, proxy_part
from .retention_tables import retention_data, retention_part

_CHOICE = (
    "Apparent: on all {unit}, which chose it; held out: mean over folds, each judged by the choice "
    "made without it; optimism: how much better the first looks."
)
_CONTRASTS = (
    "Value: of a λ that needs no search, on the same folds; difference: the choices, held out, "
    "minus it. {test}; Holm over the rows of a pair."
)
_DELONG = "z and p: DeLong's paired test, variances summed over folds"
_RANDOMISED = "p: paired randomisation test by {unit}, as the mean over folds counts them"


def build_selection_report(
    selections: Mapping[str, Selection], notes: Mapping[str, str]
) -> Document:
    """The report of one selection per pair, all by the same metric. Raises EvaluationError."""
    if len({selection.metric for selection in selections.values()}) != 1:
        raise EvaluationError("a report needs one selection or more, all by the same metric")
    first = next(iter(selections.values()))
    parts = [
        DocumentPart("Choice", _choices(selections), _CHOICE.format(unit=first.unit)),
        DocumentPart(_contrasts_title(selections), _contrasts(selections), _contrasts_note(first)),
        power_part(selections),
        *(
            DocumentPart(f"Every λ: {one_line(pair)}", _curve(selection), _curve_note(selection))
            for pair, selection in selections.items()
        ),
        *(
            retention_part(pair, selection, curve)
            for pair, selection in selections.items()
            for curve in selection.retention
        ),
        *([proxy_part(selections)] if any(known.proxies for known in selections.values()) else []),
    ]
    resampling = first.resampling
    method = (
        f"[low, high]: {resampling.level * 100:g}% percentile bootstrap by {first.unit}, "
        f"{count_noun(resampling.resamples, 'resample')}, seed {resampling.seed}; choices are "
        f"taken as given. {len(first.folds)} folds by {first.unit}"
        f"{'' if first.deaths is None else ' and outcome'}, seed {first.seed}."
    )
    data = {"pairs": {pair: selection_data(known) for pair, known in selections.items()}}
    notes = {**notes, **_warning_notes(selections)}
    return Document(f"Search for λ by {first.metric}", tuple(parts), notes, method, data)


def selection_data(selection: Selection) -> dict[str, Any]:
    """A selection as plain values: statistics of the cohort, nothing about any patient."""
    return {
        "metric": selection.metric,
        "strategy": selection.search.strategy,
        "chosen": dict(selection.chosen.values),
        "apparent": estimate_data(selection.apparent),
        "held_out": estimate_data(selection.held_out),
        "optimism": estimate_data(selection.optimism),
        "folds": [
            {
                "chosen": dict(fold.chosen.values),
                "apparent": fold.apparent,
                "held_out": fold.held_out,
                "n": fold.n,
                "deaths": fold.deaths,
            }
            for fold in selection.folds
        ],
        "contrasts": [_contrast_data(contrast) for contrast in selection.contrasts],
        "warning": choice_warning(selection),
        "power": power_data(choice_power(selection)),
        "retention": [retention_data(selection, curve) for curve in selection.retention],
        "proxies": [proxy_data(proxy) for proxy in selection.proxies],
        "wins": [
            {"candidate": dict(candidate.values), "share": share}
            for candidate, share in selection.wins.items()
        ],
        "curves": {
            name: [_curve_point(point) for point in points]
            for name, points in selection.curves.items()
        },
        "failed": [dict(candidate.values) for candidate in selection.search.failed],
        "n": selection.n,
        "patients": selection.patients,
        "unit": selection.unit,
        "deaths": selection.deaths,
        "evaluations": selection.search.evaluations,
        "exhaustive": selection.search.exhaustive,
        "bits_leaked": revealed_bits(selection),
    }


def revealed_bits(selection: Selection) -> float:
    """log2 of the number of candidates that might have been chosen.

    If the trials of a search depend on the patients, its choice also reveals what it tried; so
    all possible candidates count, not only those tried.
    """
    return bits_leaked(selection.search.possible)


def _choices(selections: Mapping[str, Selection]) -> TextTable:
    header = [
        *("pair", "strategy", "n", "deaths", "λ", "λ by fold", "apparent", "held out"),
        *("optimism", "scores needed", "of all", "bits revealed"),
    ]
    rows = [
        [
            pair,
            selection.search.strategy,
            f"{selection.n:,}",
            "-" if selection.deaths is None else f"{selection.deaths:,}",
            str(selection.chosen),
            " / ".join(str(fold.chosen) for fold in selection.folds),
            format_estimate(selection.apparent),
            format_estimate(selection.held_out),
            format_estimate(selection.optimism, signed=True),
            f"{selection.search.evaluations:,}",
            f"{selection.search.evaluations / selection.search.exhaustive:.1%}",
            f"{revealed_bits(selection):.2f}",
        ]
        for pair, selection in selections.items()
    ]
    return TextTable.build(header, rows, words=2)


def _contrasts(selections: Mapping[str, Selection]) -> TextTable:
    rows = []
    for pair, selection in selections.items():
        best = next(iter(input_contrasts(selection)), None)
        for contrast in selection.contrasts:
            mark = ", best input" if contrast is best else ""
            value = "-" if contrast.value is None else format_estimate(contrast.value)
            difference = format_estimate(contrast.difference, signed=True)
            control = f"λ = {contrast.baseline}{mark}"
            rows.append([pair, control, value, difference, *_test_cells(contrast)])
    header = ["pair", "against", "value", "difference", "z", "p", "p (Holm)"]
    return TextTable.build(header, rows, words=2)


def _warning_notes(selections: Mapping[str, Selection]) -> dict[str, str]:
    """The warning of each choice that has one."""
    warnings = {pair: choice_warning(selection) for pair, selection in selections.items()}
    return {
        f"warning for {pair}" if len(selections) > 1 else "warning": warning
        for pair, warning in warnings.items()
        if warning is not None
    }


def _contrasts_title(selections: Mapping[str, Selection]) -> str:
    baselines = [
        contrast.baseline for selection in selections.values() for contrast in selection.contrasts
    ]
    if any(baseline.weight is None for baseline in baselines):
        return "Against each model alone, and all alike"
    return "Against both inputs and the middle"


def _contrasts_note(selection: Selection) -> str:
    unit = selection.unit
    test = _DELONG if selection.deaths is not None else _RANDOMISED.format(unit=unit)
    return _CONTRASTS.format(unit=unit, test=test)


def _test_cells(contrast: Contrast) -> list[str]:
    if contrast.p is None or contrast.holm is None:
        return ["-", "-", "-"]
    z = "-" if contrast.delong is None else f"{contrast.delong.z:+.2f}"
    return [z, f"{contrast.p:.3g}", f"{contrast.holm:.3g}"]


def _curve(selection: Selection) -> TextTable:
    names = list(selection.curves)
    by_metric = {
        name: {point.candidate: point for point in points}
        for name, points in selection.curves.items()
    }
    rows = []
    for trial in selection.search.trials:
        points = [by_metric[name].get(trial.candidate) for name in names]
        cells = ["-" if point is None else format_estimate(point.estimate) for point in points]
        wins = selection.wins.get(trial.candidate, 0.0)
        mark = " *" if trial.candidate == selection.chosen else ""
        rows.append([f"{trial.candidate}{mark}", f"{trial.indices.size:,}", *cells, f"{wins:.1%}"])
    failed = selection.search.failed
    rows += [[f"{candidate}", "-", *("failed" for _ in names), "-"] for candidate in failed]
    return TextTable.build(["λ", "n", *names, "wins"], rows)


def _curve_note(selection: Selection) -> str:
    return (
        "*: chosen. wins: how often it is the best over resamples of the "
        f"{selection.search.shared.size:,} instances that all were scored on."
    )


def _contrast_data(contrast: Contrast) -> dict[str, Any]:
    delong, randomisation = contrast.delong, contrast.randomisation
    return {
        "baseline": dict(contrast.baseline.values),
        "is_input": contrast.is_input,
        "value": None if contrast.value is None else estimate_data(contrast.value),
        "difference": estimate_data(contrast.difference),
        "delong": None if delong is None else {"z": _finite(delong.z), "p": delong.p},
        "randomisation": None if randomisation is None else randomisation._asdict(),
        "holm": contrast.holm,
    }


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _curve_point(point: CandidateEstimate) -> dict[str, Any]:
    return {
        "candidate": dict(point.candidate.values),
        "n": point.n,
        **estimate_data(point.estimate),
    }
