"""The strategy `grounded`: the model sees the first hits before it writes a passage.

After LameR (Shen et al. 2023, "Large Language Models are Strong Zero-Shot Retriever",
arXiv 2304.14233): the model picks up the collection's own words from notes that BM25 found, some
of which are wrong. The wording is ours. What it writes is added as in `query2doc`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from expander.prompts import read_prompt
from patientdx.errors import InputError
from patientdx.protocols import CorpusView, GenerationSettings, Generator, Prompt, Searcher
from patientdx.records import Filter, Query

from .feedback import first_hits
from .prompted import PromptedExpander, asking
from .query2doc import check_original_weight, with_passage
from .reply_parser import passage_words

_EXCERPTS = "{excerpts}"

_GENERATION = GenerationSettings(max_new_tokens=128)


@dataclass(frozen=True)
class GroundedSettings:
    """How many hits the model sees, how many words of each, and the weight as in `query2doc`."""

    documents: int = 5
    excerpt_words: int = 60
    original_weight: float = 5.0
    generation: GenerationSettings = _GENERATION

    def __post_init__(self) -> None:
        check_original_weight(self.original_weight)
        if self.documents < 1 or self.excerpt_words < 1:
            raise InputError("the model must see 1 or more hits and 1 or more words of each")


class Grounded(PromptedExpander):
    """Adds the words of a passage that a language model writes after seeing the first hits.

    `where` limits which notes it may see, as in feedback; never the query's own.
    """

    name = "grounded"
    needs = ("generator", "searcher", "corpus")
    Settings = GroundedSettings

    def __init__(
        self,
        settings: GroundedSettings | None = None,
        *,
        generator: Generator,
        searcher: Searcher,
        corpus: CorpusView,
        where: Filter | None = None,
    ) -> None:
        self.settings = settings or GroundedSettings()
        super().__init__(generator, self.settings.generation)
        self._wording = read_prompt("grounded")
        self._searcher = searcher
        self._corpus = corpus
        self._where = where
        self._excerpt = lru_cache(4096)(self._beginning)

    def prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The prompt about each query, with the beginnings of its first hits."""
        found = first_hits(self._searcher, queries, self.settings.documents, self._where)
        return [
            self._prompt(query, [doc_id for doc_id, _ in hits])
            for query, hits in zip(queries, found, strict=True)
        ]

    def read(self, query: Query, prompt: str, reply: str) -> Query:  # noqa: ARG002 - see below
        """The query with the passage's words as `weights`.

        Sentences that copy an excerpt are taken: the collection's words are what is wanted.
        """
        own = asking(self._wording, query.text, {_EXCERPTS: ""})
        return with_passage(query, passage_words(reply, own.text), self.settings.original_weight)

    def _prompt(self, query: Query, doc_ids: Sequence[str]) -> Prompt:
        excerpts = "\n".join(
            f"{number}. {self._excerpt(doc_id)}" for number, doc_id in enumerate(doc_ids, 1)
        )
        return asking(self._wording, query.text, {_EXCERPTS: excerpts})

    def _beginning(self, doc_id: str) -> str:
        words = self._corpus.text(doc_id).split()
        shown = " ".join(words[: self.settings.excerpt_words])
        return f"{shown} …" if len(words) > self.settings.excerpt_words else shown
