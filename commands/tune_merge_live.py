"""Live merges that `tune-merge` asks about stays: pairs of models, and a scorer for each λ."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from patientdx.errors import UsageError

from . import output
from .merge_inputs import Asked as AskedMerge
from .merge_inputs import Places, asked_recipe, job_of
from .mortality_work import Work

if TYPE_CHECKING:
    from evaluator.lambdas import Candidate, Factory, Ledger, Strategy
    from evaluator.mortality.answer_store import AnswerStore
    from merger.merged_model import MergedModel
    from merger.recipe import Recipe
    from patientdx.models import ModelSettings

REST = "rest"
"""The group of all tensors that no other group has."""

SHARD = 5_000_000_000
"""Bytes of a file of weights."""


@dataclass(frozen=True)
class Asked:
    """How to search, and how models are run."""

    metric: str
    strategy: str
    step: float
    share: float
    trials: int
    groups: tuple[str, ...]
    folds: int
    seed: int
    resamples: int
    settings: "ModelSettings"
    answers: Path
    places: Places
    quiet: bool

    def plan(self) -> "Strategy":
        """The strategy."""
        from evaluator.lambdas import GridSearch, Halving, OptunaSearch, Range, steps

        if self.strategy == "optuna":
            space = {name: Range() for name in (*self.groups, REST)} if self.groups else None
            plain = OptunaSearch(trials=self.trials, seed=self.seed)
            return plain if space is None else replace(plain, space=space)
        if self.strategy == "halving":
            return Halving(steps(self.step), share=self.share, seed=self.seed)
        return GridSearch(steps(self.step))


@dataclass(frozen=True)
class Pair:
    """Two models, and how they are merged."""

    name: str
    asked: AskedMerge
    recipe_: "Recipe"

    @classmethod
    def recipe(cls, path: str) -> "Pair":
        """As a file says."""
        asked = AskedMerge([path], None, None, None, None)
        return cls(Path(path).stem, asked, asked_recipe(asked)[0])

    @classmethod
    def of(cls, name: str | None, first: str, second: str, method: str) -> "Pair":
        """Two models by a method."""
        asked = AskedMerge([first, second], method, 0.5, None, None)
        shown = name or f"{Path(first).name} + {Path(second).name}"
        return cls(shown, asked, asked_recipe(asked)[0])

    def at(self, candidate: "Candidate") -> "tuple[Recipe, str]":
        """The recipe of a candidate, and the command that merges it, without the folder."""
        from merger.recipe_reader import parse_recipe
        from merger.recipe_writer import written

        if candidate.weight is not None:
            return asked_recipe(self.asked._replace(weight=candidate.weight))
        values = dict(candidate.values)
        spots: list[dict[str, Any]] = [
            {"filter": name, "value": value} for name, value in values.items() if name != REST
        ]
        data = self.recipe_.plain()
        data["parameters"] = dict(data.get("parameters") or {})
        data["parameters"]["t"] = [*spots, {"value": values[REST]}]
        return parse_recipe(written(data), self.name), "patientdx merge mergekit_config.yml"

    @property
    def models(self) -> tuple[str, str]:
        """The models at λ = 0 and 1; that at 0 is the recipe's base. Raises UsageError."""
        if len(self.recipe_.inputs) != 2:
            raise UsageError("λ is searched for two models, merged by slerp or linear")
        base = self.recipe_.base
        first, second = sorted(self.recipe_.inputs, key=lambda one: one != base)
        return str(first), str(second)

    @property
    def ends(self) -> tuple[str, str]:
        """Their short names."""
        first, second = self.models
        return Path(first).name, Path(second).name


@contextmanager
def scorers(pair: Pair, method: str, work: Work, asked: Asked) -> "Iterator[Ledger]":
    """A ledger over the live merge of a pair, whose answers are kept on disk batch by batch."""
    from evaluator.mortality.answer_store import AnswerStore

    with _live(pair, asked) as model, AnswerStore(asked.answers) as store:
        factory = _factory(model, method, _records(work), store, asked)
        yield ledger_of(work, factory)


def ledger_of(work: Work, factory: "Factory") -> "Ledger":
    """A ledger over the stays that are asked about, one instance a stay."""
    from evaluator.lambdas import Instances, Ledger

    outcomes = work.outcomes
    instances = Instances.of(outcomes.patients, labels=outcomes.died)
    return Ledger(factory, instances, at_once=max(len(instances), 1))


@contextmanager
def _live(pair: Pair, asked: Asked) -> "Iterator[MergedModel]":
    from merger.job import opened
    from merger.merged_model import MergedModel

    job = job_of(pair.recipe_, asked.places, "stream", SHARD, unsound=False)
    with TemporaryDirectory() as near, opened(job, Path(near) / "live") as ready:
        if ready.plan is None or len(ready.inputs) != 2:
            raise UsageError("λ is searched for two models, merged by slerp or linear")
        model = MergedModel.load(
            ready.plan,
            settings=asked.settings,
            name=pair.name,
            warn=lambda said: output.say(f"warning: {said}", quiet=asked.quiet),
        )
        with closing(model):
            yield model


def _factory(
    model: "MergedModel",
    method: str,
    records: Sequence[Sequence[str]],
    store: "AnswerStore",
    asked: Asked,
) -> "Factory":
    """λ into a scorer of stays: log-odds of yes, and the answer that was written."""
    from evaluator.discrimination import hard_values
    from evaluator.lambdas import Ratings
    from evaluator.mortality.predictions import prediction_of
    from evaluator.mortality.question import PAPER
    from evaluator.mortality.scoring import ask

    def ready(candidate: "Candidate") -> Any:
        model.at(_point(candidate), method=method)

        def score(places: Any) -> Ratings:
            label = f"{model.name}: λ = {candidate}"
            with output.progress(label, len(places), quiet=asked.quiet) as tick:
                done = [0]

                def told(step: Any) -> None:
                    done[0] += step.stays
                    tick(done[0])

                chosen = [records[place] for place in places.tolist()]
                found = prediction_of(ask(model, chosen, PAPER, store, on_done=told), PAPER)
            return Ratings(found.odds, hard_values(found.answers))

        return score

    return ready


def _point(candidate: "Candidate") -> Any:
    """One λ for all tensors, or that of the first group whose name is in a tensor's."""
    if candidate.weight is not None:
        return candidate.weight
    values = dict(candidate.values)
    groups = [name for name in values if name != REST]
    return lambda tensor: values[next((name for name in groups if name in tensor), REST)]


def never(candidate: "Candidate") -> Any:
    """Stands in where nothing may be scored yet."""
    raise UsageError(f"λ = {candidate} is not to be scored here")


def _records(work: Work) -> list[Sequence[str]]:
    """The sections of each stay that is asked about, as text."""
    from evaluator.mortality import read_templates, render

    words, (sections,) = read_templates(work.templates), work.tasks.values()
    chosen = set(work.places)
    return [
        [one.text for one in render(stay, sections, templates=words)]
        for place, stay in enumerate(work.cohort)
        if place in chosen
    ]
