"""The strategy `keywords`: the model names missing keywords; note and keywords are one query.

The paper's strategy (PatientDx, arXiv 2504.17360), its prompt *reconstructed* from a translation
of the paper, with its 200 new tokens. Unlike there, as far as the paper tells, the reply is
parsed before it is added (see `reply`), and a repeated keyword counts once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expander.prompts import read_prompt
from expander.query_terms import with_weights
from patientdx.errors import InputError
from patientdx.protocols import GenerationSettings, Generator, Prompt
from patientdx.records import Query

from .prompted import PromptedExpander, asking
from .reply_parser import MAX_KEYWORDS, keywords

_GENERATION = GenerationSettings(max_new_tokens=200)


@dataclass(frozen=True)
class KeywordsSettings:
    """What a keyword counts (a word of the note counts 1), and how many are taken at most.

    `only_missing` leaves out the words of the note, which small models like to repeat.
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
    """Adds the keywords that a language model finds missing in a note."""

    name = "keywords"
    needs = ("generator",)
    Settings = KeywordsSettings

    def __init__(self, settings: KeywordsSettings | None = None, *, generator: Generator) -> None:
        self.settings = settings or KeywordsSettings()
        super().__init__(generator, self.settings.generation)
        self._wording = read_prompt("keywords")

    def prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        """The paper's prompt about each note."""
        return [asking(self._wording, query.text) for query in queries]

    def read(self, query: Query, prompt: str, reply: str) -> Query:
        """The query with the reply's keywords as `weights`."""
        known = query.text if self.settings.only_missing else ""
        found = keywords(reply, prompt, self.settings.most, known)
        return with_weights(query, dict.fromkeys(found, self.settings.weight))
