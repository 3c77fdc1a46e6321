"""Answers in tokens: which surface forms count, and the steps that tell their probabilities.

The events "the reply begins with this form" must not overlap, or their sum is no probability: of
one answer's forms those that begin with another one are dropped, between answers it is an error.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from patientdx.errors import ModelError

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """The forms of each answer as tokens; no form of any begins with another."""

    groups: tuple[tuple[Tokens, ...], ...]

    @classmethod
    def of(cls, groups: Sequence[Sequence[Tokens]]) -> "Answers":
        """Raises ModelError for an answer without a form, and where two answers cannot be told."""
        kept = tuple(tuple(_shortest(group)) for group in groups)
        if not kept or not all(kept):
            raise ModelError("an answer needs a surface form of one token or more")
        for place, group in enumerate(kept):
            others = [form for other in kept[place + 1 :] for form in other]
            if any(_overlap(form, other) for form in group for other in others):
                raise ModelError(
                    "the forms of two answers begin with the same tokens in this model",
                    hint="leave out the form that they share, or write it in another way",
                )
        return cls(kept)

    @property
    def longest(self) -> int:
        """Tokens of the longest form."""
        return max(len(form) for group in self.groups for form in group)

    @property
    def steps(self) -> dict[Tokens, tuple[int, ...]]:
        """The tokens wanted after each beginning of a form, each beginning after its own."""
        wanted: dict[Tokens, set[int]] = {}
        for form in (form for group in self.groups for form in group):
            for length, token in enumerate(form):
                wanted.setdefault(form[:length], set()).add(token)
        return {beginning: tuple(sorted(wanted[beginning])) for beginning in sorted(wanted)}

    def logprobs(self, told: Mapping[Tokens, float]) -> tuple[float, ...]:
        """Of each answer, where the log-probability of each token after its beginning is told."""
        return tuple(
            _log_sum(
                math.fsum(told[form[: length + 1]] for length in range(len(form))) for form in group
            )
            for group in self.groups
        )


def _shortest(forms: Iterable[Tokens]) -> list[Tokens]:
    """The forms that begin with no other, each once."""
    kept: list[Tokens] = []
    for form in sorted(set(forms)):  # a beginning sorts before what goes on from it
        if form and not (kept and form[: len(kept[-1])] == kept[-1]):
            kept.append(form)
    return kept


def _overlap(one: Tokens, other: Tokens) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _log_sum(values: Iterable[float]) -> float:
    found = list(values)
    top = max(found)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in found))
