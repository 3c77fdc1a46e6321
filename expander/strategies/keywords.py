"""The strategy `keywords`: the model suggests missing keywords, which are added to the note.

The paper's strategy (PatientDx, arXiv 2504.17360) with its 200 new tokens; its prompt is
*reconstructed* from a translation of the paper. The paper does not mention it, but here the reply
is parsed before it is added (see `expander.reply_parsing`), and a repeated keyword counts once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expander.prompts import read_prompt
from expander.query_terms import add_words
from expander.reply_parsing.keyword_list import MAX_KEYWORDS, parse_keywords
from patientdx.errors import InputError
from patientdx.protocols import GenerationSettings, Generator, Prompt
from patientdx.records import Query

from .prompted import PromptedExpander, fill_prompt

_GENERATION = GenerationSettings(max_new_tokens=200)


@dataclass(frozen=True)
class KeywordsSettings:
    """The weight of a keyword (a word of the note weighs 1) and the maximum number of keywords.

    `only_missing` drops words that the note contains already; small models like to repeat them.
    """

    weight: float = 1.0
    most: int = MAX_KEYWORDS
    only_missing: bool = False
    generation: GenerationSettings = _GENERATION

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise InputError(f"the weight of keywords must be 0 or more, not {self.weight}")
        if self.most < 1:
            raise InputError(f"the number of keywords must be 1 or more, not {self.most}")


class Keywords(PromptedExpander):
    """Adds the keywords that a language model considers missing in a note."""

    name = "keywords"
    needs = ("generator",)
    Settings = KeywordsSettings
    tuning_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"most": (64, 20, 10)}

    def __init__(self, settings: KeywordsSettings | None = None, *, generator: Generator) -> None:
        self.settings = settings or KeywordsSettings()
        super().__init__(generator, self.settings.generation)
        self._template = read_prompt("keywords")

    def build_prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The paper's prompt about each note."""
        return [fill_prompt(self._template, query.text) for query in queries]

    def apply_reply(self, query: Query, prompt: str, reply: str) -> Query:
        """The query with the reply's keywords as `weights`."""
        known_text = query.text if self.settings.only_missing else ""
        keywords = parse_keywords(reply, prompt, self.settings.most, known_text)
        return add_words(query, dict.fromkeys(keywords, self.settings.weight))
