"""Answers in tokens: their surface forms, and which token probabilities they need.

The events "the reply begins with this form" must not overlap, or their sum is no probability: among
the forms of one answer those that extend another form are dropped; between answers it is an error.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from patientdx.errors import ModelError

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class AnswerForms:
    """The forms of each answer as tokens; no form is a prefix of another."""

    answers: tuple[tuple[Tokens, ...], ...]

    @classmethod
    def from_tokens(cls, answers: Sequence[Sequence[Tokens]]) -> "AnswerForms":
        """Raises ModelError for an answer without a form, and for answers that overlap."""
        distinct = tuple(tuple(_drop_extensions(forms)) for forms in answers)
        if not distinct or not all(distinct):
            raise ModelError("an answer needs a surface form of one token or more")
        for number, forms in enumerate(distinct):
            others = [form for other in distinct[number + 1 :] for form in other]
            if any(_overlap(form, other) for form in forms for other in others):
                raise ModelError(
                    "the forms of two answers begin with the same tokens in this model",
                    hint="leave out the form that they share, or write it in another way",
                )
        return cls(distinct)

    @property
    def longest(self) -> int:
        """Number of tokens of the longest form."""
        return max(len(form) for forms in self.answers for form in forms)

    @property
    def next_tokens(self) -> dict[Tokens, tuple[int, ...]]:
        """The tokens that follow each prefix of a form; a prefix comes after its own prefixes."""
        following: dict[Tokens, set[int]] = {}
        for form in (form for forms in self.answers for form in forms):
            for length, token in enumerate(form):
                following.setdefault(form[:length], set()).add(token)
        return {prefix: tuple(sorted(following[prefix])) for prefix in sorted(following)}

    def logprobs(self, token_logprobs: Mapping[Tokens, float]) -> tuple[float, ...]:
        """The log-probability of each answer.

        `token_logprobs` has the log-probability of the last token of each prefix of a form.
        """
        return tuple(
            _log_sum_exp(
                math.fsum(token_logprobs[form[: length + 1]] for length in range(len(form)))
                for form in forms
            )
            for forms in self.answers
        )


def _drop_extensions(forms: Iterable[Tokens]) -> list[Tokens]:
    """The distinct forms that do not extend another form."""
    distinct: list[Tokens] = []
    for form in sorted(set(forms)):  # a prefix sorts before its extensions
        if form and not (distinct and form[: len(distinct[-1])] == distinct[-1]):
            distinct.append(form)
    return distinct


def _overlap(left: Tokens, right: Tokens) -> bool:
    """Whether a form is a prefix of the other."""
    shared = min(len(left), len(right))
    return left[:shared] == right[:shared]


def _log_sum_exp(values: Iterable[float]) -> float:
    terms = list(values)
    largest = max(terms)
    if math.isinf(largest):
        return largest
    return largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
