"""The strategy `synonyms`: other names of the concepts that a note affirms, no model needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expander.concepts.finder import ConceptFinder, Mention
from expander.concepts.vocabulary import SCOPES, Concept, Scope
from expander.concepts.words import words_of
from expander.query_terms import add_words
from patientdx.errors import InputError
from patientdx.protocols import CorpusView
from patientdx.records import Query


@dataclass(frozen=True)
class SynonymsSettings:
    """What is added, and what it counts.

    A concept adds the words of its names in `scopes` that are not in the name found. Each word
    counts `weight` times the number of words of the name found, shared among the words by how
    many names hold them; with `shared` off each counts `weight`. Words that more than
    `max_share` of the corpus holds are left out.
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
    """Adds the synonyms of every concept that the note mentions and does not deny."""

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
        self._forms: dict[int, list[dict[str, str]]] = {}

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, each with the synonyms of its concepts as `weights`."""
        return [add_words(query, self._added(query.text)) for query in queries]

    def concepts(self, text: str) -> list[tuple[Concept, bool]]:
        """The concepts that a note mentions, each with whether it is denied there."""
        return [
            (self._vocabulary[number], mention.denied)
            for mention in self._finder.find(text)
            for number in mention.concepts
        ]

    def _added(self, text: str) -> dict[str, float]:
        """Words with weights. A concept counts once, by its first mention."""
        added: dict[str, float] = {}
        seen: set[tuple[int, ...]] = set()
        for mention in self._finder.find(text):
            if mention.denied or mention.concepts in seen:
                continue
            seen.add(mention.concepts)
            for word, weight in self._words(mention).items():
                added[word] = max(added.get(word, 0.0), weight)
        return added

    def _words(self, mention: Mention) -> dict[str, float]:
        """The new words of a mention's concepts, one word a term."""
        counts: dict[str, int] = {}
        words: dict[str, str] = {}
        for number in mention.concepts:
            for form in self._names(number):
                for term, word in form.items():
                    if term not in mention.terms:
                        words.setdefault(term, word)
                        counts[term] = counts.get(term, 0) + 1
        if not self.settings.shared:
            return dict.fromkeys(words.values(), self.settings.weight)
        mass = self.settings.weight * len(mention.terms) / max(1, sum(counts.values()))
        return {words[term]: mass * count for term, count in counts.items()}

    def _names(self, number: int) -> list[dict[str, str]]:
        """Each name of a concept as its terms, with the word that each came from."""
        if number not in self._forms:
            self._forms[number] = [
                self._form(name.text)
                for name in self._vocabulary[number].names
                if name.scope in self.settings.scopes
            ]
        return self._forms[number]

    def _form(self, name: str) -> dict[str, str]:
        return {
            term: word.text.lower()
            for word in words_of(name)
            for term in self._corpus.terms(word.text)
            if len(term) > 1 and self._is_telling(term)
        }

    def _is_telling(self, term: str) -> bool:
        holders = self._corpus.document_frequency(term)
        return 0 < holders <= self.settings.max_share * self._corpus.size
