"""Many requests at once, in order, stopped at once when the user interrupts."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from patientdx.errors import ReplyError
from patientdx.protocols import Completion

from .wire import UnansweredError, Wire

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def each(
    ask: Callable[[_In], _Out], items: Sequence[_In], at_once: int, wire: Wire
) -> list[_Out | UnansweredError]:
    """What `ask` gives for every item, or the error that it ended in.

    When anything else is raised, an interrupt above all, what is under way ends first.
    """
    if at_once < 2 or len(items) < 2:
        return [_outcome(lambda item=item: ask(item)) for item in items]  # type: ignore[misc]
    pool = ThreadPoolExecutor(min(at_once, len(items)))
    try:
        futures: list[Future[_Out]] = [pool.submit(ask, item) for item in items]
        return [_outcome(future.result) for future in futures]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        wire.abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        wire.resume()


def completions(outcomes: Sequence[Completion | UnansweredError]) -> list[Completion]:
    """The completions. Raises ReplyError, with those that succeeded, where one is missing."""
    answered = [None if isinstance(outcome, UnansweredError) else outcome for outcome in outcomes]
    errors = [outcome for outcome in outcomes if isinstance(outcome, UnansweredError)]
    if not errors:
        return [completion for completion in answered if completion is not None]
    last = errors[-1]
    count = f" ({len(errors):,} of {len(outcomes):,} prompts)" if len(outcomes) > 1 else ""
    raise ReplyError(f"{last.message}{count}", answered, hint=last.hint)


def _outcome(ask: Callable[[], _Out]) -> _Out | UnansweredError:
    try:
        return ask()
    except UnansweredError as error:
        return error
