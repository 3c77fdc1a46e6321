"""Search by Optuna: over one λ and over several, repeatable, and quiet."""

from pathlib import Path

import numpy as np
import pytest

from evaluator.selection import (
    AUROC,
    LAMBDA,
    Candidate,
    CandidateEvaluator,
    Instances,
    InstanceScorer,
    MeanMetric,
    OptunaSearch,
    Range,
    ScoreStore,
    SearchSpace,
)
from patientdx import capabilities
from patientdx.errors import EvaluationError, ExtraMissingError

pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")

NOISE = np.random.default_rng(0).normal(scale=0.01, size=50)
FALLING = MeanMetric("loss", lower_is_better=True)
GROUPS = {"attn": Range(), "mlp": Range(0, 1, 0.1), "method": ("linear", "slerp")}


def make_evaluator(store: ScoreStore | None = None) -> CandidateEvaluator:
    """A loss that is least at attn 0.3, mlp 0.8, slerp; or at λ = 0.35."""

    def factory(candidate: Candidate) -> InstanceScorer:
        values = dict(candidate.values)
        if LAMBDA in values:
            loss = (float(values[LAMBDA]) - 0.35) ** 2
        else:
            attn, mlp = float(values["attn"]), float(values["mlp"])
            loss = (attn - 0.3) ** 2 + (mlp - 0.8) ** 2
            loss += values["method"] != "slerp"
            if attn > 0.9:
                loss = float("nan")
        return lambda indices: loss + NOISE[indices]

    return CandidateEvaluator(factory, Instances.build(range(50)), store=store)


def test_one_value_is_found() -> None:
    result = OptunaSearch(trials=30).search(make_evaluator(), FALLING, np.arange(50))
    assert result.chosen.weight == pytest.approx(0.35, abs=0.051)
    assert [trial.candidate.weight for trial in result.trials[:3]] == [0, 1, 0.5]


def test_groups_and_methods_are_found_and_failures_passed_over() -> None:
    result = OptunaSearch(trials=80, space=SearchSpace(GROUPS)).search(
        make_evaluator(), FALLING, np.arange(50)
    )
    chosen = dict(result.chosen.values)
    assert chosen["method"] == "slerp"
    assert (chosen["attn"], chosen["mlp"]) == pytest.approx((0.3, 0.8), abs=0.21)
    assert result.failed
    assert result.possible == 21 * 11 * 2


def test_an_interrupted_search_goes_through_the_same_trials(tmp_path: Path) -> None:
    with ScoreStore(tmp_path / "s") as store:
        OptunaSearch(trials=10).search(make_evaluator(store), FALLING, np.arange(50))
        evaluator = make_evaluator(store)
        longer = OptunaSearch(trials=15).search(evaluator, FALLING, np.arange(50))
        fresh = OptunaSearch(trials=15).search(make_evaluator(), FALLING, np.arange(50))
    assert [a.candidate for a in longer.trials] == [b.candidate for b in fresh.trials]
    assert evaluator.computed_count < evaluator.score_count


def test_it_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    OptunaSearch(trials=3).search(make_evaluator(), FALLING, np.arange(50))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


def test_all_trials_failing_is_reported() -> None:
    evaluator = CandidateEvaluator(
        lambda _: lambda indices: np.full(indices.shape, np.nan),
        Instances.build(range(4), labels=[0, 1, 0, 1]),
    )
    with pytest.raises(EvaluationError, match="not finite"):
        OptunaSearch(trials=4).search(evaluator, AUROC, np.arange(4))


def test_too_few_trials_and_no_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluationError, match="two trials"):
        OptunaSearch(trials=1).search(make_evaluator(), FALLING, np.arange(50))
    monkeypatch.setattr(capabilities, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError):
        OptunaSearch().search(make_evaluator(), FALLING, np.arange(50))
