"""Grid search of settings on judged queries, and cross-validation of the choice."""

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

from .evaluation import Evaluation, OwnNotes, evaluate_searcher
from .judgements import judgement_fingerprints
from .measures import parse_measures

SettingValue = bool | int | float | str
CandidateSettings = Mapping[str, SettingValue]
"""A candidate: names and values, such as {"k1": 0.9, "b": 0.4}."""

_NOISE = 1e-12
"""Relative rounding error of a mean; candidates that differ by no more are equally good."""


@dataclass(frozen=True)
class TuningResult:
    """The chosen candidate, and the measurements behind the choice.

    `means` has the mean of each candidate over all queries, `chosen` the index of the candidate
    that is best over all of them. `fold_choices` has the candidate that is best over the queries
    outside each fold; `out_of_fold` has for every query the values under the choice of its fold,
    which was made without that query: evaluate and compare a tuned system by these values.
    `untuned` has the values of the first candidate, the default. `judged` are fingerprints of
    the judgements used.
    """

    measure: str
    candidates: tuple[CandidateSettings, ...]
    means: tuple[float, ...]
    chosen: int
    folds: Folds
    fold_of: Mapping[str, int]
    fold_choices: tuple[int, ...]
    untuned: Evaluation
    out_of_fold: Evaluation
    judged: frozenset[str]

    @property
    def settings(self) -> CandidateSettings:
        """The candidate chosen on all queries."""
        return self.candidates[self.chosen]

    def settings_for(self, query_id: str) -> CandidateSettings:
        """The candidate chosen without the fold of a query; its out-of-fold values are of it."""
        return self.candidates[self.fold_choices[self.fold_of[query_id]]]


def parameter_grid(axes: Mapping[str, Sequence[SettingValue]]) -> list[dict[str, SettingValue]]:
    """All combinations of the values of each name; the last name varies fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def tune_searcher(  # noqa: PLR0913 - those of evaluate_searcher, and the candidates
    factory: Callable[[CandidateSettings], Searcher],
    candidates: Sequence[CandidateSettings],
    queries: Iterable[Query],
    qrels: Qrels,
    measures: str | Sequence[str],
    *,
    folds: Folds | None = None,
    depth: int = 1000,
    exclude_self: OwnNotes = False,
    on_progress: Callable[[int], None] | None = None,
) -> TuningResult:
    """Evaluates every candidate once on all judged queries, and chooses as `cross_validate` does.

    `factory` makes the searcher of a candidate, one at a time. The first of `measures` decides;
    the out-of-fold values of the others are kept too. `exclude_self` is as in `evaluate_run`,
    `on_progress` receives the number of
    queries of each finished batch; they sum to the judged queries with a text, per candidate.

    Only the judgements in `qrels` are used. Raises EvaluationError as `cross_validate`
    and `evaluate_searcher`.
    """
    names = parse_measures([measures] if isinstance(measures, str) else measures)
    folds = folds or Folds()
    folds.assign(qrels)  # raises before rather than after the work
    all_queries = list(queries)
    evaluations = [
        evaluate_searcher(
            factory(candidate),
            all_queries,
            qrels,
            names,
            depth=depth,
            exclude_self=exclude_self,
            on_progress=on_progress,
        )[0]
        for candidate in candidates
    ]
    return cross_validate(candidates, evaluations, qrels, names[0], folds=folds)


def cross_validate(
    candidates: Sequence[CandidateSettings],
    evaluations: Sequence[Evaluation],
    qrels: Qrels,
    measure: str,
    *,
    folds: Folds | None = None,
) -> TuningResult:
    """Chooses among candidates already evaluated, by their means of `measure`.

    One choice is made on all queries, and one for each fold on the queries outside it. Of equally
    good candidates the first is chosen, so put the default first.

    Raises EvaluationError without candidates, for evaluations on other queries than those of
    `qrels`, for a measure that was not computed, and for too few queries for the folds.
    """
    values = _values(candidates, evaluations, qrels, measure)
    folds = folds or Folds()
    fold_of = folds.assign(qrels)
    fold_by_query = np.array([fold_of[query_id] for query_id in qrels])
    choices = tuple(_best(values[:, fold_by_query != fold]) for fold in range(folds.number))
    out_of_fold = {
        query_id: evaluations[choices[fold_of[query_id]]].per_query[query_id] for query_id in qrels
    }
    return TuningResult(
        measure=measure,
        candidates=tuple(dict(candidate) for candidate in candidates),
        means=tuple(math.fsum(row) / row.size for row in values),
        chosen=_best(values),
        folds=folds,
        fold_of=fold_of,
        fold_choices=choices,
        untuned=evaluations[0],
        out_of_fold=Evaluation(evaluations[0].measures, out_of_fold),
        judged=judgement_fingerprints(qrels),
    )


def _values(
    candidates: Sequence[CandidateSettings],
    evaluations: Sequence[Evaluation],
    qrels: Qrels,
    measure: str,
) -> Values:
    """Shape (candidates, queries), in the order of the judgements."""
    if not candidates or len(candidates) != len(evaluations):
        raise EvaluationError("tuning needs one candidate or more, each evaluated once")
    if len({evaluation.measures for evaluation in evaluations}) > 1:
        raise EvaluationError("the candidates were not evaluated by the same measures")
    for evaluation in evaluations:
        evaluation.values(measure)  # raises if the measure was not computed
        if evaluation.per_query.keys() != qrels.keys():
            raise EvaluationError("a candidate was not evaluated on the queries judged")
    return np.array(
        [[evaluation.per_query[query][measure] for query in qrels] for evaluation in evaluations]
    )


def _best(values: Values) -> int:
    """The index of the greatest mean; of means equal but for rounding, the first."""
    sums = [math.fsum(row) for row in values]
    threshold = max(sums) - _NOISE * abs(max(sums))
    return next(index for index, total in enumerate(sums) if total >= threshold)
