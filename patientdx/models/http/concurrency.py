"""Many requests at once, in order, stopped at once when the user interrupts."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from patientdx.errors import ReplyError

from .wire import UnansweredError, Wire

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Reply(NamedTuple):
    """A text, and of how many tokens its model made it (0 where that was not told)."""

    text: str
    tokens: int


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


def tokens_of(outcomes: Sequence[Reply | UnansweredError]) -> int:
    """Tokens that were written in all."""
    return sum(one.tokens for one in outcomes if isinstance(one, Reply))


def texts(outcomes: Sequence[Reply | UnansweredError]) -> list[str]:
    """The replies. Raises ReplyError, with those that came, where one is missing."""
    errors = [one for one in outcomes if isinstance(one, UnansweredError)]
    if not errors:
        return [one.text for one in outcomes if isinstance(one, Reply)]
    last = errors[-1]
    count = f" ({len(errors):,} of {len(outcomes):,} prompts)" if len(outcomes) > 1 else ""
    raise ReplyError(
        f"{last.message}{count}",
        [one.text if isinstance(one, Reply) else None for one in outcomes],
        hint=last.hint,
    )


def _outcome(ask: Callable[[], _Out]) -> _Out | UnansweredError:
    try:
        return ask()
    except UnansweredError as error:
        return error
