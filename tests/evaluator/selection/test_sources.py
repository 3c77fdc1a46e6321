"""Choosing by queries and texts: scores, the paired test, weights of several models, tables."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_merges import simulated

from evaluator.selection import (
    ABLATION_ROWS,
    AUROC,
    Candidate,
    CandidateEvaluator,
    GridSearch,
    Instances,
    MeanMetric,
    PatientFolds,
    Perplexity,
    SelectionSettings,
    ablation_csv,
    ablation_rows,
    build_selection_report,
    equal_weights_candidate,
    lambda_grid,
    model_weights,
    query_instances,
    query_scorer,
    read_texts,
    retrieval_metric,
    select_candidate,
    select_judged_queries,
    single_model_candidate,
    starting_candidates,
    text_instances,
    text_scorer,
    token_counts,
    weight_search_space,
    write_ablation,
)
from evaluator.selection.estimates import FoldScores, randomisation_test_over_folds
from evaluator.selection.instances import InstanceScores
from evaluator.statistics.bootstrap import Resampling
from evaluator.statistics.significance import randomisation_test
from patientdx.errors import EvaluationError, InputError, ModelError
from patientdx.protocols import ModelDescription
from patientdx.records import Filter, Hit, Query

FEW = SelectionSettings(PatientFolds(2), Resampling(resamples=50))
QRELS = {"a": {"1": 2, "2": 1}, "b": {"3": 1}, "c": {"1": 1}}


class Fixed:
    """A searcher whose hits are known."""

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        del where
        hits = {"a": ["2", "9", "1"], "b": ["9", "8", "3"], "c": ["9"]}
        return [
            [Hit(hit, 9.0 - at) for at, hit in enumerate(hits[q.query_id])][:k] for q in queries
        ]


def test_a_query_is_worth_what_its_hits_are() -> None:
    queries = select_judged_queries([Query(name, "text") for name in "abcx"], QRELS)
    assert [query.query_id for query in queries] == ["a", "b", "c"]
    score = query_scorer(Fixed(), queries, QRELS, "RR", 10)
    assert score(np.array([2, 0, 1])) == pytest.approx([0, 1, 1 / 3])
    gains = query_scorer(Fixed(), queries, QRELS, "nDCG@10", 10)(np.array([0]))
    ideal = 2 + 1 / math.log2(3)
    assert gains == pytest.approx([(1 + 2 / math.log2(4)) / ideal])


def test_a_query_is_known_by_its_text_and_judgements() -> None:
    def key(text: str = "t", grade: int = 1) -> str:
        result = query_instances([Query("a", text)], {"a": {"1": grade}})
        assert result.unit == "queries"
        return str(result.keys[0])

    assert key() == key()
    assert len({key(), key("u"), key(grade=2)}) == 3


def test_measures_and_queries_that_cannot_be_are_refused() -> None:
    assert retrieval_metric("MRR", 10).name == "RR"
    with pytest.raises(EvaluationError, match="needs 1000 hits"):
        retrieval_metric("R@1000", 10)
    with pytest.raises(EvaluationError, match="not the name"):
        retrieval_metric("auroc", 10)
    with pytest.raises(EvaluationError, match="none of the queries"):
        select_judged_queries([Query("z", "t")], QRELS)
    with pytest.raises(EvaluationError, match="twice"):
        select_judged_queries([Query("a", "t"), Query("a", "u")], QRELS)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("one\ntwo\n", [("one", 1), ("two", 2)]),
        ("one\ntwo\n\n\nthree\n\n", [("one\ntwo", 1), ("three", 5)]),
        ("\n\none\r\n \r\ntwo", [("one", 3), ("two", 5)]),
        ("one\n\ntwo\n\none\n", [("one", 1), ("two", 3)]),
        ("one\n\n\n", [("one", 1)]),
    ],
)
def test_texts_are_paragraphs_or_lines(
    tmp_path: Path, content: str, texts: list[tuple[str, int]]
) -> None:
    (tmp_path / "t").write_bytes(content.encode())
    assert [(text.text, text.line) for text in read_texts(tmp_path / "t")] == texts
    assert "one" not in repr(read_texts(tmp_path / "t"))


def test_no_text_and_too_long_a_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(" \n\n")
    with pytest.raises(InputError, match="no text"):
        read_texts(tmp_path / "t")
    (tmp_path / "t").write_text("one\n\ntwo")

    def count(text: str) -> int:
        if text == "two":
            raise ModelError("too long")
        return 1

    with pytest.raises(InputError, match="t:3: the text is too long"):
        token_counts(read_texts(tmp_path / "t"), count, tmp_path / "t")


class FirstLetterModel:
    """A model that gives every token the same chance, by the text's first letter."""

    name = digest = "first letter"
    batch = 8
    description = ModelDescription()

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        return [[-float(ord(text[0]) - ord("a"))] * len(text) for _, text in pairs]


def test_perplexity_counts_every_token_alike(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("bb\nc\naaaa\nccc")
    texts = read_texts(tmp_path / "t")
    instances = text_instances(texts, token_counts(texts, len, tmp_path / "t"))
    score = text_scorer(FirstLetterModel(), texts)
    evaluator = CandidateEvaluator(
        lambda candidate: lambda indices: np.asarray(score(indices)) + (candidate.weight or 0),
        instances,
    )
    result = select_candidate(GridSearch(lambda_grid(0.5)), evaluator, Perplexity(), FEW)
    assert result.chosen.weight == 0
    assert result.apparent.value == pytest.approx(math.exp((2 * 1 + 1 * 2 + 0 + 3 * 2) / 10))
    assert result.contrasts[1].difference.value < 0
    assert result.deaths is None


def scores(seed: int, units: int = 12) -> tuple[Instances, list[FoldScores], list[FoldScores]]:
    rng = np.random.default_rng(seed)
    instances = Instances.build(range(units), unit="queries")
    folds = PatientFolds(2).split(instances, require_both_outcomes=False)
    sides = [rng.random(units), rng.random(units)]
    made = [[FoldScores(f, InstanceScores(side[f])) for f in folds] for side in sides]
    return instances, made[0], made[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_paired_test_is_the_randomisation_test_of_all_queries(seed: int) -> None:
    instances, ours, theirs = scores(seed)
    result = randomisation_test_over_folds(MeanMetric("RR"), instances, ours, theirs)
    flat = [np.concatenate([fold.scores.scores for fold in side]) for side in (ours, theirs)]
    assert result == randomisation_test(*flat)
    assert randomisation_test_over_folds(AUROC, instances, ours, theirs) is None
    assert randomisation_test_over_folds(MeanMetric("RR"), instances, ours, ours).p == 1  # type: ignore[union-attr]


def test_several_scores_of_a_patient_are_exchanged_together() -> None:
    instances = Instances.build(["p"] * 3 + ["q"] * 3)
    indices = np.arange(6)
    ours = [FoldScores(indices, InstanceScores(np.array([3.0, 2, 1, 5, 5, 5])))]
    theirs = [FoldScores(indices, InstanceScores(np.zeros(6)))]
    result = randomisation_test_over_folds(MeanMetric("x"), instances, ours, theirs)
    assert result is not None
    assert result.p == 2 / 4  # of the four ways to exchange two patients


def test_holm_corrects_the_paired_tests_and_the_report_names_them() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=30)
    evaluator = CandidateEvaluator(
        lambda candidate: lambda indices: noise[indices] - abs((candidate.weight or 0) - 0.3),
        Instances.build(range(30), unit="queries"),
    )
    result = select_candidate(GridSearch(), evaluator, MeanMetric("nDCG@10"), FEW)
    assert result.chosen.weight == 0.3
    for contrast in result.contrasts:
        assert contrast.delong is None
        assert contrast.randomisation is not None
        assert contrast.holm is not None
        assert contrast.holm >= contrast.randomisation.p
    report = build_selection_report({"pair": result}, {})
    notes = " ".join(part.note for part in report.parts)
    assert "randomisation test by queries" in notes
    assert "DeLong" not in notes
    assert "folds by queries, seed" in report.method


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_weights_are_those_of_merging_one_model_after_another(shares: list[float]) -> None:
    inputs = len(shares) + 1
    names = sorted(weight_search_space(inputs).axes)
    result = model_weights(Candidate.from_values(dict(zip(names, shares, strict=True))), inputs)
    units = np.eye(inputs)
    merged = units[0]
    for model, share in zip(units[1:], shares, strict=True):
        merged = (1 - share) * merged + share * model
    assert result == pytest.approx(merged, abs=1e-12)
    assert sum(result) == pytest.approx(1)


def test_a_search_starts_with_each_model_and_with_all_alike() -> None:
    for inputs in (2, 3, 4):
        for index in range(inputs):
            assert model_weights(single_model_candidate(index, inputs), inputs) == tuple(
                np.eye(inputs)[index]
            )
        assert model_weights(equal_weights_candidate(inputs), inputs) == pytest.approx(
            [1 / inputs] * inputs, abs=0.04
        )
    assert starting_candidates(2) == (
        Candidate.at_lambda(0),
        Candidate.at_lambda(1),
        Candidate.at_lambda(0.5),
    )
    space = weight_search_space(3, ("linear", "multislerp"))
    assert list(space.axes) == ["lambda2", "lambda3", "method"]
    assert dict(single_model_candidate(0, 3, ("linear", "multislerp")).values)["method"] == "linear"
    with pytest.raises(EvaluationError, match="needs the value"):
        model_weights(Candidate.at_lambda(0.5), 3)
    with pytest.raises(EvaluationError, match="two models or more"):
        weight_search_space(1)


def test_an_ablation_is_written_as_its_suffix_says(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    result = {
        row: {
            pair: select_candidate(
                GridSearch(), simulated(seed, patients=200).evaluator(), AUROC, FEW
            )
            for seed, pair in enumerate(("math + $medical", "math + other"), start=2 * at)
        }
        for at, row in enumerate(ABLATION_ROWS)
    }
    names = ("t.md", "t.txt", "t.tex", "t.json", "t.csv", "t.svg", "t.png")
    paths = [tmp_path / name for name in names]
    write_ablation(result, {"cohort": "simulated"}, paths)
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [row["row"] for row in table] == [row for row in ABLATION_ROWS for _ in range(2)]
    for row, wanted in zip(table, ablation_rows(result), strict=True):
        assert float(row["held_out"]) == wanted["held_out"]
    assert ablation_csv(result) == (tmp_path / "t.csv").read_text()
    assert (tmp_path / "t.md").read_text().startswith("# Ablation")
    assert len(json.loads((tmp_path / "t.json").read_text())["rows"]) == 4
    drawn = ET.parse(tmp_path / "t.svg").getroot()
    words = {
        "".join(element.itertext()) for element in drawn.iter("{http://www.w3.org/2000/svg}text")
    }
    assert {*ABLATION_ROWS, "math + $medical", "math + other"} <= words
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(EvaluationError, match="written as"):
        write_ablation(result, {}, [tmp_path / "u.csv", tmp_path / "t.pdf"])
    assert not (tmp_path / "u.csv").exists()
