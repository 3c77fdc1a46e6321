"""Concurrent requests with results in order, which an interrupt ends at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from patientdx.errors import ModelError
from patientdx.models.outcomes import outcome_of

from .client import JsonClient

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def request_all(
    request: Callable[[_Item], _Result], items: Sequence[_Item], workers: int, client: JsonClient
) -> list[_Result | ModelError]:
    """The result of `request` for each item, or the ModelError it raised.

    Any other exception, an interrupt above all, first ends the requests under way.
    """
    if workers < 2 or len(items) < 2:
        return [outcome_of(lambda item=item: request(item)) for item in items]  # type: ignore[misc]
    pool = ThreadPoolExecutor(min(workers, len(items)))
    try:
        futures: list[Future[_Result]] = [pool.submit(request, item) for item in items]
        return [outcome_of(future.result) for future in futures]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        client.abort()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        client.resume()
