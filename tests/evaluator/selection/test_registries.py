"""Strategies and metrics by name: what is built, and what is refused."""

import re

import pytest
from typer.testing import CliRunner

import cli
from evaluator.selection import (
    AUPRC,
    METHOD,
    METRIC_KINDS,
    STRATEGIES,
    Candidate,
    GridSearch,
    MeanMetric,
    MetricOptions,
    OptunaSearch,
    Perplexity,
    Range,
    SearchSpace,
    StrategyOptions,
    SuccessiveHalving,
    build_metric,
    build_strategy,
    lambda_grid,
    weight_search_space,
)
from patientdx.errors import EvaluationError, UsageError

OPTIONS = StrategyOptions(step=0.25, share=0.5, trials=7, seed=3)


def test_each_strategy_is_built_with_the_options_that_apply_to_it() -> None:
    space = weight_search_space(3, ("linear", "multislerp"))
    assert build_strategy("grid", OPTIONS) == GridSearch(lambda_grid(0.25))
    assert build_strategy("halving", OPTIONS) == SuccessiveHalving(
        lambda_grid(0.25), share=0.5, seed=3
    )
    assert build_strategy("optuna", OPTIONS, space) == OptunaSearch(7, space, seed=3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_bears_the_name_it_is_registered_under(name: str) -> None:
    assert build_strategy(name).name == name


@pytest.mark.parametrize("name", ["grid", "halving"])
def test_several_values_are_left_to_strategies_that_can_search_them(name: str) -> None:
    with pytest.raises(UsageError, match="are searched by optuna") as caught:
        build_strategy(name, OPTIONS, weight_search_space(3))
    assert caught.value.hint == "--strategy optuna"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="`bisection` is not a search strategy") as caught:
        build_strategy("bisection")
    assert caught.value.hint == "strategies are grid, halving, optuna"
    with pytest.raises(EvaluationError, match="`images` is not a kind of instances"):
        build_metric("images")
    with pytest.raises(EvaluationError, match="`rouge` is not a metric of texts"):
        build_metric("texts", "rouge")


def test_the_command_offers_the_registered_strategies() -> None:
    shown = CliRunner().invoke(cli.app, ["tune-merge", "--help"], terminal_width=200).output
    (described,) = re.findall(r"--strategy <str> +(.*?)\[default", shown, re.DOTALL)
    assert set(STRATEGIES) <= set(re.findall(r"\w+", described))


def test_metrics_are_built_by_kind_and_name() -> None:
    assert [build_metric(kind).name for kind in METRIC_KINDS] == ["auroc", "nDCG@10", "perplexity"]
    assert build_metric("stays", "auprc") == AUPRC
    assert build_metric("queries", "MRR") == MeanMetric("RR")
    assert build_metric("texts") == Perplexity()
    with pytest.raises(EvaluationError, match="needs 1000 hits a query, not 100"):
        build_metric("queries", "R@1000", MetricOptions(depth=100))


def test_a_space_starts_at_its_ends_and_middle_unless_it_says_otherwise() -> None:
    axes = {"attn": Range(0, 1, 0.1), METHOD: ("linear", "slerp")}
    space = SearchSpace(axes)
    assert not space.single_lambda
    assert space.size == 11 * 2
    values = [dict(candidate.values) for candidate in space.initial_candidates()]
    assert values == [{"attn": at, METHOD: "linear"} for at in (0.0, 1.0, 0.5)]
    only = (Candidate.from_values({"attn": 0.3, METHOD: "slerp"}),)
    assert SearchSpace(axes, only).initial_candidates() == only
    assert SearchSpace().single_lambda
