"""Fusion against formulas written out here: ranks, norms, absent notes, order of ties."""

import gc
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander.fusion.ranking import rank_hits
from expander.fusion.registry import make_fusion
from expander.fusion.rrf import RRF
from expander.fusion.score_fusion import Norm, ScoreFusion
from patientdx.errors import ExtraMissingError, InputError
from patientdx.records import Hit, Run, ranked

ids = st.sampled_from([f"d{number}" for number in range(30)] + ["é", "𝒳", "\uffee"])
scores = st.dictionaries(ids, st.sampled_from([0.1, 0.25, 1.0, 2.5, 3.0, 7.125]), max_size=20)
lists = scores.map(ranked)
several = st.lists(lists, min_size=1, max_size=4)


def run_of(hits: list[Hit]) -> Run:
    return {"q": hits}


def rrf_by_hand(runs: list[list[Hit]], k: float, weights: list[float]) -> dict[str, float]:
    doc_ids = {hit.doc_id for hits in runs for hit in hits}
    fused = {}
    for doc_id in doc_ids:
        fused[doc_id] = 0.0
        for hits, weight in zip(runs, weights, strict=True):
            for rank, hit in enumerate(hits, start=1):
                if hit.doc_id == doc_id:
                    fused[doc_id] += weight / (k + rank)
    return fused


def normalised(hits: list[Hit], norm: Norm) -> dict[str, float]:
    values = [hit.score for hit in hits]
    if norm == "min-max":
        least, spread = min(values), max(values) - min(values)
    else:
        least, spread = statistics.fmean(values), statistics.pstdev(values)
    return {hit.doc_id: (hit.score - least) / spread if spread else 0.0 for hit in hits}


def scores_of(fusion: RRF | ScoreFusion, runs: list[list[Hit]]) -> dict[str, float]:
    return dict(fusion.fused_scores([run_of(hits) for hits in runs]))["q"]


@given(several, st.sampled_from([0, 1, 60, 100]), st.randoms())
def test_rrf_equals_its_formula(runs: list[list[Hit]], k: int, rnd: object) -> None:
    weights = [float(number + 1) for number in range(len(runs))]
    fused = scores_of(RRF(k, tuple(weights)), runs)
    assert fused == pytest.approx(rrf_by_hand(runs, k, weights), abs=1e-12)


def test_rrf_ranks_from_one_and_missing_documents_gain_nothing() -> None:
    runs = [[Hit("a", 9.0), Hit("b", 8.0)], [Hit("b", 0.1)]]
    assert scores_of(RRF(), runs) == {"a": 1 / 61, "b": 1 / 62 + 1 / 61}
    fused = RRF().fuse([run_of(hits) for hits in runs])
    assert fused == {"q": ranked({"a": 1 / 61, "b": 1 / 62 + 1 / 61})}


@given(several, st.sampled_from(["min-max", "z-score"]))
def test_score_fusion_equals_its_formula(runs: list[list[Hit]], norm: Norm) -> None:
    weights = [0.5 + number for number in range(len(runs))]
    expected: dict[str, float] = {}
    for hits, weight in zip(runs, weights, strict=True):
        for doc_id, value in (normalised(hits, norm) if hits else {}).items():
            expected[doc_id] = expected.get(doc_id, 0.0) + weight * value
    # Of equal scores only rounding is left, divided by 1e-9: hence the tolerance.
    assert scores_of(ScoreFusion(norm, tuple(weights)), runs) == pytest.approx(expected, abs=1e-5)


def test_fused_hits_are_in_the_order_of_ranked() -> None:
    runs = [run_of(ranked({"a": 3.0, "b": 2.0, "c": 1.0})), run_of(ranked({"c": 9.0, "d": 8.0}))]
    fused = ScoreFusion().fuse(runs)
    assert fused == {"q": [Hit("c", 1.0), Hit("a", 1.0), Hit("b", 0.5), Hit("d", 0.0)]}
    assert ScoreFusion().fuse(runs, 2) == {"q": fused["q"][:2]}
    z_scores = ScoreFusion("z-score", (2.0, 1.0)).fuse(runs)["q"]
    assert [hit.doc_id for hit in z_scores] == ["a", "b", "d", "c"]


@given(lists)
def test_one_run_fused_alone_keeps_its_order_of_ranks(hits: list[Hit]) -> None:
    fused = RRF().fuse([run_of(hits)])["q"]
    assert [hit.doc_id for hit in fused] == [hit.doc_id for hit in hits]


@given(st.dictionaries(ids, st.floats(-1e300, 1e300) | st.sampled_from([0.5, 0.25, 0.0])))
def test_rank_hits_equals_ranked(fused: dict[str, float]) -> None:
    whole = ranked(fused)
    assert rank_hits(fused) == whole
    for depth in (1, 2, 5, 10_000):
        assert rank_hits(fused, depth) == whole[:depth]


def test_many_ties_are_in_descending_order_of_ids() -> None:
    rng = np.random.default_rng(1)
    fused = {f"{number}-1": float(rng.integers(5)) for number in rng.permutation(500)}
    assert rank_hits(fused, 120) == ranked(fused)[:120]
    assert all(isinstance(hit, Hit) for hit in rank_hits(fused, 3))


def test_queries_that_a_run_lacks_count_as_empty() -> None:
    fused = RRF().fuse([{"q1": [Hit("a", 1.0)]}, {"q2": [Hit("b", 1.0)], "q3": []}])
    assert fused == {
        "q1": ranked({"a": 1 / 61}),
        "q2": ranked({"b": 1 / 61}),
        "q3": [],
    }


def test_garbage_collection_is_enabled_afterwards() -> None:
    RRF().fuse([{"q": [Hit("a", 1.0)]}])
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RRF(k=-1), "k of RRF"),
        (lambda: RRF(weights=(1.0, math.nan)), "weight"),
        (lambda: ScoreFusion(weights=(-1.0,)), "weight"),
        (lambda: ScoreFusion("sum"), "unknown norm"),  # type: ignore[arg-type]
        (lambda: RRF(weights=(1.0,)).fuse([{}, {}]), "1 weight for 2 systems"),
        (lambda: RRF().fuse([]), "no runs to fuse"),
        (lambda: make_fusion("borde"), "unknown fusion `borde`"),
    ],
)
def test_invalid_arguments_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=message):
        make()


def test_without_ranx_its_methods_name_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patientdx.capabilities.find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError, match="`ranx` is needed"):
        make_fusion("mnz").fuse([{"q": [Hit("a", 1.0)]}] * 2)


def test_fusions_have_names() -> None:
    assert make_fusion("rrf", k=10, weights=[1, 2]) == RRF(10, (1, 2))
    assert make_fusion("min-max") == ScoreFusion("min-max")
    assert make_fusion("z-score", weights=[2, 1]).name == "z-score"
