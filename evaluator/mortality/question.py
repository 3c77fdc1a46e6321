"""What a model is asked about a stay, and how its answer is read.

The paper's English wording is *reconstructed* from a translation; its first sentence was seen in
the same laboratory's code (jeslev/llm-patient-ehr).
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b

from patientdx.protocols import Prompt

_SHORT = 3
"""Letters of a label that is likely to be written in capitals."""

_WORD = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Question:
    """A prompt, the labels that mean death and survival, and how many tokens a reply may have.

    A space at the end of `after` is part of the published wording, but is not sent: it would
    begin the answer's first token. Instead the surface forms count with and without one.
    """

    before: str
    after: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    new_tokens: int = 2
    status: str = ""

    def prompt(self, sections: Sequence[str]) -> Prompt:
        """The question about a record, which is given section by section.

        The record's last full stop is left out where the question brings one.
        """
        parts = list(sections)
        if parts:
            parts[-1] = parts[-1].rstrip().removesuffix(self.after[:1].strip())
        return Prompt(self.before, "".join(parts), self.after.rstrip(), tuple(parts))

    @property
    def forms(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The surface forms of the labels of death, and of those of survival."""
        return _forms(self.positive), _forms(self.negative)

    def read(self, reply: str) -> bool | None:
        """Whether a reply says that the patient died; None where it says neither, or both.

        Its first word, or number, decides; a label of the other kind after it contradicts.
        """
        words = _WORD.findall(reply.casefold())
        first = words[:1]
        died = any(word in self.positive for word in words)
        lived = any(word in self.negative for word in words)
        if died == lived or first[0] not in {*self.positive, *self.negative}:
            return None
        return died

    def key(self, digest: str, sections: Sequence[str]) -> bytes:
        """All that an answer of the model with this digest depends on, in 32 bytes."""
        asked = {name: value for name, value in asdict(self).items() if name != "status"}
        parts = json.dumps([digest, asked, list(sections)], sort_keys=True)
        return blake2b(parts.encode("ascii"), digest_size=32).digest()


PAPER = Question(
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
    """Ln P(died) - ln P(lived), from log-probabilities; 0 where neither can be."""
    return 0.0 if died == lived else died - lived


def probability(odds: float) -> float:
    """The probability of log-odds: P(died) / (P(died) + P(lived))."""
    small = math.exp(-abs(odds))
    return 1 / (1 + small) if odds >= 0 else small / (1 + small)


def _forms(labels: Sequence[str]) -> tuple[str, ...]:
    """Each label as it stands and capitalised (yes and no also in capitals), each with a space
    before it and without.
    """
    cases = (case for label in labels for case in _cases(label))
    return tuple(dict.fromkeys(form for case in cases for form in (f" {case}", case)))


def _cases(label: str) -> tuple[str, ...]:
    plain = (label, label.capitalize())
    return (*plain, label.upper()) if len(label) <= _SHORT else plain
