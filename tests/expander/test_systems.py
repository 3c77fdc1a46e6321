"""Systems by name: what a command line may say, and the searchers made of it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander import RRF, ScoreFusion
from expander.systems.builder import build_searcher
from expander.systems.system import System, parse_system
from patientdx.errors import PatientDxError, UsageError
from patientdx.records import Filter, Hit, Query
from workflows.systems import uses_generator

LEAVES = st.sampled_from(
    ["bm25", "phrases", "rm3", "rocchio", "keywords", "synonyms", "reduce"]
).map(System)
WEIGHTS = st.sampled_from([1.0, 0.5, 2.0, 0.25, 0.0])
SYSTEMS = st.recursive(
    LEAVES,
    lambda parts: st.builds(
        System,
        st.sampled_from(["rrf", "min-max", "z-score"]),
        st.lists(st.tuples(WEIGHTS, parts), min_size=2, max_size=3).map(tuple),
    ),
    max_leaves=6,
)


@given(SYSTEMS)
def test_a_system_is_parsed_back_from_its_text(system: System) -> None:
    assert parse_system(str(system)) == system


@given(st.text("bm25rf(),*0.3 krz", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(UsageError):
        system = parse_system(text)
        assert parse_system(str(system)) == system


def test_spaces_are_ignored() -> None:
    assert parse_system(" rrf ( bm25 , 0.3 * rm3 ) ") == System(
        "rrf", ((1.0, System("bm25")), (0.3, System("rm3")))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a system"),
        ("bm26", "unknown system `bm26`"),
        ("rff(bm25,rm3)", "unknown fusion `rff`"),
        ("rrf(bm25)", "is not a system"),
        ("rrf(bm25,rm3", "is not a system"),
        ("rrf(bm25,rm3))", "is not a system"),
        ("rrf(bm25,,rm3)", "unknown system `,`"),
        ("rrf(bm25,-1*rm3)", "unknown system `-1`"),
        ("rrf(bm25,2 rm3)", "is not a system"),
        ("bm25 rm3", "is not a system"),
    ],
)
def test_an_invalid_system_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match="`") as error:
        parse_system(text)
    assert message in error.value.message


def test_the_strategies_of_a_system() -> None:
    assert parse_system("rrf(bm25,min-max(rm3,keywords))").strategies == {"rm3", "keywords"}
    assert parse_system("bm25").strategies == frozenset()


def test_a_system_uses_a_model_if_one_of_its_strategies_does() -> None:
    assert uses_generator(parse_system("rrf(bm25,min-max(rm3,keywords))").strategies)
    assert not uses_generator(parse_system("rrf(bm25,rm3,phrases)").strategies)


class BaseSearcher:
    """A searcher whose hits name the text of the query."""

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        assert where is None
        return [
            [Hit(f"{query.text}-{i}", 10.0 - i - len(query.text)) for i in range(min(k, 3))]
            for query in queries
        ]


class Renaming:
    """An expander whose queries bear its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        return [replace(query, text=self.name) for query in queries]


@pytest.mark.parametrize(
    ("text", "fusion"),
    [
        ("rrf(bm25,rm3)", RRF(7)),
        ("rrf(bm25,0.5*rm3)", RRF(7, (1.0, 0.5))),
        ("z-score(2*bm25,rm3)", ScoreFusion("z-score", (2.0, 1.0))),
    ],
)
def test_a_fusion_fuses_the_hits_of_its_parts(text: str, fusion: RRF | ScoreFusion) -> None:
    query = Query("q", "note")
    built = build_searcher(parse_system(text), BaseSearcher(), Renaming, rrf_k=7)
    runs = [
        {"0": BaseSearcher().search_many([replace(query, text=name)], 1000)[0]}
        for name in ("note", "rm3")
    ]
    assert built.search_many([query], 4) == [fusion.fuse(runs, 4)["0"]]


def test_a_system_without_fusion_is_a_single_searcher() -> None:
    base, phrases = BaseSearcher(), BaseSearcher()
    assert build_searcher(System("phrases"), base, Renaming, phrases=phrases) is phrases
    assert build_searcher(System("bm25"), base, Renaming) is base
    hits = build_searcher(System("rm3"), base, Renaming).search_many([Query("q", "x")], 1)
    assert hits == [[Hit("rm3-0", 7.0)]]


def test_errors_of_making_a_strategy_are_passed_on() -> None:
    def refuse(name: str) -> Renaming:
        raise PatientDxError(f"no {name} here")

    with pytest.raises(PatientDxError, match="no rm3 here"):
        build_searcher(parse_system("rrf(bm25,rm3)"), BaseSearcher(), refuse)
