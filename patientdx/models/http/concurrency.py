"""Concurrent requests with results in order, which an interrupt ends at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from patientdx.errors import ReplyError
from patientdx.protocols import Completion

from .client import JsonClient, UnansweredError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def request_all(
    request: Callable[[_Item], _Result], items: Sequence[_Item], workers: int, client: JsonClient
) -> list[_Result | UnansweredError]:
    """The result of `request` for each item, or the error it raised.

    Any other exception, an interrupt above all, first ends the requests under way.
    """
    if workers < 2 or len(items) < 2:
        return [_result_or_error(lambda item=item: request(item)) for item in items]  # type: ignore[misc]
    pool = ThreadPoolExecutor(min(workers, len(items)))
    try:
        futures: list[Future[_Result]] = [pool.submit(request, item) for item in items]
        return [_result_or_error(future.result) for future in futures]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        client.abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        client.resume()


def require_completions(outcomes: Sequence[Completion | UnansweredError]) -> list[Completion]:
    """The completions. Raises ReplyError, with those that succeeded, where one is missing."""
    completions = [
        None if isinstance(outcome, UnansweredError) else outcome for outcome in outcomes
    ]
    errors = [outcome for outcome in outcomes if isinstance(outcome, UnansweredError)]
    if not errors:
        return [completion for completion in completions if completion is not None]
    last = errors[-1]
    count = f" ({len(errors):,} of {len(outcomes):,} prompts)" if len(outcomes) > 1 else ""
    raise ReplyError(f"{last.message}{count}", completions, hint=last.hint)


def _result_or_error(request: Callable[[], _Result]) -> _Result | UnansweredError:
    try:
        return request()
    except UnansweredError as error:
        return error
