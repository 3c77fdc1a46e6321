"""Settings chosen by grid on judged queries, and what they are worth on queries they never saw."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from evaluator.statistics.folds import Folds
from evaluator.statistics.significance import Values
from patientdx.errors import EvaluationError
from patientdx.protocols import Searcher
from patientdx.records import Qrels, Query

from .evaluation import Evaluation, evaluate_searcher
from .judgements import fingerprints
from .measures import parse_measures

Setting = bool | int | float | str
Settings = Mapping[str, Setting]
"""A candidate: names and values, such as {"k1": 0.9, "b": 0.4}."""

_NOISE = 1e-12
"""Relative rounding error of a mean; candidates that differ by no more are equally good."""


@dataclass(frozen=True)
class Tuning:
    """What was chosen, and the figures behind it.

    `means` has the mean of each candidate over all queries, `chosen` the candidate that is best
    over all of them. `fold_choices` has the candidate that is best over the queries outside each
    fold; `out_of_fold` has for every query the values under the choice of its fold, which that
    query had no part in: these are the values to judge and compare a tuned system by. `untuned`
    has the values of the first candidate, the default. `judged` are fingerprints of the
    judgements that were used.
    """

    measure: str
    candidates: tuple[Settings, ...]
    means: tuple[float, ...]
    chosen: int
    folds: Folds
    fold_of: Mapping[str, int]
    fold_choices: tuple[int, ...]
    untuned: Evaluation
    out_of_fold: Evaluation
    judged: frozenset[str]

    @property
    def settings(self) -> Settings:
        """The candidate chosen on all queries."""
        return self.candidates[self.chosen]

    def settings_for(self, query_id: str) -> Settings:
        """The candidate chosen without the fold of a query, whose out-of-fold values are its."""
        return self.candidates[self.fold_choices[self.fold_of[query_id]]]


def grid(axes: Mapping[str, Sequence[Setting]]) -> list[dict[str, Setting]]:
    """Every combination of the values of each name, the last name varying fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def tune(
    factory: Callable[[Settings], Searcher],
    candidates: Sequence[Settings],
    queries: Iterable[Query],
    qrels: Qrels,
    measures: str | Sequence[str],
    *,
    folds: Folds | None = None,
    depth: int = 1000,
    on_progress: Callable[[int], None] | None = None,
) -> Tuning:
    """Evaluates every candidate once on all judged queries, and chooses as `cross_validate` does.

    `factory` makes the searcher of a candidate, one at a time. The first of `measures` decides;
    of the others the out-of-fold values are kept too. `on_progress` is told the number of queries
    of each batch when it is done: in all, the judged queries that have a text, once a candidate.

    No other judgements than `qrels` are looked at. Raises EvaluationError as `cross_validate`
    and `evaluate_searcher`.
    """
    names = parse_measures([measures] if isinstance(measures, str) else measures)
    folds = folds or Folds()
    folds.deal(qrels)  # complains now rather than after the work
    given = list(queries)
    evaluations = [
        evaluate_searcher(
            factory(candidate), given, qrels, names, depth=depth, on_progress=on_progress
        )[0]
        for candidate in candidates
    ]
    return cross_validate(candidates, evaluations, qrels, names[0], folds=folds)


def cross_validate(
    candidates: Sequence[Settings],
    evaluations: Sequence[Evaluation],
    qrels: Qrels,
    measure: str,
    *,
    folds: Folds | None = None,
) -> Tuning:
    """Chooses among candidates that were evaluated already, by their means of `measure`.

    One choice on all queries, and one for each fold on the queries outside it. Of equally good
    candidates the first is taken: let the default stand first.

    Raises EvaluationError for no candidate, for evaluations on other queries than those of
    `qrels`, for a measure that was not computed, and where there are too few queries for folds.
    """
    values = _values(candidates, evaluations, qrels, measure)
    folds = folds or Folds()
    fold_of = folds.deal(qrels)
    fold_by_query = np.array([fold_of[query_id] for query_id in qrels])
    choices = tuple(_best(values[:, fold_by_query != fold]) for fold in range(folds.number))
    out_of_fold = {
        query_id: evaluations[choices[fold_of[query_id]]].per_query[query_id] for query_id in qrels
    }
    return Tuning(
        measure=measure,
        candidates=tuple(dict(candidate) for candidate in candidates),
        means=tuple(math.fsum(row) / row.size for row in values),
        chosen=_best(values),
        folds=folds,
        fold_of=fold_of,
        fold_choices=choices,
        untuned=evaluations[0],
        out_of_fold=Evaluation(evaluations[0].measures, out_of_fold),
        judged=fingerprints(qrels),
    )


def _values(
    candidates: Sequence[Settings], evaluations: Sequence[Evaluation], qrels: Qrels, measure: str
) -> Values:
    """Shape (candidates, queries), in the order of the judgements."""
    if not candidates or len(candidates) != len(evaluations):
        raise EvaluationError("tuning needs one candidate or more, each evaluated once")
    if len({evaluation.measures for evaluation in evaluations}) > 1:
        raise EvaluationError("the candidates were not evaluated by the same measures")
    for evaluation in evaluations:
        evaluation.values(measure)  # tells which measures there are
        if evaluation.per_query.keys() != qrels.keys():
            raise EvaluationError("a candidate was not evaluated on the queries judged")
    return np.array([[one.per_query[query][measure] for query in qrels] for one in evaluations])


def _best(values: Values) -> int:
    """The first candidate whose mean is the greatest, but for rounding."""
    sums = [math.fsum(row) for row in values]
    least = max(sums) - _NOISE * abs(max(sums))
    return next(number for number, one in enumerate(sums) if one >= least)
