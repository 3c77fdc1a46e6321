"""Whole files of queries, expanded: what `expand` writes."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from patientdx.protocols import Expander
from patientdx.records import Query

from .cached_generator import Reply
from .strategies.prompted import PromptedExpander


class Expansion(NamedTuple):
    """A query, what became of it, and the reply where a model was asked."""

    query: Query
    expanded: Query
    reply: Reply | None


def expand_queries(
    queries: Iterable[Query], expander: Expander, *, window: int = 1024
) -> Iterator[Expansion]:
    """Expands queries in order, `window` at a time.

    Within a window the model may take prompts in an order that packs well. Progress inside it
    is told by the `on_done` of the expander's `CachedGenerator`.
    """
    waiting = iter(queries)
    while some := list(islice(waiting, window)):
        if isinstance(expander, PromptedExpander):
            done = expander.expand_with_replies(some)
        else:
            done = [(expanded, None) for expanded in expander.expand_many(some)]
        for query, (expanded, reply) in zip(some, done, strict=True):
            yield Expansion(query, expanded, reply)


def expansion_row(expansion: Expansion, *, with_reply: bool = False) -> dict[str, Any]:
    """An expansion as JSON: the query's id and what the expander changed, never its text.

    `replaces_text` is true where `weights` and `terms` are the whole expanded query. `origin`
    says where the reply came from: model, cache or failed.
    """
    query, expanded, reply = expansion
    is_new = expanded.text != query.text
    row: dict[str, Any] = {
        "query_id": query.query_id,
        "weights": _added({} if is_new else query.weights, expanded.weights),
        "terms": _added({} if is_new else query.terms, expanded.terms),
        "replaces_text": is_new,
    }
    if reply is not None:
        row["origin"] = reply.origin
        if with_reply:
            row["reply"] = reply.text
    return row


def _added(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    differences = {name: weight - before.get(name, 0.0) for name, weight in after.items()}
    return {name: weight for name, weight in differences.items() if weight > 0}
