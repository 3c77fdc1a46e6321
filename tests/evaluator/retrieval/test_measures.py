"""Names of measures: what is accepted, what it is called, how deep it reads."""

import logging
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import DEFAULT_MEASURES, parse_measures, required_depth
from evaluator.retrieval.measures import EXAMPLES, load_ir_measures, parse_measure
from patientdx.errors import EvaluationError


def test_the_defaults_are_those_of_the_leaderboard() -> None:
    assert DEFAULT_MEASURES == ("RR", "P@10", "nDCG@10", "R@1000")
    assert parse_measures(DEFAULT_MEASURES) == DEFAULT_MEASURES


@pytest.mark.parametrize(
    ("given_name", "canonical"),
    [
        ("RR", "RR"),
        ("MRR", "RR"),
        (" nDCG@10 ", "nDCG@10"),
        ("NDCG@10", "nDCG@10"),
        ("Recall@1000", "R@1000"),
        ("P(rel=2)@5", "P(rel=2)@5"),
        ("P(rel=1)@5", "P@5"),
        ("nDCG(gains={1:1,2:3})@10", "nDCG(gains={2:3})@10"),
        ("IPrec@0.1", "IPrec@0.1"),
        ("RR(rel=2)@10", "RR(rel=2)@10"),
    ],
)
def test_names_become_those_of_ir_measures(given_name: str, canonical: str) -> None:
    assert parse_measures([given_name]) == (canonical,)
    assert parse_measures([canonical]) == (canonical,)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_that_hints_show_are_accepted(name: str) -> None:
    assert parse_measures([name]) == (name,)


@pytest.mark.parametrize("name", ["RR", "RR@10", "P@5", "nDCG@10", "AP", "Rprec", "P(rel=2)@3"])
def test_the_measure_is_the_one_that_ir_measures_parses(name: str) -> None:
    assert parse_measure(name) == load_ir_measures().parse_measure(name)


def test_the_same_measure_twice_is_one() -> None:
    assert parse_measures(["RR", "nDCG@10", "MRR", "NDCG@10"]) == ("RR", "nDCG@10")


@pytest.mark.parametrize(
    "name",
    [
        "accuracy of search",
        "ndcg_cut_10",
        "recip_rank",
        "foo@10",
        "",
        "P@x",
        "P@10@5",
        "P(5)",
        "P(**{'rel': 1})@3",
        "import os",
        "a\0b",
        "(" * 300,
    ],
)
def test_an_unknown_name_is_reported_with_examples(name: str) -> None:
    with pytest.raises(EvaluationError, match="is not the name of a measure") as caught:
        parse_measures([name])
    assert "nDCG@10" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["P", "R", "Success"])
def test_a_cutoff_that_is_needed_is_asked_for(name: str) -> None:
    with pytest.raises(EvaluationError, match="needs a cutoff") as caught:
        parse_measures([name])
    assert f"{name}@10" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "name",
    [
        "P@0",
        "P@True",
        "R@99999999999999999999",
        "P(rel=0)@5",
        "P(rel=1.5)@5",
        "P(rel=1001)@5",
        "nDCG(gains={1:1001})@10",
        "P(judged_only=7)@5",
        "nDCG(gains={0:'a'})@10",
        "nDCG(gains=3)@10",
        "IPrec@0.123",
        "IPrec@7",
    ],
)
def test_a_parameter_out_of_range_is_reported(name: str) -> None:
    with pytest.raises(EvaluationError, match="cannot have that"):
        parse_measures([name])


def test_a_parameter_that_a_measure_lacks_is_reported() -> None:
    with pytest.raises(EvaluationError, match="takes no `depth`"):
        parse_measures(["P(depth=5)@5"])


@pytest.mark.parametrize(
    "name", ["NumRet", "NumQ", "infAP", "RBP", "Judged@10", "nDCG(dcg='exp-log2')@10"]
)
def test_what_trec_eval_cannot_average_is_not_offered(name: str) -> None:
    with pytest.raises(EvaluationError, match="is not offered here"):
        parse_measures([name])


def test_no_measure_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no measure"):
        parse_measures([])


@pytest.mark.parametrize(
    ("names", "depth"),
    [
        (DEFAULT_MEASURES, 1000),
        (["RR"], 0),
        (["RR", "AP", "nDCG"], 0),
        (["RR@20", "P@10"], 20),
        (["P(rel=2)@30"], 30),
        (["IPrec@0.5"], 0),
        ([], 0),
    ],
)
def test_depth_needed_is_the_greatest_cutoff(names: list[str], depth: int) -> None:
    assert required_depth(names) == depth


@given(st.text(alphabet="RPnDCG@(){}=,:'. 0123456789relgainscutoff*-_", max_size=24))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_measure_or_an_evaluation_error(name: str) -> None:
    try:
        names = parse_measures([name])
    except EvaluationError:
        return
    assert parse_measures(names) == names


def test_the_log_handler_of_ir_measures_is_taken_off() -> None:
    load_ir_measures()
    assert not logging.getLogger("ir_measures").handlers


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, evaluator;"
        "heavy = {'ir_measures', 'pytrec_eval', 'scipy', 'matplotlib', 'torch', 'numba', 'typer'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
