"""Which terms of a long note stay, and what they weigh."""

import math

import pytest
from expander_fakes import index_of
from hypothesis import given
from hypothesis import strategies as st

from expander.strategies.reduce import Reduce, ReduceSettings
from indexer.index import Index
from patientdx.errors import InputError
from patientdx.records import Query

# df: fever 4, cough 3, rash 2, gout 1
NOTES = ["fever cough rash gout", "fever cough rash", "fever cough", "fever", "other"]
IDF = {
    term: math.log(1 + (5 - df + 0.5) / (df + 0.5))
    for term, df in {"fever": 4, "cough": 3, "rash": 2, "gout": 1}.items()
}
QUERY = Query("q", "fever fever fever fever cough cough rash gout unindexed")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("reduce") / "index", NOTES)


def reduced(index: Index, query: Query = QUERY, **settings: float | None) -> Query:
    chosen = {"share": None, "at_least": 1, **settings}
    return Reduce(ReduceSettings(**chosen), corpus=index).expand_many([query])[0]  # type: ignore[arg-type]


def test_the_terms_of_largest_frequency_times_idf_are_kept(index: Index) -> None:
    worth = {
        "fever": 4 * IDF["fever"],
        "cough": 2 * IDF["cough"],
        **{t: IDF[t] for t in ("rash", "gout")},
    }
    best = sorted(worth, key=lambda term: -worth[term])
    for count in (1, 2, 3):
        query = reduced(index, terms=count)
        assert query.text == ""
        assert query.query_id == "q"
        assert set(query.terms) == set(best[:count])
    assert reduced(index, terms=2).terms == {"gout": 1.0, "fever": 4.0}


def test_a_share_is_of_the_known_distinct_terms(index: Index) -> None:
    assert len(reduced(index, share=0.5).terms) == 2
    assert len(reduced(index, share=0.51).terms) == 3
    assert len(reduced(index, share=0.01).terms) == 1
    assert len(reduced(index, share=0.01, at_least=3).terms) == 3
    assert len(reduced(index, share=1.0, terms=2).terms) == 2


def test_frequencies_saturate_as_in_bm25(index: Index) -> None:
    query = reduced(index, saturation=2.0)
    assert query.terms == pytest.approx(
        {"fever": 4 * 3 / 6, "cough": 2 * 3 / 4, "rash": 1.0, "gout": 1.0}
    )
    assert set(reduced(index, saturation=0.0).terms.values()) == {1.0}


def test_rare_terms_may_count_more(index: Index) -> None:
    query = reduced(index, idf_power=2.0)
    assert query.terms == pytest.approx(
        {
            "fever": 4 * IDF["fever"],
            "cough": 2 * IDF["cough"],
            "rash": IDF["rash"],
            "gout": IDF["gout"],
        }
    )


def test_a_query_that_loses_no_term_is_returned_unchanged(index: Index) -> None:
    assert reduced(index) is QUERY
    for query in (Query("e", ""), Query("u", "unindexed of")):
        assert reduced(index, query, terms=1) is query


def test_added_words_and_terms_count_with_the_text(index: Index) -> None:
    query = Query("q", "fever", {"gout cough": 0.5}, {"rash": 3.0})
    assert reduced(index, query, terms=2).terms == {"rash": 3.0, "gout": 0.5}
    assert reduced(index, query, terms=2).weights == {}


@given(st.lists(st.sampled_from(["fever", "cough", "rash", "gout"]), max_size=20))
def test_the_text_is_replaced_only_if_terms_are_dropped(words: list[str]) -> None:
    class Corpus:
        size = 5

        def words(self, text: str) -> list[str]:
            return text.lower().split()

        def terms(self, text: str) -> list[str]:
            return text.split()

        def document_frequency(self, term: str) -> int:
            return NOTES_HOLDING[term]

        def text(self, doc_id: str) -> str:
            raise NotImplementedError

        def term_vector(self, doc_id: str) -> dict[str, int]:
            raise NotImplementedError

    settings = ReduceSettings(terms=3, share=None, at_least=1)
    (query,) = Reduce(settings, corpus=Corpus()).expand_many([Query("q", " ".join(words))])
    if query.text == "" and words:
        assert len(query.terms) == 3
        assert all(count == words.count(term) for term, count in query.terms.items())
    else:
        assert len(set(words)) <= 3


NOTES_HOLDING = {"fever": 4, "cough": 3, "rash": 2, "gout": 1}


@pytest.mark.parametrize(
    "settings",
    [
        {"terms": 0},
        {"share": 0.0},
        {"share": 1.5},
        {"at_least": 0},
        {"saturation": -1.0},
        {"idf_power": 11},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ReduceSettings(**settings)  # type: ignore[arg-type]
