"""Models on tasks: all figures, subgroups and contrasts of all predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evaluator.statistics.bootstrap import Resampling
from patientdx.errors import EvaluationError

from .contrasts import Contrast, contrasts
from .figures import HEADLINES, Figure, Figures, average, figures
from .predictions import Outcomes, Prediction
from .published import BASELINE, GROUPS, OTHER, group_of
from .subgroups import Subgroup, subgroups

Tasks = Mapping[str, Mapping[str, Prediction]]
"""task (a choice of sections) -> model -> its prediction; all on the same stays."""


class About(NamedTuple):
    """What a reader must know of a model: its group, the λ of a merge, its digest."""

    group: str
    weight: float | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found, by task and model."""

    outcomes: Outcomes
    tasks: Tasks
    models: Mapping[str, About]
    figures: Mapping[str, Mapping[str, Figures]]
    subgroups: Mapping[str, Mapping[str, list[Subgroup]]]
    contrasts: Mapping[str, list[Contrast]]
    settings: Resampling

    @property
    def in_order(self) -> list[str]:
        """The models, group by group as in the paper's table, then as they were given."""
        order = (*GROUPS, OTHER, BASELINE)
        return sorted(self.models, key=lambda name: order.index(self.models[name].group))

    @property
    def once(self) -> list[tuple[str, str, str]]:
        """Each prediction once: its first task, what to call that, and its model.

        A prediction that all tasks share, such as a baseline's, is that of "all" tasks.
        """
        rows = []
        for task, of in self.tasks.items():
            for name, one in of.items():
                sharing = [other for other, some in self.tasks.items() if some.get(name) is one]
                if sharing[0] == task:
                    shared = len(sharing) == len(self.tasks) > 1
                    rows.append((task, "all" if shared else task, name))
        return rows

    def average(self, model: str, name: str) -> Figure | None:
        """The mean of a headline figure over the tasks; None where a task lacks it."""
        found = [self.figures[task].get(model) for task in self.tasks]
        present = [one for one in found if one is not None]
        if len(present) < max(2, len(found)) or name not in HEADLINES:
            return None
        return average(present, name, self.settings.level)


def evaluate_predictions(
    tasks: Tasks,
    outcomes: Outcomes,
    models: Mapping[str, About] | None = None,
    settings: Resampling | None = None,
) -> Evaluation:
    """All figures of all predictions; contrasts are with the first model of each task.

    A model that `models` does not tell about gets the group of its name. Raises EvaluationError
    for no prediction, and for one of other stays.
    """
    settings = settings or Resampling()
    names = list(dict.fromkeys(name for of in tasks.values() for name in of))
    if not names:
        raise EvaluationError("there is no prediction to evaluate")
    for of in tasks.values():
        if any(len(one.answers) != len(outcomes) for one in of.values()):
            raise EvaluationError("a prediction is needed for every stay of the cohort")
    told = {name: About(group_of(name)) for name in names} | dict(models or {})
    found = {
        task: {name: figures(one, outcomes, settings) for name, one in of.items()}
        for task, of in tasks.items()
    }
    return Evaluation(
        outcomes=outcomes,
        tasks=tasks,
        models={name: told[name] for name in names},
        figures=found,
        subgroups={
            task: {name: subgroups(one, outcomes, settings.level) for name, one in of.items()}
            for task, of in tasks.items()
        },
        contrasts={
            task: contrasts(of, found[task], outcomes, settings.level) for task, of in tasks.items()
        },
        settings=settings,
    )
