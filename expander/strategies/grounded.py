"""The strategy `grounded`: the model reads the first hits before it writes a passage.

After LameR (Shen et al. 2023, "Large Language Models are Strong Zero-Shot Retriever",
arXiv 2304.14233): the model picks up the collection's own words from notes that BM25 retrieved,
some of which are irrelevant. The prompt is ours. The passage is added as in `query2doc`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from expander.prompts import read_prompt
from expander.reply_parsing.passage import count_passage_words
from patientdx.errors import InputError
from patientdx.protocols import CorpusView, GenerationSettings, Generator, Prompt, Searcher
from patientdx.records import Filter, Query

from .feedback import feedback_hits
from .prompted import PromptedExpander, fill_prompt
from .query2doc import add_passage, check_original_weight

_EXCERPTS_PLACEHOLDER = "{excerpts}"
_CACHED_EXCERPTS = 4096
_GENERATION = GenerationSettings(max_new_tokens=128)


@dataclass(frozen=True)
class GroundedSettings:
    """Number of hits in the prompt, words of each, and the query's weight as in `query2doc`."""

    documents: int = 5
    excerpt_words: int = 60
    original_weight: float = 5.0
    generation: GenerationSettings = _GENERATION

    def __post_init__(self) -> None:
        check_original_weight(self.original_weight)
        if self.documents < 1 or self.excerpt_words < 1:
            raise InputError("the model must see 1 or more hits and 1 or more words of each")


class Grounded(PromptedExpander):
    """Adds the words of a passage that a language model writes after reading the first hits.

    `where` limits which notes it may read, as in feedback; it never reads the query's own note.
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
        self._template = read_prompt("grounded")
        self._searcher = searcher
        self._corpus = corpus
        self._where = where
        self._cached_excerpt = lru_cache(_CACHED_EXCERPTS)(self._excerpt)

    def build_prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The prompt about each query, with excerpts of its first hits."""
        hits_by_query = feedback_hits(self._searcher, queries, self.settings.documents, self._where)
        return [
            self._build_prompt(query, [doc_id for doc_id, _ in hits])
            for query, hits in zip(queries, hits_by_query, strict=True)
        ]

    def apply_reply(self, query: Query, prompt: str, reply: str) -> Query:  # noqa: ARG002 - see below
        """The query with the passage's words as `weights`.

        Sentences copied from an excerpt count: they hold the collection's own words, which is the
        point of the strategy. Hence the reply is compared with the prompt without excerpts.
        """
        bare_prompt = fill_prompt(self._template, query.text, {_EXCERPTS_PLACEHOLDER: ""})
        counts = count_passage_words(reply, bare_prompt.text)
        return add_passage(query, counts, self.settings.original_weight)

    def _build_prompt(self, query: Query, doc_ids: Sequence[str]) -> Prompt:
        excerpts = "\n".join(
            f"{number}. {self._cached_excerpt(doc_id)}" for number, doc_id in enumerate(doc_ids, 1)
        )
        return fill_prompt(self._template, query.text, {_EXCERPTS_PLACEHOLDER: excerpts})

    def _excerpt(self, doc_id: str) -> str:
        """The first words of a note."""
        words = self._corpus.text(doc_id).split()
        excerpt = " ".join(words[: self.settings.excerpt_words])
        return f"{excerpt} …" if len(words) > self.settings.excerpt_words else excerpt
