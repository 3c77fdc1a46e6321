"""Fingerprints of relevance judgements, which identify them without revealing them."""

import hashlib
import json
from collections.abc import Iterable

from patientdx.records import Qrels

_LENGTH = 16  # hex digits; two of a million queries collide in one of 37 million sets


def judgement_fingerprints(qrels: Qrels) -> frozenset[str]:
    """One fingerprint per query, of its id and its judgements in any order.

    Two sets of judgements share a fingerprint if they judge a query with the same id alike.
    """
    return frozenset(
        _digest([query_id, *sorted(judged.items())])[:_LENGTH] for query_id, judged in qrels.items()
    )


def judgements_digest(judged: Iterable[str]) -> str:
    """One digest (SHA-256) for a set of fingerprints."""
    return _digest(sorted(judged))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
