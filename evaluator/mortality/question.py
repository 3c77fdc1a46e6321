"""The question to a model about a stay, and how its reply is parsed.

The paper's English wording is *reconstructed* from a translation; its first sentence was seen in
the code of the same laboratory (jeslev/llm-patient-ehr).
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b

from patientdx.protocols import Prompt

_SHORT_LABEL = 3
"""Letters of the longest label that models also write in capitals."""

_WORD = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Question:
    """A prompt, the labels that mean death and survival, and the number of tokens of a reply.

    A space at the end of `after` is part of the published wording, but is not sent: it would
    begin the first token of the answer. Instead, surface forms exist with and without a space.
    """

    before: str
    after: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    new_tokens: int = 2
    status: str = ""

    def prompt(self, sections: Sequence[str]) -> Prompt:
        """The prompt for a record of some sections.

        The record's last full stop is left out where the question begins with one.
        """
        parts = list(sections)
        if parts:
            parts[-1] = parts[-1].rstrip().removesuffix(self.after[:1].strip())
        return Prompt(self.before, "".join(parts), self.after.rstrip(), tuple(parts))

    @property
    def surface_forms(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The surface forms of the labels of death, and of those of survival."""
        return _forms(self.positive), _forms(self.negative)

    def parse_reply(self, reply: str) -> bool | None:
        """True for death, False for survival; None where the reply has neither label, or both.

        The first word or number must be a label; a label of the other kind contradicts it.
        """
        words = _WORD.findall(reply.casefold())
        first = words[:1]
        died = any(word in self.positive for word in words)
        lived = any(word in self.negative for word in words)
        if died == lived or first[0] not in {*self.positive, *self.negative}:
            return None
        return died

    def answer_key(self, digest: str, sections: Sequence[str]) -> bytes:
        """The key of a stored answer: a hash (32 bytes) of all that the answer depends on."""
        fields = {name: value for name, value in asdict(self).items() if name != "status"}
        parts = json.dumps([digest, fields, list(sections)], sort_keys=True)
        return blake2b(parts.encode("ascii"), digest_size=32).digest()


PAPER_QUESTION = Question(
    before=(
        "You are an extremely helpful healthcare assistant. You answer the question using only "
        "yes or no and considering a patient hospital profile: "
    ),
    after=". Question: Is the patient dead? Answer (yes or no): ",
    positive=("yes", "dead", "1"),
    negative=("no", "survived", "alive", "0"),
    new_tokens=2,
    status="reconstructed from a translation of arXiv 2504.17360",
)
"""The paper's question."""


def log_odds(died: float, lived: float) -> float:
    """Ln P(died) - ln P(lived), from log-probabilities; 0 where both are impossible."""
    return 0.0 if died == lived else died - lived


def probability(odds: float) -> float:
    """The probability of log-odds: P(died) / (P(died) + P(lived))."""
    small = math.exp(-abs(odds))
    return 1 / (1 + small) if odds >= 0 else small / (1 + small)


def _forms(labels: Sequence[str]) -> tuple[str, ...]:
    """Each label as it is and capitalised (short ones also in capitals), with and without a space
    before it.
    """
    cases = (case for label in labels for case in _cases(label))
    return tuple(dict.fromkeys(form for case in cases for form in (f" {case}", case)))


def _cases(label: str) -> tuple[str, ...]:
    plain = (label, label.capitalize())
    return (*plain, label.upper()) if len(label) <= _SHORT_LABEL else plain
