"""Systems with their settings as words and numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander import PhraseSettings, default_axes, parse_system_settings
from expander.strategies.keywords import KeywordsSettings
from expander.strategies.rm3 import Rm3Settings
from expander.systems.settings import Value
from expander.systems.system import parse_system
from patientdx.errors import InputError, UsageError


def test_every_setting_reaches_its_part() -> None:
    settings = parse_system_settings(
        {
            "system": "rrf(bm25,rm3,phrases)",
            "k1": 1.2,
            "b": 0,
            "rrf_k": 20,
            "weights": "1:0.5:2",
            "rm3.terms": 20,
            "rm3.original_weight": 0.7,
            "phrases.pair_weight": 1,
        }
    )
    assert str(settings) == "rrf(bm25,0.5*rm3,2*phrases)"
    assert (settings.k1, settings.b, settings.rrf_k) == (1.2, 0.0, 20.0)
    assert settings.strategy_settings("rm3") == Rm3Settings(terms=20, original_weight=0.7)
    assert settings.phrase_settings(1.2, 0) == PhraseSettings(1.2, 0, pair_weight=1.0)


def test_settings_that_are_not_set_keep_their_defaults() -> None:
    settings = parse_system_settings({})
    assert (str(settings), settings.k1, settings.b, settings.rrf_k) == ("bm25", None, None, 60)
    keywords = parse_system_settings({"system": "keywords"})
    assert keywords.strategy_settings("keywords") is None
    assert keywords.phrase_settings(0.9, 0.4) == PhraseSettings()


def test_booleans_and_optional_limits_can_be_set() -> None:
    settings = parse_system_settings({"system": "keywords", "keywords.only_missing": True})
    assert settings.strategy_settings("keywords") == KeywordsSettings(only_missing=True)
    assert (
        parse_system_settings({"system": "reduce", "reduce.terms": 30})
        .strategy_settings("reduce")
        .terms
        == 30
    )
    assert (
        parse_system_settings({"system": "reduce", "reduce.share": 0.25})
        .strategy_settings("reduce")
        .share
        == 0.25
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"system": "nothing"}, "unknown system"),
        ({"system": "bm25", "rm3.terms": 5}, "the system `bm25` has no setting `rm3.terms`"),
        ({"system": "rm3", "terms": 5}, "the system `rm3` has no setting `terms`"),
        ({"system": "rm3", "rm3.words": 5}, "`rm3` has no setting `words`"),
        ({"system": "rm3", "rm3.terms": 2.5}, "`rm3.terms` is a whole number, not `2.5`"),
        ({"system": "rm3", "rm3.terms": "many"}, "`rm3.terms` is a number, not `many`"),
        ({"system": "rm3", "rm3.terms": True}, "`rm3.terms` is a number, not `True`"),
        ({"system": "keywords", "keywords.only_missing": 1}, "is true or false, not `1`"),
        ({"system": "phrases", "phrases.k1": 1.0}, "`phrases` has no setting `k1`"),
        ({"system": "bm25", "weights": "1:2"}, "2 weights for the 0 parts of `bm25`"),
        ({"system": "rrf(bm25,rm3)", "weights": "1"}, "1 weight for the 2 parts"),
        ({"system": "rrf(bm25,rm3)", "weights": "1:x"}, "`weights` is a number, not `x`"),
        ({"system": "bm25", "k1": "high"}, "`k1` is a number, not `high`"),
    ],
)
def test_invalid_settings_are_refused(values: dict[str, Value], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_system_settings(values)
    assert message in caught.value.message


def test_numbers_out_of_range_are_refused_at_once() -> None:
    with pytest.raises(InputError):
        parse_system_settings({"system": "rm3", "rm3.terms": 0})


@pytest.mark.parametrize(
    ("system", "names"),
    [
        ("bm25", {"k1", "b"}),
        ("phrases", {"k1", "b"}),
        ("rm3", {"k1", "b", "rm3.terms"}),
        ("keywords", {"k1", "b", "keywords.most"}),
        ("rrf(bm25,keywords)", {"k1", "b", "weights", "rrf_k", "keywords.most"}),
        ("min-max(bm25,0.3*rm3)", {"k1", "b", "weights", "rm3.terms"}),
        ("mnz(bm25,rrf(rm3,rocchio))", {"k1", "b", "rrf_k", "rm3.terms", "rocchio.terms"}),
        ("rrf(bm25,rm3,rocchio)", {"k1", "b", "rrf_k", "rm3.terms", "rocchio.terms"}),
    ],
)
def test_defaults_come_first_among_the_values_to_try(system: str, names: set[str]) -> None:
    parsed = parse_system(system)
    axes = default_axes(parsed, 1.5, 0.3)
    assert axes.keys() == names
    assert all(len(set(values)) == len(values) > 1 for values in axes.values())
    first = {name: values[0] for name, values in axes.items()}
    settings = parse_system_settings({"system": system, **first})
    assert str(settings) == str(parsed)
    assert (settings.k1, settings.b, settings.rrf_k) == (1.5, 0.3, 60)
    default = parse_system_settings({"system": system})
    for name in parsed.strategies & {"rm3", "rocchio", "keywords"}:
        assert settings.strategy_settings(name) == type(settings.strategy_settings(name))()
        assert default.strategy_settings(name) is None


@given(st.lists(st.floats(0, 9, allow_nan=False), min_size=2, max_size=4))
def test_weights_are_those_of_the_parts_in_order(weights: list[float]) -> None:
    system = f"rrf({','.join(['bm25'] * len(weights))})"
    settings = parse_system_settings({"system": system, "weights": ":".join(map(repr, weights))})
    assert [weight for weight, _ in settings.system.parts] == weights
