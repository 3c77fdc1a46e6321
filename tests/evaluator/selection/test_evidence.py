"""Whether a choice beats its inputs beyond chance, and the warning where it does not."""

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from simulated_merges import GRID, Simulated, flat, simulated

from evaluator.reporting.rendering import render_document
from evaluator.selection import (
    AUPRC,
    AUROC,
    Candidate,
    CandidateEvaluator,
    GridSearch,
    Instances,
    MeanMetric,
    Metric,
    PatientFolds,
    Selection,
    SelectionSettings,
    build_selection_report,
    choice_power,
    choice_warning,
    input_contrasts,
    is_better,
    model_card_remarks,
    plot_power,
    select_candidate,
    selection_record,
)
from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.discrimination import auroc
from patientdx.errors import EvaluationError


def select(cohort: Simulated, metric: Metric = AUROC, resamples: int = 100) -> Selection:
    settings = SelectionSettings(resampling=Resampling(resamples=resamples))
    return select_candidate(GridSearch(), cohort.evaluator(), metric, settings)


def peak_at(index: int, high: float, low: float = 0.5) -> Simulated:
    """A cohort whose only good λ is that at an index of the grid."""
    seeds = (seed for seed in range(1000) if np.random.default_rng(seed).integers(11) == index)
    return simulated(next(seeds), "spike", low=low, high=high)


def test_a_merge_that_is_far_better_than_both_inputs_has_no_warning() -> None:
    result = select(peak_at(4, 0.95))
    assert result.chosen == GRID[4]
    assert choice_warning(result) is None
    assert selection_record(result)["warning"] is None
    remarks = model_card_remarks(selection_record(result))
    assert not any("Warning" in remark for remark in remarks)


def test_a_choice_worse_than_the_best_input_is_warned_of_with_its_figures() -> None:
    """As seen with small models: the choice had a held-out AUROC of .40."""
    cohort = flat(3)
    settings = SelectionSettings(resampling=Resampling(resamples=50))
    for seed in range(3, 30):
        cohort = flat(seed, patients=60, deaths=12)
        cohort.scores[:] = -cohort.scores
        result = select_candidate(GridSearch(), cohort.evaluator(), AUROC, settings)
        if result.chosen not in {GRID[0], GRID[10]}:
            break
    warning = choice_warning(result)
    assert warning is not None
    assert f"λ = {result.chosen} is not better than the best input" in warning
    assert f"{result.held_out.value:.4f}" in warning
    assert "random scores have 0.5" in warning
    (text, *_) = model_card_remarks(selection_record(result))
    assert warning in text
    document = build_selection_report({"pair": result}, {})
    assert f"warning: {warning}" in render_document(document, "text")
    assert json.loads(render_document(document, "json"))["pairs"]["pair"]["warning"] == warning


def test_a_choice_that_is_an_input_is_called_so() -> None:
    result = select(peak_at(10, 0.95))
    assert result.chosen == GRID[10]
    warning = choice_warning(result)
    assert warning is not None
    assert warning.startswith("λ = 1 is one of the inputs")


def test_the_best_input_is_the_better_one_over_the_folds_and_is_marked() -> None:
    cohort = simulated(4)
    result = select(cohort)
    folds = PatientFolds(2).split(cohort.evaluator().instances, require_both_outcomes=True)
    for contrast in result.contrasts:
        row = cohort.row(contrast.baseline)
        expected = np.mean([auroc(cohort.died[fold], row[fold]) for fold in folds])
        assert contrast.value is not None
        assert contrast.value.value == pytest.approx(expected, abs=1e-12)
    values = {contrast.baseline: contrast.value for contrast in input_contrasts(result)}
    assert values.keys() == {GRID[0], GRID[10]}
    best = input_contrasts(result)[0].baseline
    assert values[best].value == max(value.value for value in values.values() if value)  # type: ignore[union-attr]
    text = render_document(build_selection_report({"pair": result}, {}), "text")
    assert f"λ = {best}, best input" in text
    assert text.count("best input") == 1 + (choice_warning(result) or "").count("best input")


def test_a_metric_where_less_is_better_has_the_best_input_at_its_least_value() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=60)
    levels = {candidate: 2.0 - 4 * weight * (1 - weight) for candidate, weight in _weights()}

    def factory(candidate: Candidate) -> object:
        return lambda indices: (levels[candidate] + noise + 0.01 * (candidate.weight or 0))[indices]

    evaluator = CandidateEvaluator(factory, Instances.build(range(60)))  # type: ignore[arg-type]
    loss = MeanMetric("loss", lower_is_better=True)
    result = select_candidate(GridSearch(), evaluator, loss)
    assert result.chosen.weight == 0.5
    assert input_contrasts(result)[0].baseline.weight == 0
    assert choice_warning(result) is None
    higher = select_candidate(GridSearch(), evaluator, MeanMetric("loss"))
    assert higher.chosen.weight == 1
    assert input_contrasts(higher)[0].baseline.weight == 1


def _weights() -> list[tuple[Candidate, float]]:
    return [(candidate, candidate.weight or 0.0) for candidate in GRID]


def test_a_metric_without_a_test_is_judged_by_the_interval_of_the_difference() -> None:
    result = select(peak_at(4, 0.95), AUPRC)
    assert all(contrast.holm is None for contrast in result.contrasts)
    assert choice_warning(result) is None
    unsure = select(flat(0, patients=60, deaths=12), AUPRC)
    assert choice_warning(unsure) is not None
    for contrast in unsure.contrasts:
        interval = contrast.difference.interval
        assert interval is not None
        assert is_better(unsure, contrast) == (interval.low > 0)


def test_an_input_that_could_not_be_scored_leaves_the_choice_uncompared() -> None:
    cohort = peak_at(4, 0.95)
    cohort.scores[[0, 10]] = math.nan
    warning = choice_warning(select(cohort))
    assert warning == f"λ = {GRID[4]} could not be compared with an input"


def test_the_power_of_a_selection_is_that_of_delongs_test() -> None:
    result = select(simulated(5, patients=600, deaths=120), resamples=2000)
    contrast = result.contrasts[-1]
    power = choice_power(result)
    assert power is not None
    assert power.baseline.weight == 0.5
    assert power.paired.difference == contrast.difference.value != 0
    assert contrast.delong is not None
    deviation = contrast.difference.value / contrast.delong.z
    assert power.paired.spread == pytest.approx(abs(deviation) * math.sqrt(600), rel=0.05)
    normal, z = NormalDist(), abs(contrast.delong.z)
    quantile = normal.inv_cdf(0.975)
    expected = normal.cdf(z - quantile) + normal.cdf(-z - quantile)
    assert power.observed == pytest.approx(expected, abs=0.05)
    numbers = [point.n for point in power.curve()]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 60
    assert numbers[-1] == 2 * max(600, power.needed or 0)
    data = json.loads(render_document(build_selection_report({"pair": result}, {}), "json"))
    assert data["pairs"]["pair"]["power"]["needed"] == power.needed
    assert data["pairs"]["pair"]["power"]["curve"][0] == {"n": 60, "power": power.paired.at(60)}


def test_choices_that_are_the_middle_have_no_power(tmp_path: Path) -> None:
    result = select(peak_at(5, 0.99))
    assert {fold.chosen.weight for fold in result.folds} == {0.5}
    assert choice_power(result) is None
    data = json.loads(render_document(build_selection_report({"pair": result}, {}), "json"))
    assert data["pairs"]["pair"]["power"] is None
    with pytest.raises(EvaluationError, match="no power is drawn"):
        plot_power({"pair": result}, [tmp_path / "power.svg"])
    assert not (tmp_path / "power.svg").exists()


def test_a_difference_that_cannot_vary_has_no_power() -> None:
    result = select(simulated(0, patients=300, deaths=60))
    *others, last = result.contrasts
    assert not last.is_input
    fixed = last.difference._replace(standard_error=1e-12 * abs(last.difference.value))
    contrasts = (*others, replace(last, difference=fixed))
    assert choice_power(replace(result, contrasts=contrasts)) is None


def test_the_figure_of_power_names_the_number_that_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    result = select(simulated(0, patients=300, deaths=60))
    power = choice_power(result)
    assert power is not None
    plot_power({"a $pair": result}, [tmp_path / "p.svg", tmp_path / "p.png"])
    text = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert f">{power.needed:,}<" in text
    assert ">a $pair<" in text
    assert "choice against λ = 0.5" in text
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_where_no_merge_is_better_few_choices_pass_without_a_warning() -> None:
    runs = 300
    passed = sum(choice_warning(select(flat(seed), resamples=1)) is None for seed in range(runs))
    assert passed <= 0.05 * runs
