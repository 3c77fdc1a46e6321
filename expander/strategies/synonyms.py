"""The strategy `synonyms`: other names of the concepts that a note affirms, without a model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expander.concepts.concept import SCOPES, Concept, Scope
from expander.concepts.finder import ConceptFinder, Mention
from expander.query_terms import add_words
from patientdx.assertions import split_words
from patientdx.errors import InputError
from patientdx.protocols import CorpusView
from patientdx.records import Query


@dataclass(frozen=True)
class SynonymsSettings:
    """Which synonyms are added, and their weights.

    A mentioned concept adds the words of its names in `scopes` that are not in the mention.
    Together they weigh `weight` times the number of words in the mention, divided in proportion
    to the number of names that contain each word; if not `shared`, each weighs `weight`. Words
    that more than `max_share` of the corpus contains are left out.
    """

    weight: float = 0.3
    scopes: tuple[Scope, ...] = ("EXACT",)
    shared: bool = True
    max_share: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise InputError(f"the weight of synonyms must be 0 or more, not {self.weight}")
        if not 0 <= self.max_share <= 1:
            raise InputError(f"max_share must lie between 0 and 1, not {self.max_share}")
        if not set(self.scopes) <= set(SCOPES):
            raise InputError("unknown scope of synonyms", hint=f"some of {', '.join(SCOPES)}")


class Synonyms:
    """Adds the synonyms of every concept that the note mentions and does not negate."""

    name = "synonyms"
    needs = ("corpus", "vocabulary")
    Settings = SynonymsSettings

    def __init__(
        self,
        settings: SynonymsSettings | None = None,
        *,
        corpus: CorpusView,
        vocabulary: Sequence[Concept],
    ) -> None:
        self.settings = settings or SynonymsSettings()
        self._corpus = corpus
        self._finder = ConceptFinder(vocabulary, corpus)
        self._vocabulary = vocabulary
        self._name_words: dict[int, list[dict[str, str]]] = {}

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, each with the synonyms of its concepts as `weights`."""
        return [add_words(query, self._weigh_synonyms(query.text)) for query in queries]

    def concepts(self, text: str) -> list[tuple[Concept, bool]]:
        """The concepts that a note mentions, each with whether the mention is negated."""
        return [
            (self._vocabulary[number], mention.negated)
            for mention in self._finder.find(text)
            for number in mention.concepts
        ]

    def _weigh_synonyms(self, text: str) -> dict[str, float]:
        """The words to add, with their weights. A concept counts once, by its first mention."""
        weights: dict[str, float] = {}
        seen: set[tuple[int, ...]] = set()
        for mention in self._finder.find(text):
            if mention.negated or mention.concepts in seen:
                continue
            seen.add(mention.concepts)
            for word, weight in self._weigh_mention(mention).items():
                weights[word] = max(weights.get(word, 0.0), weight)
        return weights

    def _weigh_mention(self, mention: Mention) -> dict[str, float]:
        """The words that the concepts of a mention add, one word per index term."""
        counts: dict[str, int] = {}
        words: dict[str, str] = {}
        for number in mention.concepts:
            for name_words in self._synonyms_of(number):
                for term, word in name_words.items():
                    if term not in mention.terms:
                        words.setdefault(term, word)
                        counts[term] = counts.get(term, 0) + 1
        if not self.settings.shared:
            return dict.fromkeys(words.values(), self.settings.weight)
        unit = self.settings.weight * len(mention.terms) / max(1, sum(counts.values()))
        return {words[term]: unit * count for term, count in counts.items()}

    def _synonyms_of(self, number: int) -> list[dict[str, str]]:
        """Each name of a concept as its index terms, with the word that each comes from."""
        if number not in self._name_words:
            self._name_words[number] = [
                self._informative_words(name.text)
                for name in self._vocabulary[number].names
                if name.scope in self.settings.scopes
            ]
        return self._name_words[number]

    def _informative_words(self, name: str) -> dict[str, str]:
        return {
            term: word.text.lower()
            for word in split_words(name)
            for term in self._corpus.terms(word.text)
            if len(term) > 1 and self._is_informative(term)
        }

    def _is_informative(self, term: str) -> bool:
        """Whether the corpus contains a term, but not too often."""
        df = self._corpus.document_frequency(term)
        return 0 < df <= self.settings.max_share * self._corpus.size
