"""Whether a choice is better than what needs no search: than the best input, beyond chance.

A merge is better than its inputs if it is better than every input: each input has to be beaten at
the level of the intervals, by the test of the metric with Holm's correction, or where the metric
has no test by an interval of the difference that excludes 0. (Berger 1982: a test that all of
several hypotheses are false needs no further correction.)
"""

from evaluator.selection.contrasts import Contrast
from evaluator.selection.metrics import AUPRC, AUROC, AUROC_HARD, value_to_maximise
from evaluator.selection.nested_selection import Selection


def input_contrasts(selection: Selection) -> list[Contrast]:
    """The contrasts with a single input, the best input first."""
    merits = [
        (value_to_maximise(selection, contrast.value.value), contrast)
        for contrast in selection.contrasts
        if contrast.is_input and contrast.value is not None
    ]
    return [contrast for _, contrast in sorted(merits, key=lambda pair: -pair[0])]


def is_better(selection: Selection, contrast: Contrast) -> bool:
    """Whether the choices are better than a control beyond chance."""
    if not value_to_maximise(selection, contrast.difference.value) > 0:
        return False
    if contrast.holm is not None:
        return contrast.holm < 1 - selection.resampling.level
    interval = contrast.difference.interval
    return interval is not None and not interval.low <= 0 <= interval.high


def choice_warning(selection: Selection) -> str | None:
    """A sentence that says that the choice is no better than an input beyond chance, or None."""
    inputs = input_contrasts(selection)
    unbeaten = [contrast for contrast in inputs if not is_better(selection, contrast)]
    if inputs and not unbeaten:
        return None
    chosen = f"λ = {selection.chosen}"
    if not inputs:
        return f"{chosen} could not be compared with an input"
    if any(selection.chosen == contrast.baseline for contrast in inputs):
        start = f"{chosen} is one of the inputs, and no merge that was tried is better"
    else:
        place = "the best input" if unbeaten[0] is inputs[0] else "the input at"
        start = f"{chosen} is not better than {place} λ = {unbeaten[0].baseline} beyond chance"
    return f"{start}: {_figures(selection, unbeaten[0])}"


def chance_level(selection: Selection, metric: str) -> float | None:
    """The metric of random scores; None if it has no such level."""
    if metric in {AUROC.name, AUROC_HARD.name}:
        return 0.5
    if metric == AUPRC.name and selection.deaths is not None:
        return selection.deaths / selection.n
    return None


def _figures(selection: Selection, contrast: Contrast) -> str:
    """The held-out metric of both, the p-value, and the level of chance where it is not passed."""
    held_out, value = selection.held_out.value, contrast.value
    parts = [f"{selection.metric} held out {held_out:.4f}"]
    if value is not None:
        parts[0] += f" against {value.value:.4f}"
    if contrast.holm is not None:
        parts.append(f"p = {contrast.holm:.2g} (Holm)")
    chance = chance_level(selection, selection.metric)
    if chance is not None and held_out <= chance:
        parts.append(f"and random scores have {chance:.4g}")
    return ", ".join(parts)
