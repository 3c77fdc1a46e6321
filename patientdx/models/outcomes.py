"""Outcomes of single prompts of a batch: one that fails takes no other with it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from patientdx.errors import ModelError, ReplyError
from patientdx.protocols import Completion

_Result = TypeVar("_Result")


def outcome_of(work: Callable[[], _Result]) -> _Result | ModelError:
    """The result of a piece of work, or the ModelError that it raised."""
    try:
        return work()
    except ModelError as error:
        return error


def require_completions(outcomes: Sequence[Completion | ModelError]) -> list[Completion]:
    """The completions. Raises ReplyError, with those that succeeded, where one is missing.

    Of several errors the most frequent is reported, with the number of all prompts that failed.
    """
    completions = [None if isinstance(outcome, ModelError) else outcome for outcome in outcomes]
    errors = [outcome for outcome in outcomes if isinstance(outcome, ModelError)]
    if not errors:
        return [completion for completion in completions if completion is not None]
    ((message, hint), _), *_ = Counter(
        (error.message, error.hint) for error in errors
    ).most_common()
    count = f" ({len(errors):,} of {len(outcomes):,} prompts)" if len(outcomes) > 1 else ""
    raise ReplyError(
        f"{message}{count}",
        completions,
        hint=hint,
        reason=message,
        concerns_prompt=all(error.concerns_prompt for error in errors),
    )
