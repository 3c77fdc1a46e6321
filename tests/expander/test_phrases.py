"""The system `phrases` against its formulas, written out once more."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest
from expander_fakes import index_of
from hypothesis import given
from hypothesis import strategies as st

from expander.systems.phrase_settings import PhraseSettings
from expander.systems.phrases import PhraseSearcher
from expander.systems.word_pairs import pair_counts, pair_scores
from indexer.index import Index
from patientdx.errors import InputError
from patientdx.records import Filter, Query, float32

VOCABULARY = [f"w{i}" for i in range(30)] + ["the", "of"]
note = st.lists(st.sampled_from(VOCABULARY[:8]), max_size=14)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    random = Random(3)
    texts = [
        " ".join(random.choice(VOCABULARY[: 4 + i % 28]) for _ in range(random.randrange(1, 40)))
        for i in range(90)
    ]
    return index_of(tmp_path_factory.mktemp("phrases") / "index", texts)


def lucene(size: int, df: float) -> float:
    return math.log(1 + (size - df + 0.5) / (df + 0.5))


class Definition:
    """Everything from the texts, by brute force."""

    def __init__(self, index: Index, settings: PhraseSettings) -> None:
        self.s = settings
        self.texts = {patient.patient_id: patient.full_text for patient in index.patients()}
        self.vectors = {i: Counter(index.terms(text)) for i, text in self.texts.items()}
        self.df = Counter(term for vector in self.vectors.values() for term in vector)
        self.average = sum(v.total() for v in self.vectors.values()) / len(self.vectors)
        self.index = index

    def bm25(self, weights: Mapping[str, float]) -> dict[str, float]:
        size = len(self.texts)
        scores = {}
        for doc_id, vector in self.vectors.items():
            norm = self.s.k1 * (1 - self.s.b + self.s.b * vector.total() / self.average)
            terms = sorted((t for t in weights if vector[t]), key=str.encode)
            total = sum(
                weights[t] * lucene(size, self.df[t]) * (vector[t] / (vector[t] + norm))
                for t in terms
            )
            if total > 0:
                scores[doc_id] = float32(total)
        return scores

    def sharpened(self, counts: Mapping[str, float]) -> dict[str, float]:
        size = len(self.texts)
        power = self.s.sharpness - 1
        return {t: c * lucene(size, self.df[t]) ** power for t, c in counts.items() if self.df[t]}

    def order(self, scores: Mapping[str, float]) -> list[str]:
        return sorted(scores, key=lambda i: (scores[i], i), reverse=True)

    def search(self, text: str) -> dict[str, float]:
        k3, size = self.s.k3, len(self.texts)
        counts = {t: c * (k3 + 1) / (c + k3) for t, c in Counter(self.index.terms(text)).items()}
        first = self.bm25(self.sharpened(counts))
        best = self.order(first)[: self.s.feedback_notes]
        total = sum(first[i] for i in best)
        mass: defaultdict[str, float] = defaultdict(float)
        for i in best:
            for term, tf in self.vectors[i].items():
                mass[term] += first[i] / total * tf / self.vectors[i].total()
        by_gain = sorted(mass, key=lambda t: (-mass[t] * lucene(size, self.df[t]), t))
        chosen = by_gain[: self.s.feedback_terms]
        for term in chosen:
            share = mass[term] / sum(mass[t] for t in chosen)
            counts[term] = counts.get(term, 0.0) + self.s.feedback_words * share
        scores = self.bm25(self.sharpened(counts))
        head = self.order(scores)[: self.s.rerank]
        extra = self.pairs(text, [self.texts[i] for i in head])
        return scores | {
            i: float32(scores[i] + self.s.pair_weight * more)
            for i, more in zip(head, extra, strict=True)
        }

    def pairs(self, text: str, notes: Sequence[str]) -> list[float]:
        def pairs_and_length(note: str) -> tuple[Counter[tuple[str, str]], int]:
            w = re.findall(r"\w+", note.lower())
            pairs = Counter((w[i], w[i + d]) for d in (1, 2) for i in range(len(w) - d))
            return Counter({x: n for x, n in pairs.items() if x[0] != x[1]}), len(w)

        query_pairs, _ = pairs_and_length(text)
        split = [pairs_and_length(note) for note in notes]
        average = sum(length for _, length in split) / max(1, len(split))
        scores = []
        for held, length in split:
            total = 0.0
            for x, c in query_pairs.items():
                df = sum(x in other for other, _ in split)
                if held[x]:
                    norm = self.s.k1 * (1 - self.s.b + self.s.b * length / average)
                    weight = c * (self.s.k3 + 1) / (c + self.s.k3)
                    total += (
                        weight
                        * lucene(len(notes), df) ** self.s.sharpness
                        * (held[x] / (held[x] + norm))
                    )
            scores.append(total)
        return scores


@pytest.mark.parametrize(
    "settings",
    [
        PhraseSettings(),
        PhraseSettings(rerank=7, feedback_notes=3, feedback_terms=4, feedback_words=2.5),
        PhraseSettings(k1=1.2, b=1.0, sharpness=1.0, k3=0.5, pair_weight=2.0),
    ],
)
def test_scores_equal_the_formulas(index: Index, settings: PhraseSettings) -> None:
    tuned = index.with_bm25(settings.k1, settings.b)
    searcher = PhraseSearcher(settings, searcher=tuned, corpus=tuned)
    definition = Definition(tuned, settings)
    random = Random(9)
    query_texts = [" ".join(random.choices(VOCABULARY, k=n)) for n in (1, 2, 5, 12, 40)]
    results = searcher.search_many(
        [Query(str(i), text) for i, text in enumerate(query_texts)], 1000
    )
    for text, hits in zip(query_texts, results, strict=True):
        expected = definition.search(text)
        assert dict(hits) == pytest.approx(expected, rel=1e-6)
        assert {hit.doc_id for hit in hits} == set(expected)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


def test_hits_after_the_reranked_ones_keep_their_order(index: Index) -> None:
    searcher = PhraseSearcher(PhraseSettings(rerank=5), searcher=index, corpus=index)
    query = Query("q", "w1 w2 w3 w4 the w5 of w6")
    hits = searcher.search_many([query], 1000)[0]
    plain = index.search_many(searcher.weigh_queries([query]), 1000)[0]
    assert hits[5:] == plain[5:]
    assert {hit.doc_id for hit in hits[:5]} == {hit.doc_id for hit in plain[:5]}
    assert searcher.search_many([query], 3)[0] == hits[:3]


def test_filters_apply_to_feedback_too(index: Index) -> None:
    where = Filter(exclude_ids=frozenset(f"p{i}" for i in range(0, 90, 2)))
    searcher = PhraseSearcher(searcher=index, corpus=index)
    hits = searcher.search_many([Query("q", "w1 w2 w9")], 100, where)[0]
    assert hits
    assert all(int(hit.doc_id[1:]) % 2 for hit in hits)


def test_words_added_by_an_expander_are_weighted(index: Index) -> None:
    searcher = PhraseSearcher(searcher=index, corpus=index)
    plain, more = (Query("q", "w1 w2", added) for added in ({}, {"w20": 1.0}))
    weighed = searcher.weigh_queries([plain, more])
    assert weighed[1].terms["w20"] > weighed[0].terms.get("w20", 0.0)


@pytest.mark.parametrize("text", ["", "unindexed", "w1", "w1 w1 w1"])
def test_queries_without_pairs_or_hits(index: Index, text: str) -> None:
    searcher = PhraseSearcher(searcher=index, corpus=index)
    hits = searcher.search_many([Query("q", text)], 5)[0]
    assert (hits == []) == ("w1" not in text)


@given(note, st.lists(note, max_size=6))
def test_pair_scores_are_positive_exactly_for_notes_with_a_query_pair(
    query: list[str], notes: list[list[str]]
) -> None:
    settings = PhraseSettings()
    query_pairs = pair_counts(query, (1, 2))
    assert all(left != right for left, right in query_pairs)
    scores = pair_scores(query_pairs, notes, settings)
    assert len(scores) == len(notes)
    for score, words in zip(scores, notes, strict=True):
        assert (score > 0) == bool(pair_counts(words, (1, 2)).keys() & query_pairs.keys())


@pytest.mark.parametrize("wrong", [{"k3": -1.0}, {"rerank": 0}, {"distances": (0,)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="phrases"):
        PhraseSettings(**wrong)  # type: ignore[arg-type]


def test_a_note_with_the_phrase_ranks_first(tmp_path: Path) -> None:
    small = index_of(tmp_path / "index", ["chest pain at night", "pain in the chest", "no pain"])
    hits = PhraseSearcher(searcher=small, corpus=small).search_many([Query("q", "chest pain")], 3)
    assert hits[0][0].doc_id == "p0"
