"""Fingerprints of relevance judgements: which were used, told without telling them."""

import hashlib
import json
from collections.abc import Iterable

from patientdx.records import Qrels

_LENGTH = 16  # hex digits: of a million queries two share them once in 37 million sets


def fingerprints(qrels: Qrels) -> frozenset[str]:
    """One fingerprint a query, of its id and its judgements in any order.

    Two sets of judgements have one in common where they judge a query of the same id alike.
    """
    return frozenset(
        _digest([query_id, *sorted(judged.items())])[:_LENGTH] for query_id, judged in qrels.items()
    )


def digest_of(judged: Iterable[str]) -> str:
    """One digest (SHA-256) for a set of fingerprints."""
    return _digest(sorted(judged))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
