"""Strategies that ask a language model: one prompt a query, one reply, words to add."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from expander.cached_generator import CachedGenerator, Reply
from patientdx.protocols import GenerationSettings, Generator, Prompt
from patientdx.records import Query

PATIENT = "{patient_data}"
"""Where a prompt holds the note."""


class PromptedExpander(ABC):
    """What strategies with a model share. A new one says its prompts and how to read a reply.

    A query without text is not worth a question: it stays as it is.
    """

    name: str

    def __init__(self, generator: Generator, generation: GenerationSettings) -> None:
        self.generator = generator
        self.generation = generation

    @abstractmethod
    def prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """What the model is asked for each query, in order."""

    @abstractmethod
    def read(self, query: Query, prompt: str, reply: str) -> Query:
        """The query with what the reply adds; the query itself where that is nothing."""

    def expand_many(self, queries: Sequence[Query]) -> list[Query]:
        """The queries, in order, with `weights` added."""
        return [query for query, _ in self.expand_with_replies(queries)]

    def expand_with_replies(self, queries: Sequence[Query]) -> list[tuple[Query, Reply | None]]:
        """The same, each with the reply; None for a query that the model was not asked about."""
        asked = [number for number, query in enumerate(queries) if query.text.strip()]
        prompts = self.prompts([queries[number] for number in asked])
        done: list[tuple[Query, Reply | None]] = [(query, None) for query in queries]
        replies = self._replies(prompts)
        for number, prompt, reply in zip(asked, prompts, replies, strict=True):
            done[number] = (self.read(queries[number], prompt.text, reply.text), reply)
        return done

    def _replies(self, prompts: Sequence[Prompt]) -> list[Reply]:
        if not prompts:
            return []
        if isinstance(self.generator, CachedGenerator):
            return self.generator.replies(prompts, self.generation)
        return [Reply(text, "model") for text in self.generator.generate(prompts, self.generation)]


def asking(wording: str, note: str, places: Mapping[str, str] | None = None) -> Prompt:
    """A wording with its places filled: the note, which may be cut where a context is short, and
    others. Braces in what is filled in mean nothing.
    """
    before, _, after = wording.partition(PATIENT)
    return Prompt(_filled(before, places or {}), note, _filled(after, places or {}))


def _filled(wording: str, places: Mapping[str, str]) -> str:
    if not places:
        return wording
    any_place = re.compile("|".join(re.escape(place) for place in places))
    return any_place.sub(lambda match: places[match.group()], wording)
