"""Strategies that ask a model, and how strategies are made by name."""

import pytest
from expander_fakes import FakeGenerator, index_of
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT

from expander.concepts.concept import Concept, ConceptName
from expander.prompts import read_prompt
from expander.strategies.grounded import Grounded, GroundedSettings
from expander.strategies.keywords import Keywords, KeywordsSettings
from expander.strategies.query2doc import Query2Doc, Query2DocSettings
from expander.strategies.registry import STRATEGIES, StrategyResources, make_strategy
from indexer.index import Index
from patientdx.errors import InputError, UsageError
from patientdx.protocols import CorpusView, Expander, GenerationSettings
from patientdx.records import Filter, Query

NOTES = ["gout of the toe, podagra", "gout and tophi and kidney stones", "crushing chest pain"]
QUERY = Query("q", "A man with gout. {patient_data} {excerpts}")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("strategies") / "index", NOTES)


def test_keywords_uses_the_prompt_of_the_paper() -> None:
    """As reconstructed in ../shared/reference/mortality-and-privacy.md, 1.1."""
    model = FakeGenerator(lambda _: "1. podagra\n2. uric acid")
    strategy = Keywords(generator=model)
    assert strategy.expand_many([QUERY]) == [
        Query("q", QUERY.text, {"podagra": 1.0, "uric acid": 1.0})
    ]
    wording = (
        "You are an efficient information retrieval assistant. What are the most relevant missing "
        "keywords (through synonyms or logical reasoning) that should be added to the following "
        "patient profile to help identify similar patients? Patient: A man with gout. "
        "{patient_data} {excerpts}. Keywords: "
    )
    assert model.seen_prompts == [wording]
    assert [prompt.text for prompt in strategy.build_prompts([QUERY])] == model.seen_prompts
    assert model.settings == [GenerationSettings(max_new_tokens=200)]


def test_keywords_have_a_weight_and_a_number() -> None:
    model = FakeGenerator(lambda _: "podagra, tophi, stones")
    strategy = Keywords(KeywordsSettings(weight=0.25, most=2), generator=model)
    (query,) = strategy.expand_many([Query("q", "gout", {"tophi": 1.0}, {"gout": 2.0})])
    assert query == Query("q", "gout", {"tophi": 1.25, "podagra": 0.25}, {"gout": 2.0})


def test_keywords_can_be_limited_to_missing_words() -> None:
    model = FakeGenerator(lambda _: "acute gout, podagra")
    settings = KeywordsSettings(only_missing=True)
    (query,) = Keywords(settings, generator=model).expand_many([Query("q", "A gout")])
    assert query.weights == {"acute": 1.0, "podagra": 1.0}


def test_note_and_keywords_are_one_query(index: Index) -> None:
    """The weights do what appending the words to the note does."""
    model = FakeGenerator(lambda _: "kidney stones, tophi")
    (expanded,) = Keywords(generator=model).expand_many([Query("q", "gout toe")])
    appended = Query("q", "gout toe kidney stones tophi")
    assert index.search_many([expanded]) == index.search_many([appended])


def test_query2doc_repeats_the_query_five_times(index: Index) -> None:
    passage = "Gout makes tophi. Tophi hurt."
    model = FakeGenerator(lambda _: passage)
    query = Query("q", "gout of a toe")
    (expanded,) = Query2Doc(generator=model).expand_many([query])
    repeated = Query("q", " ".join([query.text] * 5 + [passage]))
    ours, theirs = index.search_many([expanded, repeated])
    assert [hit.doc_id for hit in ours] == [hit.doc_id for hit in theirs]
    assert [hit.score for hit in theirs] == pytest.approx([hit.score * 5 for hit in ours], rel=1e-6)
    assert model.seen_prompts[0].startswith("Write a passage that answers the given query:")
    assert "gout of a toe" in model.seen_prompts[0]


def test_grounded_shows_the_first_hits(index: Index) -> None:
    model = FakeGenerator(lambda _: "Podagra of the toe")
    strategy = Grounded(
        GroundedSettings(documents=2, excerpt_words=3, original_weight=2.0),
        generator=model,
        searcher=index,
        corpus=index,
    )
    (query,) = strategy.expand_many([QUERY])
    assert "1. gout of the …\n2. gout and tophi …\n" in model.seen_prompts[0]
    assert "chest" not in model.seen_prompts[0]
    assert QUERY.text in model.seen_prompts[0]
    assert query.weights == {"Podagra": 0.5, "of": 0.5, "the": 0.5, "toe": 0.5}


def test_grounded_accepts_copies_of_excerpts_but_not_of_the_note(index: Index) -> None:
    note = "gout of the toe since Monday last week"
    copied = f"{note}. gout and tophi and kidney stones."
    strategy = Grounded(generator=FakeGenerator(lambda _: copied), searcher=index, corpus=index)
    (query,) = strategy.expand_many([Query("q", note)])
    assert {"tophi", "stones"} <= query.weights.keys()
    assert not {"Monday", "week"} & query.weights.keys()


def test_grounded_never_shows_what_is_filtered_out_or_the_patient(index: Index) -> None:
    model = FakeGenerator()
    resources = StrategyResources(model, index, index, where=Filter(exclude_ids=frozenset({"p0"})))
    make_strategy("grounded", resources).expand_many([Query("other", "gout toe tophi")])
    make_strategy("grounded", StrategyResources(model, index, index)).expand_many(
        [Query("p1", "gout toe")]
    )
    assert "podagra" not in model.seen_prompts[0]
    assert "tophi and" in model.seen_prompts[0]
    assert "podagra" in model.seen_prompts[1]
    assert "tophi" not in model.seen_prompts[1]


@pytest.mark.parametrize("reply", ["", "\n", "None", "I'm sorry, I can't help.", "..."])
def test_an_empty_reply_leaves_the_query_unchanged(index: Index, reply: str) -> None:
    resources = StrategyResources(FakeGenerator(lambda _: reply), index, index)
    for name in ("keywords", "query2doc", "grounded"):
        assert make_strategy(name, resources).expand_many([QUERY])[0] is QUERY


def test_queries_without_text_are_not_sent_to_the_model(index: Index) -> None:
    model = FakeGenerator(lambda _: "podagra")
    queries = [Query("a", " "), QUERY, Query("b", "", {"x": 1.0})]
    expanded = Keywords(generator=model).expand_many(queries)
    assert (expanded[0], expanded[2]) == (queries[0], queries[2])
    assert len(model.seen_prompts) == 1
    blank = Keywords(generator=model)
    assert blank.expand_many([]) == []
    assert blank.expand_many([queries[0]]) == [queries[0]]
    assert len(model.batches) == 1


VOCABULARY = [Concept("X", (ConceptName("gout"), ConceptName("podagra")))]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_made_by_name_and_keeps_the_query(index: Index, name: str) -> None:
    resources = StrategyResources(FakeGenerator(lambda _: "podagra"), index, index, VOCABULARY)
    strategy = make_strategy(name, resources)
    assert isinstance(strategy, Expander)
    assert strategy.name == name
    query = Query("q", "gout of the toe")
    (expanded,) = strategy.expand_many([query])
    assert expanded.query_id == "q"
    assert name == "reduce" or expanded.text == query.text
    assert index.search_many([expanded], 1)[0][0].doc_id == "p0"
    assert hash(STRATEGIES[name].Settings()) is not None  # frozen: settings can key things


@pytest.mark.parametrize("name", STRATEGIES)
def test_missing_resources_are_reported_with_the_option(name: str) -> None:
    with pytest.raises(UsageError, match=f"the strategy `{name}` needs") as caught:
        make_strategy(name, StrategyResources())
    assert "--" in (caught.value.hint or "")


def test_unknown_names_and_settings_of_another_strategy_are_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="unknown strategy `keyword`") as caught:
        make_strategy("keyword", StrategyResources())
    assert "keywords, query2doc" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no settings"):
        make_strategy("rm3", StrategyResources(searcher=index, corpus=index), KeywordsSettings())


texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["gout", "no", "toe", "podagra", ",", "."])).map(" ".join),
)
random_queries = st.builds(
    Query,
    st.sampled_from(["p0", "p1", "q"]),
    texts,
    st.dictionaries(texts, st.floats(0, 1e6), max_size=2),
    st.dictionaries(texts, st.floats(0, 1e6), max_size=2),
)


@settings(max_examples=30)
@given(st.lists(random_queries, max_size=4), texts)
def test_any_queries_come_back_in_order_and_can_be_searched(
    index: Index, queries: list[Query], reply: str
) -> None:
    resources = StrategyResources(FakeGenerator(lambda _: reply), index, index, VOCABULARY)
    for name in STRATEGIES:
        expanded = make_strategy(name, resources).expand_many(queries)
        assert [query.query_id for query in expanded] == [query.query_id for query in queries]
        assert len(index.search_many(expanded)) == len(queries)
        for before, after in zip(queries, expanded, strict=True):
            assert after is before or after != before
            assert name == "reduce" or after.text == before.text


def test_a_registered_class_can_be_made_by_name(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shout:
        name = "shout"
        needs = ("corpus",)
        Settings = KeywordsSettings

        def __init__(self, settings: KeywordsSettings | None, *, corpus: CorpusView) -> None:
            self.settings = settings
            self.corpus = corpus

        def expand_many(self, queries: list[Query]) -> list[Query]:
            return [Query(query.query_id, query.text.upper()) for query in queries]

    monkeypatch.setitem(STRATEGIES, "shout", Shout)
    strategy = make_strategy("shout", StrategyResources(corpus=index))
    assert strategy.expand_many([QUERY])[0].text == QUERY.text.upper()


def test_prompts_are_files_of_the_package() -> None:
    folder = ROOT / "expander" / "prompts"
    assert {path.stem for path in folder.glob("*.txt")} == {"keywords", "query2doc", "grounded"}
    for path in folder.glob("*.txt"):
        assert read_prompt(path.stem) == path.read_text(encoding="utf-8").removesuffix("\n")
        assert read_prompt(path.stem).count("{patient_data}") == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: KeywordsSettings(weight=-1),
        lambda: KeywordsSettings(most=0),
        lambda: Query2DocSettings(original_weight=0),
        lambda: GroundedSettings(documents=0),
        lambda: GroundedSettings(original_weight=float("inf")),
    ],
)
def test_settings_out_of_range_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(InputError):
        make()
