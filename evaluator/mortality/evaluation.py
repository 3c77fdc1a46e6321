"""Evaluates models on tasks: metrics, subgroups and contrasts of all predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evaluator.statistics.bootstrap import Resampling
from patientdx.errors import EvaluationError

from .contrasts import Contrast, compare_models
from .metrics import (
    HEADLINE_METRICS,
    MetricValue,
    ModelMetrics,
    average_over_tasks,
    compute_metrics,
)
from .predictions import Outcomes, Prediction
from .published import BASELINE, GROUPS, OTHER, model_group
from .subgroups import Subgroup, evaluate_subgroups

Tasks = Mapping[str, Mapping[str, Prediction]]
"""Task (a choice of sections) -> model -> its prediction; all on the same stays."""


class ReportedModel(NamedTuple):
    """What the report shows of a model: its group in the main table, λ of a merge, its digest."""

    group: str
    weight: float | None = None
    digest: str | None = None


@dataclass(frozen=True)
class MortalityResults:
    """All results, by task and model."""

    outcomes: Outcomes
    tasks: Tasks
    models: Mapping[str, ReportedModel]
    metrics: Mapping[str, Mapping[str, ModelMetrics]]
    subgroups: Mapping[str, Mapping[str, list[Subgroup]]]
    contrasts: Mapping[str, list[Contrast]]
    resampling: Resampling

    @property
    def ordered_models(self) -> list[str]:
        """The models, group by group as in the paper's table, then in the order of the input."""
        order = (*GROUPS, OTHER, BASELINE)
        return sorted(self.models, key=lambda name: order.index(self.models[name].group))

    @property
    def distinct_predictions(self) -> list[tuple[str, str, str]]:
        """Each prediction once: its first task, the label of that task, and its model.

        The label of a prediction that all tasks share, such as a baseline's, is "all".
        """
        rows = []
        for task, predictions in self.tasks.items():
            for model, prediction in predictions.items():
                sharing = [
                    other for other, row in self.tasks.items() if row.get(model) is prediction
                ]
                if sharing[0] == task:
                    shared = len(sharing) == len(self.tasks) > 1
                    rows.append((task, "all" if shared else task, model))
        return rows

    def average(self, model: str, name: str) -> MetricValue | None:
        """The mean of a headline metric over the tasks; None where a task lacks it."""
        by_task = [self.metrics[task].get(model) for task in self.tasks]
        present = [metrics for metrics in by_task if metrics is not None]
        headline = any(metric.name == name for metric in HEADLINE_METRICS)
        if len(present) < max(2, len(by_task)) or not headline:
            return None
        return average_over_tasks(present, name, self.resampling.level)


def evaluate_predictions(
    tasks: Tasks,
    outcomes: Outcomes,
    models: Mapping[str, ReportedModel] | None = None,
    resampling: Resampling | None = None,
) -> MortalityResults:
    """Evaluates all predictions; contrasts are with the first model of each task.

    A model without a description gets the group that its name suggests. Raises EvaluationError
    where there is no prediction, and for one of other stays.
    """
    resampling = resampling or Resampling()
    names = list(dict.fromkeys(name for predictions in tasks.values() for name in predictions))
    if not names:
        raise EvaluationError("there is no prediction to evaluate")
    for predictions in tasks.values():
        if any(len(prediction.answers) != len(outcomes) for prediction in predictions.values()):
            raise EvaluationError("a prediction is needed for every stay of the cohort")
    described = {name: ReportedModel(model_group(name)) for name in names} | dict(models or {})
    metrics = {
        task: {
            name: compute_metrics(prediction, outcomes, resampling)
            for name, prediction in predictions.items()
        }
        for task, predictions in tasks.items()
    }
    return MortalityResults(
        outcomes=outcomes,
        tasks=tasks,
        models={name: described[name] for name in names},
        metrics=metrics,
        subgroups={
            task: {
                name: evaluate_subgroups(prediction, outcomes, resampling.level)
                for name, prediction in predictions.items()
            }
            for task, predictions in tasks.items()
        },
        contrasts={
            task: compare_models(predictions, metrics[task], outcomes, resampling.level)
            for task, predictions in tasks.items()
        },
        resampling=resampling,
    )
