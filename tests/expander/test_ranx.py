"""Fusion against ranx: ours equals its own to 1e-9, and the rest is ranx."""

import warnings
from typing import Any

import numpy as np
import pytest

from expander.fusion.fusion import Fusion
from expander.fusion.ranx import RanxFusion
from expander.fusion.registry import make_fusion
from expander.fusion.rrf import RRF
from expander.fusion.score_fusion import ScoreFusion
from patientdx.errors import InputError, UsageError
from patientdx.records import Hit, Run, float32, ranked

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ranx = pytest.importorskip("ranx", reason="ranx is not installed (extra report)")


def random_runs(seed: int, runs: int, *, queries: int = 12, hits: int = 40) -> list[Run]:
    """Runs without ties, which ranx orders by chance; their scores are float32 as ours are."""
    rng = np.random.default_rng(seed)
    return [
        {
            f"q{query}": ranked(
                {
                    f"d{doc}": float32(score)
                    for doc, score in zip(
                        rng.choice(80, rng.integers(1, hits), replace=False).tolist(),
                        (rng.permutation(10_000)[:hits] / 97 - 3 * query).tolist(),
                        strict=False,
                    )
                }
            )
            for query in range(queries)
        }
        for _ in range(runs)
    ]


def by_ranx(runs: list[Run], method: str, norm: str | None, **params: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [ranx.Run({q: dict(hits) for q, hits in run.items()}) for run in runs]
        fused = ranx.fuse(theirs, norm=norm, method=method, params=params or None)
    return {query_id: dict(scores) for query_id, scores in fused.run.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [2, 3])
def test_rrf_equals_ranx(seed: int, count: int) -> None:
    runs = random_runs(seed, count)
    ours = dict(RRF().fused_scores(runs))
    theirs = by_ranx(runs, "rrf", None, k=60)
    for query_id, scores in theirs.items():
        assert ours[query_id] == pytest.approx(scores, abs=1e-9, rel=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("norm", "theirs"), [("min-max", "min-max"), ("z-score", "zmuv")])
def test_score_fusion_equals_ranx(seed: int, norm: Any, theirs: str) -> None:
    runs = random_runs(seed, 3)
    weights = [0.2, 1.0, 3.5]
    ours = dict(ScoreFusion(norm, tuple(weights)).fused_scores(runs))
    for query_id, scores in by_ranx(runs, "wsum", theirs, weights=weights).items():
        assert ours[query_id] == pytest.approx(scores, abs=1e-9, rel=0)


@pytest.mark.parametrize(("norm", "theirs"), [("min-max", "min-max"), ("z-score", "zmuv")])
def test_equal_scores_and_single_hits_equal_ranx(norm: Any, theirs: str) -> None:
    same = float32(0.1)
    runs: list[Run] = [
        {
            "same": [Hit(f"d{number}", same) for number in range(7, 0, -1)],
            "one": [Hit("d1", 4.5)],
        },
        {
            "same": [Hit("d9", 3.0), Hit("d1", 1.0)],
            "one": [Hit("d2", -1.0)],
        },
    ]
    ours = dict(ScoreFusion(norm, (1.0, 2.0)).fused_scores(runs))
    for query_id, scores in by_ranx(runs, "wsum", theirs, weights=[1.0, 2.0]).items():
        assert ours[query_id] == pytest.approx(scores, abs=1e-9, rel=0)
    assert ours["one"] == {"d1": 0.0, "d2": 0.0}


@pytest.mark.parametrize(
    ("method", "params"),
    [("mnz", {}), ("isr", {}), ("bordafuse", {}), ("rbc", {"phi": 0.8}), ("gmnz", {"gamma": 2.0})],
)
def test_other_fusions_equal_ranx(method: str, params: dict[str, Any]) -> None:
    runs = random_runs(5, 2)
    fusion: Fusion = make_fusion(method, norm="max", params=params)
    fused = fusion.fuse(runs, 5)
    for query_id, scores in by_ranx(runs, method, "max", **params).items():
        assert fused[query_id] == ranked(scores)[:5]


def test_weights_are_a_parameter_of_ranx_s_weighted_methods() -> None:
    runs = random_runs(6, 2)
    fused = make_fusion("wmnz", weights=[0.3, 0.7]).fuse(runs)
    theirs = by_ranx(runs, "wmnz", "min-max", weights=[0.3, 0.7])
    assert fused == {query_id: ranked(scores) for query_id, scores in theirs.items()}


def test_parameters_are_fitted_on_judged_runs() -> None:
    runs = random_runs(7, 2)
    qrels = {query_id: {hits[0].doc_id: 1} for query_id, hits in runs[0].items()}
    trained = RanxFusion("mapfuse").fit(qrels, runs)
    assert list(trained.params) == ["map_scores"]
    fused = trained.fuse(runs)
    # The first run is always right, so its first hits come first.
    assert [hits[0].doc_id for hits in fused.values()] == [
        hits[0].doc_id for hits in runs[0].values()
    ]


def test_queries_without_hits_and_runs_without_hits() -> None:
    run: Run = {"q1": [Hit("a", 2.0), Hit("b", 1.0)], "q2": []}
    other: Run = {"q1": [], "q3": [Hit("c", 1.0)]}
    fused = RanxFusion("sum", "none").fuse([run, other])
    assert fused == {"q1": [Hit("a", 2.0), Hit("b", 1.0)], "q2": [], "q3": [Hit("c", 1.0)]}
    assert RanxFusion("sum").fuse([{"q": []}, {}]) == {"q": []}
    with pytest.raises(InputError, match="without a single hit"):
        RanxFusion("sum").fuse([run, {"q1": []}])
    with pytest.raises(InputError, match="zmuv"):  # where ranx 0.3.21 forgets other queries
        RanxFusion("sum", "zmuv").fuse([run, other])


def test_parameters_are_checked_before_ranx_sees_them() -> None:
    runs = random_runs(8, 2)
    with pytest.raises(InputError, match="`rbc` needs `phi`"):
        RanxFusion("rbc").fuse(runs)
    with pytest.raises(InputError, match="`mnz` has no parameter `phi`"):
        RanxFusion("mnz", params={"phi": 1.0}).fuse(runs)
    with pytest.raises(InputError, match="two runs or more"):
        RanxFusion("mnz").fuse(runs[:1])
    with pytest.raises(UsageError, match="unknown norm"):
        RanxFusion("mnz", norm="l2")
