"""Folds of queries for cross-validation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from patientdx.errors import EvaluationError
from patientdx.wording import count_noun


@dataclass(frozen=True)
class Folds:
    """Assigns queries to `number` folds after a seeded shuffle.

    Queries of the same group (such as those made from one article) share a fold; a query that is
    not in `groups` is a group of its own.
    """

    number: int = 5
    seed: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)

    def assign(self, query_ids: Iterable[str]) -> dict[str, int]:
        """The fold of each query, 0 to `number` - 1.

        Large groups are assigned first, each to the fold with the fewest queries: without groups
        the folds differ in size by one at most. The order of the queries has no effect, so that
        all systems tuned on the same queries share folds.

        Raises EvaluationError for fewer than two folds, for fewer groups than folds, and for
        duplicate queries.
        """
        members = _grouped(query_ids, self.groups)
        if self.number < 2 or len(members) < self.number:
            raise EvaluationError(
                f"{count_noun(len(members), 'query or group', 'queries or groups')} for "
                f"{self.number} folds",
                hint="there are two folds or more, and a group or more in each",
            )
        order = np.random.default_rng(self.seed).permutation(len(members))
        sizes = [0] * self.number
        fold_of: dict[str, int] = {}
        for group in sorted((members[i] for i in order), key=len, reverse=True):
            fold = sizes.index(min(sizes))
            sizes[fold] += len(group)
            fold_of.update(dict.fromkeys(group, fold))
        return fold_of


def _grouped(query_ids: Iterable[str], groups: Mapping[str, str]) -> list[list[str]]:
    """The members of each group, in the order of their ids."""
    members: dict[tuple[str, bool], list[str]] = {}
    ids = sorted(query_ids)
    if len(set(ids)) < len(ids):
        raise EvaluationError("a query id occurs twice")
    for query_id in ids:
        alone = query_id not in groups  # a lone query never joins a group named like its id
        members.setdefault((query_id if alone else groups[query_id], alone), []).append(query_id)
    return list(members.values())
