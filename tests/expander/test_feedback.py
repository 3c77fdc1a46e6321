"""RM3 and Rocchio against brute force written here from the formulas, and what may feed back."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from expander_fakes import index_of
from oracle import Oracle, tokens_by

from expander.strategies.rm3 import Rm3, Rm3Settings
from expander.strategies.rocchio import Rocchio, RocchioSettings
from indexer.index import Index
from patientdx.errors import InputError
from patientdx.protocols import Expander
from patientdx.records import Filter, Hit, Patient, Query

WORDS = [f"w{number:02d}" for number in range(40)] + ["a_b", "œdème", "x", "w" * 21]
RND = Random(7)
NOTES = [
    " ".join(RND.choices(WORDS, [1 / (n + 2) for n in range(len(WORDS))], k=RND.randrange(3, 40)))
    for _ in range(60)
]
QUERIES = [
    Query("q1", "w00 w05 w05 w11"),
    Query("q2", "w30", {"w31 w32": 0.5}, {"w33": 2.0}),
    Query("q3", "w02 w03 w04 w05 w06 w07 w08 w09 w10 w11 w12"),
]
MAX_SHARE = 0.5


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("feedback") / "index", NOTES)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    patients = {f"p{number}": Patient(f"p{number}", text) for number, text in enumerate(NOTES)}
    return Oracle(patients, tokens_by("english", "english"), 0.9, 0.4)


def is_eligible(oracle: Oracle, term: str) -> bool:
    holders = sum(term in counts for counts in oracle.counts.values())
    return 2 <= len(term) <= 20 and "_" not in term and holders / len(NOTES) <= MAX_SHARE


def feedback_notes(oracle: Oracle, query: Query, count: int) -> list[tuple[float, Counter[str]]]:
    """Scores and eligible terms of the first hits."""
    hits = oracle.ranking(query)[:count]
    return [
        (score, Counter({t: n for t, n in oracle.counts[i].items() if is_eligible(oracle, t)}))
        for i, score in hits
    ]


def heaviest_by_hand(weights: Mapping[str, float], count: int) -> dict[str, float]:
    pairs = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(pairs[:count])


def rm3_by_hand(
    oracle: Oracle, query: Query, docs: int, terms: int, lam: float
) -> dict[str, float]:
    """The whole mixture, summing to 1."""
    masses: defaultdict[str, float] = defaultdict(float)
    for score, counts in feedback_notes(oracle, query, docs):
        heaviest = heaviest_by_hand(counts, terms)
        for term, count in heaviest.items():
            masses[term] += score * count / sum(heaviest.values())
    model = heaviest_by_hand(masses, terms)
    query_weights = oracle.query_counts(query)
    return {
        term: lam * query_weights.get(term, 0) / sum(query_weights.values())
        + (1 - lam) * model.get(term, 0) / sum(model.values())
        for term in query_weights.keys() | model.keys()
    }


def rocchio_by_hand(
    oracle: Oracle, query: Query, docs: int, terms: int, alpha: float, beta: float
) -> dict[str, float]:
    """The whole new query vector."""
    notes = feedback_notes(oracle, query, docs)
    mean: defaultdict[str, float] = defaultdict(float)
    for _, counts in notes:
        norm = math.hypot(*counts.values())
        for term, count in counts.items():
            mean[term] += count / norm / len(notes)
    heaviest = heaviest_by_hand(mean, terms)
    query_weights = oracle.query_counts(query)
    lengths = math.hypot(*query_weights.values()), math.hypot(*heaviest.values())
    return {
        term: alpha * query_weights.get(term, 0) / lengths[0]
        + beta * heaviest.get(term, 0) / lengths[1]
        for term in query_weights.keys() | heaviest.keys()
    }


def scaled(oracle: Oracle, query: Query, total: float, norm: int) -> dict[str, float]:
    """A query as its terms, scaled so that its L1 or L2 norm is `total`."""
    counts = oracle.query_counts(query)
    size = sum(counts.values()) if norm == 1 else math.hypot(*counts.values())
    return {term: count * total / size for term, count in counts.items()}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.query_id)
@pytest.mark.parametrize(("docs", "terms", "lam"), [(3, 5, 0.5), (10, 10, 0.8), (1, 1, 0.1)])
def test_rm3_equals_its_formula(
    index: Index, oracle: Oracle, query: Query, docs: int, terms: int, lam: float
) -> None:
    settings = Rm3Settings(docs, terms, lam, MAX_SHARE)
    (expanded,) = Rm3(settings, searcher=index, corpus=index).expand_many([query])
    mixture = rm3_by_hand(oracle, query, docs, terms, lam)
    assert scaled(oracle, expanded, 1.0, 1) == pytest.approx(mixture, rel=1e-12)
    assert (expanded.text, expanded.weights) == (query.text, query.weights)
    check_same_ranking(index, expanded, mixture)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.query_id)
@pytest.mark.parametrize(("docs", "terms", "alpha", "beta"), [(3, 5, 1, 0.75), (10, 10, 0.5, 2)])
def test_rocchio_equals_its_formula(
    index: Index, oracle: Oracle, query: Query, docs: int, terms: int, alpha: float, beta: float
) -> None:
    settings = RocchioSettings(docs, terms, alpha, beta, MAX_SHARE)
    (expanded,) = Rocchio(settings, searcher=index, corpus=index).expand_many([query])
    moved = rocchio_by_hand(oracle, query, docs, terms, alpha, beta)
    length = math.hypot(*moved.values())
    assert scaled(oracle, expanded, length, 2) == pytest.approx(moved, rel=1e-12)
    check_same_ranking(index, expanded, moved)


def check_same_ranking(index: Index, expanded: Query, weights: dict[str, float]) -> None:
    """Scaling a query leaves its ranking; rounding may swap what is within a millionth."""
    ours = index.search_many([expanded], 60)[0]
    theirs = {
        hit.doc_id: hit.score for hit in index.search_many([Query("w", "", {}, weights)], 60)[0]
    }
    ratio = ours[0].score / theirs[ours[0].doc_id]
    assert {hit.doc_id: hit.score for hit in ours} == pytest.approx(
        {doc_id: score * ratio for doc_id, score in theirs.items()}, rel=1e-5
    )


def test_queries_keep_their_order_and_those_without_hits_are_unchanged(index: Index) -> None:
    queries = [Query("a", "nothing known"), QUERIES[0], Query("b", "")]
    for strategy in feedback_strategies(index):
        expanded = strategy.expand_many(queries)
        assert [query.query_id for query in expanded] == ["a", "q1", "b"]
        assert expanded[0] is queries[0]
        assert expanded[2] is queries[2]
        assert expanded[1].terms
        assert strategy.expand_many([]) == []


def feedback_strategies(index: Index, where: Filter | None = None) -> list[Expander]:
    return [
        Rm3(Rm3Settings(max_share=MAX_SHARE), searcher=index, corpus=index, where=where),
        Rocchio(RocchioSettings(max_share=MAX_SHARE), searcher=index, corpus=index, where=where),
    ]


def test_ineligible_terms_are_never_added(index: Index) -> None:
    for strategy in feedback_strategies(index):
        for query in strategy.expand_many(QUERIES):
            new = query.terms.keys() - {"w33"}
            assert all(index.document_frequency(term) <= MAX_SHARE * index.size for term in new)
            assert not new & {"a_b", "x", "w" * 21, "w00"}


def test_the_note_of_the_query_itself_is_not_used(index: Index) -> None:
    query = Query("p7", NOTES[7])
    unknown = Query("other", NOTES[7])
    for strategy, filtered in zip(
        feedback_strategies(index),
        feedback_strategies(index, Filter(exclude_ids=frozenset({"p7"}))),
        strict=True,
    ):
        (own,) = strategy.expand_many([query])
        (with_note,) = strategy.expand_many([unknown])
        (without,) = filtered.expand_many([unknown])
        assert own.terms == without.terms != with_note.terms


class RecordingSearcher:
    """A searcher that records how many hits each search requests."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.depths: list[int] = []

    def search_many(
        self, queries: Sequence[Query], k: int = 10, where: Filter | None = None
    ) -> list[list[Hit]]:
        self.depths.append(k)
        return self._index.search_many(queries, k, where)


def test_one_search_serves_all_queries(index: Index) -> None:
    searcher = RecordingSearcher(index)
    Rm3(Rm3Settings(documents=4), searcher=searcher, corpus=index).expand_many(QUERIES)
    assert searcher.depths == [5]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rm3Settings(documents=0),
        lambda: Rm3Settings(original_weight=0),
        lambda: Rm3Settings(max_share=2),
        lambda: RocchioSettings(alpha=0),
        lambda: RocchioSettings(beta=-1),
        lambda: RocchioSettings(beta=math.nan),
        lambda: RocchioSettings(terms=0),
    ],
)
def test_settings_out_of_range_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(InputError):
        make()
