"""Scores are computed once, kept on disk, found again, and never mixed up."""

import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from paths import ROOT, SUPPORT

from evaluator.selection import (
    AUROC,
    Candidate,
    CandidateEvaluator,
    GridSearch,
    Indices,
    Instances,
    InstanceScores,
    Perplexity,
    ScoreStore,
    build_metric,
    lambda_grid,
)
from evaluator.selection.metrics import metric_value
from patientdx.errors import CacheError, EvaluationError

SIZE = 40
LABELS = [1] * 10 + [0] * 30
INSTANCES = Instances.build([f"patient-{number}" for number in range(SIZE)], labels=LABELS)
Floats = npt.NDArray[np.float64]


class Counting:
    """A factory that counts; λ is the score's slope."""

    def __init__(self) -> None:
        self.made: list[Candidate] = []
        self.scored = 0

    def __call__(self, candidate: Candidate) -> Callable[[Indices], Floats]:
        self.made.append(candidate)

        def score(indices: Indices) -> Floats:
            assert self.made[-1] == candidate  # the weights of another λ would be live
            self.scored += indices.size
            return indices.astype(np.float64) * (candidate.weight or 0.0)

        return score


def make_evaluator(
    factory: Counting, store: ScoreStore | None = None, **settings: Any
) -> CandidateEvaluator:
    return CandidateEvaluator(factory, INSTANCES, store=store, **settings)


def test_nothing_is_computed_twice() -> None:
    factory = Counting()
    evaluator = make_evaluator(factory)
    half, all_ = np.arange(0, SIZE, 2), np.arange(SIZE)
    evaluator.score(Candidate.at_lambda(0.5), half)
    result = evaluator.score(Candidate.at_lambda(0.5), all_)
    assert result is not None
    np.testing.assert_array_equal(result.scores, all_ * 0.5)
    assert factory.scored == evaluator.score_count == evaluator.computed_count == SIZE
    assert factory.made == [Candidate.at_lambda(0.5)]


def test_a_candidate_is_made_ready_again_after_another() -> None:
    factory = Counting()
    evaluator = make_evaluator(factory)
    first, second = Candidate.at_lambda(0.1), Candidate.at_lambda(0.2)
    evaluator.score(first, np.arange(5))
    evaluator.score(second, np.arange(5))
    evaluator.score(first, np.arange(10))
    assert factory.made == [first, second, first]


def test_a_second_search_finds_its_scores_in_the_file(tmp_path: Path) -> None:
    progress: list[int] = []
    with ScoreStore(tmp_path / "deep" / "scores.sqlite") as store:
        GridSearch().search(make_evaluator(Counting(), store, digest="a"), AUROC, np.arange(SIZE))
        assert len(store) == 11 * SIZE
    with ScoreStore(tmp_path / "deep" / "scores.sqlite") as store:
        again = Counting()
        evaluator = make_evaluator(again, store, digest="a", on_progress=progress.append)
        GridSearch().search(evaluator, AUROC, np.arange(SIZE))
        assert again.made == []
        assert (evaluator.score_count, evaluator.computed_count, sum(progress)) == (
            11 * SIZE,
            0,
            11 * SIZE,
        )
        other = Counting()
        GridSearch().search(make_evaluator(other, store, digest="b"), AUROC, np.arange(SIZE))
        assert other.scored == 11 * SIZE


def test_scores_are_found_by_what_was_scored_not_by_place(tmp_path: Path) -> None:
    with ScoreStore(tmp_path / "s") as store:
        CandidateEvaluator(
            Counting(), Instances.build("abc", keys=["x", "y", "z"]), store=store
        ).score(Candidate.at_lambda(1), np.arange(3))
        turned = Instances.build("cb", keys=["z", "y"])
        result = CandidateEvaluator(Counting(), turned, store=store).score(
            Candidate.at_lambda(1), np.arange(2)
        )
        assert result is not None
        assert result.scores.tolist() == [2, 1]


def test_scores_that_are_not_finite_and_answers_are_kept(tmp_path: Path) -> None:
    given = InstanceScores(np.array([0.1, np.nan, np.inf, 1e-300]), np.array([0, 1, 0.5, 1]))
    four = Instances.build(range(4))
    with ScoreStore(tmp_path / "s") as store:
        CandidateEvaluator(lambda _: lambda _: given, four, store=store).score_all(
            Candidate.at_lambda(0)
        )
    with ScoreStore(tmp_path / "s") as store:
        again = CandidateEvaluator(lambda _: pytest.fail("asked again"), four, store=store)
        result = again.score_all(Candidate.at_lambda(0))
        np.testing.assert_array_equal(result.scores, given.scores)
        np.testing.assert_array_equal(result.answers, given.answers)
        assert again.failed == {Candidate.at_lambda(0)}


def test_a_failing_candidate_stops_costing() -> None:
    calls: list[int] = []

    def scorer(indices: Indices) -> Floats:
        calls.append(indices.size)
        return np.full(indices.size, np.nan)

    evaluator = CandidateEvaluator(lambda _: scorer, INSTANCES, batch_size=10)
    assert evaluator.score(Candidate.at_lambda(0), np.arange(SIZE)) is None
    assert evaluator.score(Candidate.at_lambda(0), np.arange(SIZE)) is None
    assert calls == [10]


@pytest.mark.parametrize(
    "bad", [[1.0], [[1.0, 2.0]], InstanceScores(np.ones(2), np.array([0, 2.0]))]
)
def test_scorers_that_do_not_answer_the_question_are_refused(bad: Any) -> None:
    evaluator = CandidateEvaluator(lambda _: lambda _: bad, Instances.build("ab"))
    with pytest.raises(EvaluationError):
        evaluator.score(Candidate.at_lambda(0), np.arange(2))


def test_the_file_is_its_owner_s_and_holds_no_names(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        make_evaluator(Counting(), store).score(Candidate.at_lambda(0), np.arange(SIZE))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"patient-" not in path.read_bytes()


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with ScoreStore(path) as store:
        make_evaluator(Counting(), store).score(Candidate.at_lambda(0), np.arange(SIZE))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE scores SET score = score + 1")
    connection.commit()
    connection.close()
    with ScoreStore(path) as store, pytest.raises(CacheError, match="damaged"):
        make_evaluator(Counting(), store).score(Candidate.at_lambda(0), np.arange(SIZE))
    path.write_bytes(b"SQLite format 3\0" + b"\1" * 4000)
    with pytest.raises(CacheError):
        ScoreStore(path)
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE a (b)").connection.close()
    with pytest.raises(CacheError, match="no file of scores"):
        ScoreStore(tmp_path / "other")


def test_a_killed_search_goes_on_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path[:0] = {[str(Path(__file__).parent), str(SUPPORT), str(ROOT)]!r}
        import numpy as np
        from test_candidate_evaluator import *
        left = [170]
        class Dying(Counting):
            def __call__(self, candidate):
                score = super().__call__(candidate)
                def dying(places):
                    left[0] -= places.size
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return score(places)
                return dying
        with ScoreStore({str(path)!r}) as store:
            dying = make_evaluator(Dying(), store, batch_size=8)
            GridSearch().search(dying, AUROC, np.arange(SIZE))
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with ScoreStore(path) as store:
        assert len(store) == 168
        factory = Counting()
        result = GridSearch().search(make_evaluator(factory, store), AUROC, np.arange(SIZE))
        assert factory.scored == 11 * SIZE - 168
    whole = GridSearch().search(make_evaluator(Counting()), AUROC, np.arange(SIZE))
    assert [trial.value for trial in result.trials] == [trial.value for trial in whole.trials]


def test_candidates_have_names_and_one_spelling() -> None:
    assert [str(candidate) for candidate in lambda_grid()][:4] == ["0", "0.1", "0.2", "0.3"]
    assert Candidate.at_lambda(3 * 0.1) == Candidate.at_lambda(0.3)
    assert Candidate.from_values({"mlp": 0.5, "attn": 0.25}) == Candidate.from_values(
        {"attn": 0.25, "mlp": 0.5}
    )
    assert str(Candidate.from_values({"mlp": 0.5, "method": "slerp"})) == "method slerp, mlp 0.5"
    assert Candidate.from_values({"mlp": 0.5}).weight is None
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(EvaluationError):
            Candidate.at_lambda(bad)
    for step in (0.3, 0, -1, 2):
        with pytest.raises(EvaluationError):
            lambda_grid(step)
    with pytest.raises(EvaluationError, match="twice"):
        GridSearch((*lambda_grid(), Candidate.at_lambda(0))).search(
            make_evaluator(Counting()), AUROC, np.arange(9)
        )


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    texts = Instances.build("ab", sizes=[10, 30])
    losses = InstanceScores(np.array([1.0, 2.0]))
    assert metric_value(Perplexity(), texts, losses) == pytest.approx(np.exp(70 / 40))
    with pytest.raises(EvaluationError, match="tokens"):
        metric_value(Perplexity(), Instances.build("ab"), losses)


@pytest.mark.parametrize(
    "bad",
    [
        {"patients": ""},
        {"patients": "ab", "labels": [1]},
        {"patients": "ab", "labels": [1, 2]},
        {"patients": "ab", "keys": ["x", "x"]},
        {"patients": "ab", "sizes": [1, 0]},
    ],
)
def test_instances_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError):
        Instances.build(**bad)


def test_metrics_go_by_name() -> None:
    assert build_metric("stays") == build_metric("stays", "auroc") == AUROC
    with pytest.raises(EvaluationError, match="`accuracy` is not a metric of mortality"):
        build_metric("stays", "accuracy")
