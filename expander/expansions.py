"""Expanding whole files of queries, and the rows that the command `expand` writes."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from patientdx.protocols import Expander
from patientdx.records import Query

from .cached_generator import ModelReply
from .strategies.prompted import PromptedExpander


class Expansion(NamedTuple):
    """A query, the expanded query, and the model's reply where the strategy uses a model."""

    query: Query
    expanded: Query
    reply: ModelReply | None


def expand_queries(
    queries: Iterable[Query], expander: Expander, *, window: int = 1024
) -> Iterator[Expansion]:
    """Expands queries in order, `window` at a time.

    Within a window the model may process prompts in any order, to fill its batches well. Progress
    inside a window is reported to `on_progress` of the expander's `CachedGenerator`.
    """
    remaining = iter(queries)
    while chunk := list(islice(remaining, window)):
        if isinstance(expander, PromptedExpander):
            expanded_chunk = expander.expand_with_replies(chunk)
        else:
            expanded_chunk = [(expanded, None) for expanded in expander.expand_many(chunk)]
        for query, (expanded, reply) in zip(chunk, expanded_chunk, strict=True):
            yield Expansion(query, expanded, reply)


def expansion_row(expansion: Expansion, *, with_reply: bool = False) -> dict[str, Any]:
    """An expansion as JSON: the query's id and what the expander changed, never the query's text.

    `replaces_text` is true where `weights` and `terms` are the whole expanded query. `origin`
    says where the reply came from: model, cache or failed.
    """
    query, expanded, reply = expansion
    is_replaced = expanded.text != query.text
    row: dict[str, Any] = {
        "query_id": query.query_id,
        "weights": _increases({} if is_replaced else query.weights, expanded.weights),
        "terms": _increases({} if is_replaced else query.terms, expanded.terms),
        "replaces_text": is_replaced,
    }
    if reply is not None:
        row["origin"] = reply.origin
        if with_reply:
            row["reply"] = reply.text
    return row


def _increases(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    differences = {name: weight - before.get(name, 0.0) for name, weight in after.items()}
    return {name: weight for name, weight in differences.items() if weight > 0}
