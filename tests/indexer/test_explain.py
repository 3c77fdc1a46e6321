"""Explanations, and the passages that show where the words stand."""

from pathlib import Path

import pytest
from corpora import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.analysis import AnalysisSettings, Analyzer
from indexer.index import Index
from indexer.passages import Passage, find_passages
from indexer.writer import build_index
from patientdx.errors import NotFoundError
from patientdx.records import Patient, Query, TermShare

NOTES = {
    "wernicke": "Confusion and nystagmus after weeks of vomiting. Thiamine helped. " * 2,
    "stroke": "Sudden weakness of the left arm; no confusion.",
    "istanbul": "İstanbul'da doğdu. Fever, İzmir fever and STRASSE.",
    "blank": "...",
}
PLAIN = Analyzer(AnalysisSettings("none", "none"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("explain") / "index"
    return build_index(folder, [Patient(i, text) for i, text in NOTES.items()])


def share(term: str, value: float) -> TermShare:
    return TermShare(term, value, value, 1)


def marked(passage: Passage) -> list[str]:
    return [passage.text[start:end] for start, end in passage.matches]


def test_shares_are_the_terms_that_both_hold(index: Index) -> None:
    query = Query("q", "confused: confusion, nystagmus, fever", {"thiamine": 0.5, "weakness": 0})
    explanation = index.explain(query, "wernicke")
    assert {entry.term: entry.tf for entry in explanation.shares} == {
        "confus": 2,
        "nystagmus": 2,
        "thiamin": 2,
    }
    (hit,) = [hit for hit in index.search_many([query])[0] if hit.doc_id == "wernicke"]
    assert explanation.score == hit.score
    assert sum(entry.share for entry in explanation.shares) == pytest.approx(hit.score, rel=1e-6)
    for entry in explanation.shares:
        assert 0 < entry.share < entry.weight


def test_no_common_term_no_share(index: Index) -> None:
    explanation = index.explain(Query("q", "fever"), "stroke")
    assert (explanation.score, explanation.shares) == (0.0, ())
    assert find_passages(NOTES["stroke"], explanation.shares, index.spans(NOTES["stroke"])) == []
    assert index.explain(Query("q", "fever"), "blank").shares == ()


def test_a_patient_that_is_not_there(index: Index) -> None:
    with pytest.raises(NotFoundError, match="no patient `nobody`"):
        index.explain(Query("q", "fever"), "nobody")


def test_equal_shares_are_in_order_of_their_terms(tmp_path: Path) -> None:
    index = build_index(
        tmp_path / "index", [Patient("1", "beta gamma alpha"), Patient("2", "delta")]
    )
    shares = index.explain(Query("q", "gamma beta alpha"), "1").shares
    assert [entry.term for entry in shares] == ["alpha", "beta", "gamma"]
    assert len({entry.share for entry in shares}) == 1


def test_words_are_marked_where_they_stand(index: Index) -> None:
    shares = index.explain(Query("q", "confused by nystagmus"), "wernicke").shares
    (passage,) = find_passages(NOTES["wernicke"], shares, index.spans(NOTES["wernicke"]), count=1)
    assert marked(passage) == ["Confusion", "nystagmus", "Confusion", "nystagmus"]


def test_words_that_lower_casing_lengthens_are_marked_in_place(index: Index) -> None:
    assert len("İ".lower()) == 2
    text = NOTES["istanbul"]
    shares = index.explain(Query("q", "fever strasse doğdu"), "istanbul").shares
    (passage,) = find_passages(text, shares, index.spans(text), count=1)
    assert marked(passage) == ["doğdu", "Fever", "fever", "STRASSE"]
    shares = index.explain(Query("q", "İzmir"), "istanbul").shares
    passages = find_passages(text, shares, index.spans(text))
    assert {word for passage in passages for word in marked(passage)} <= {"İzmir", "İstanbul"}


def test_spans_count_characters_of_the_text_itself() -> None:
    text = "İİİ Σας 𝒳 ΟΔΟΣ fever"
    as_written = Analyzer(AnalysisSettings("none", "none", normalization="none"))
    folded = [("İİİ", "iii"), ("Σας", "σασ"), ("𝒳", "x"), ("ΟΔΟΣ", "οδοσ"), ("fever", "fever")]
    plain = [("Σας", "σας"), ("𝒳", "𝒳"), ("ΟΔΟΣ", "οδος"), ("fever", "fever")]
    assert [(text[a:b], term) for a, b, term in PLAIN.spans(text)] == folded
    assert [(text[a:b], term) for a, b, term in as_written.spans(text) if term != "i"] == plain


def test_pairs_of_characters_are_marked_as_one_stretch() -> None:
    text = "诊断为肺炎患者"
    shares = (share("肺炎", 1.0), share("炎患", 0.9), share("肺", 0.8))
    (passage,) = find_passages(text, shares, PLAIN.spans(text))
    assert marked(passage) == ["肺炎患"]


def test_the_best_stretch_comes_first() -> None:
    text = "alpha " + "filler " * 60 + "beta gamma " + "filler " * 60 + "delta"
    shares = (share("alpha", 1.0), share("beta", 0.9), share("gamma", 0.9), share("delta", 0.5))
    first, second = find_passages(text, shares, PLAIN.spans(text), width=60)
    assert marked(first) == ["beta", "gamma"]
    assert marked(second) == ["alpha"]
    assert len(first.text) <= 60
    assert second.text.startswith("alpha filler")


def test_a_term_counts_once() -> None:
    text = "alpha alpha alpha " + "filler " * 60 + "beta"
    shares = (share("alpha", 1.0), share("beta", 0.4))
    assert [marked(p) for p in find_passages(text, shares, PLAIN.spans(text), width=40)] == [
        ["alpha"] * 3,
        ["beta"],
    ]
    only_alpha = "alpha " + "filler " * 60 + "alpha"
    (passage,) = find_passages(only_alpha, shares, PLAIN.spans(only_alpha), width=40)
    assert marked(passage) == ["alpha"]


def test_words_that_add_little_are_not_marked() -> None:
    shares = (share("fever", 1.0), share("the", 0.2))
    (passage,) = find_passages("the fever of the man", shares, PLAIN.spans("the fever of the man"))
    assert passage == Passage("the fever of the man", ((4, 9),))


def test_a_word_longer_than_the_width() -> None:
    text = f"short {'x' * 50} end"
    (passage,) = find_passages(text, (share("x" * 50, 1.0),), PLAIN.spans(text), width=10)
    assert marked(passage) == ["x" * 50]


def terms_in(words: list[str]) -> set[str]:
    return {term for word in words for term in PLAIN.terms(word)}


words = st.sampled_from(["fever", "Fever", "cough", "İzmir", "straße", "日本", "a", "the"])
texts = st.lists(st.tuples(words, st.sampled_from([" ", ", ", "\n", "   ", "-"]))).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@settings(max_examples=EXAMPLES)
@given(
    text=st.one_of(texts, st.text()),
    values=st.dictionaries(
        st.sampled_from(["fever", "cough", "i", "strasse", "日本", "a"]), st.floats(0.01, 10)
    ),
    width=st.integers(1, 120),
    count=st.integers(1, 4),
)
def test_passages_are_stretches_of_the_text(
    text: str, values: dict[str, float], width: int, count: int
) -> None:
    shares = tuple(share(term, value) for term, value in values.items())
    passages = find_passages(text, shares, PLAIN.spans(text), width=width, count=count)
    telling = {term for term, value in values.items() if value >= max(values.values()) / 4}
    assert len(passages) <= count
    assert bool(passages) == any(span[2] in telling for span in PLAIN.spans(text))
    longest = max((end - start for start, end, _ in PLAIN.spans(text)), default=0)
    for passage in passages:
        assert passage.text in text
        assert len(passage.text) <= max(width, longest)
        assert list(passage.matches) == sorted(passage.matches)
        for word in marked(passage):
            assert telling & set(PLAIN.terms(word))
    shown = [telling & terms_in(marked(passage)) for passage in passages]
    for i, terms in enumerate(shown):
        assert terms - set().union(*shown[:i])  # each shows something new
