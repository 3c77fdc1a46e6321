"""Live merges that `tune-merge` searches: models, ways to search them, and a ledger over them."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from patientdx.errors import UsageError

from . import output
from .merge_inputs import Asked as AskedMerge
from .merge_inputs import Places, asked_recipe, job_of, plain_model
from .tune_merge_sources import Live, Source

if TYPE_CHECKING:
    from evaluator.selection import Axis, Candidate, CandidateEvaluator, SearchSpace, Strategy
    from merger.live.merged_model import MergedModel
    from merger.recipes.recipe import MergeRecipe
    from patientdx.models import ModelSettings

REST = "rest"
"""The group of all tensors that no other group has."""

SHARD = 5_000_000_000
"""Bytes of a file of weights."""

METHODS = ("slerp", "linear", "multislerp")


@dataclass(frozen=True)
class Family:
    """Two models or more, and how they may be merged; the first is the base.

    `recipe_` is the merge that is opened, linear for more than two models.
    """

    name: str
    asked: AskedMerge
    recipe_: "MergeRecipe"
    methods: tuple[str, ...]

    @classmethod
    def recipe(cls, path: str) -> "Family":
        """As a file says."""
        asked = AskedMerge([path], None, None, None, None)
        found = asked_recipe(asked)[0]
        name = Path(path).stem
        if len(found.inputs) == 2 and found.method != "multislerp":
            return cls(name, asked, found, (found.method,))
        if (
            len(found.inputs) == 2
            or found.method not in METHODS[1:]
            or found.slices
            or found.mergekit_keys
        ):
            raise UsageError(
                "weights of more than two models are searched for linear and multislerp only, "
                "without slices",
                hint="slerp and linear are for two, linear and multislerp for more",
            )
        models = sorted(found.inputs, key=lambda one: one != found.base)
        return cls._many(
            name, [one.to_yaml_value() for one in models], (found.method,), found.dtype
        )

    @classmethod
    def of(cls, name: str | None, models: Sequence[str], methods: Sequence[str]) -> "Family":
        """Models by their names, by one method or by several to choose among."""
        wrong = "slerp" if len(models) > 2 else "multislerp"
        if wrong in methods:
            raise UsageError(
                f"{wrong} is not searched for {len(models)} models",
                hint="slerp and linear are for two, linear and multislerp for more",
            )
        shown = name or " + ".join(Path(one).name for one in models)
        if len(models) > 2:
            return cls._many(shown, [plain_model(one) for one in models], tuple(methods), None)
        asked = AskedMerge(list(models), methods[0], 0.5, None, None)
        return cls(shown, asked, asked_recipe(asked)[0], tuple(methods))

    @classmethod
    def _many(
        cls, name: str, models: Sequence[Any], methods: tuple[str, ...], dtype: str | None
    ) -> "Family":
        from merger.recipes.reader import parse_recipe
        from merger.recipes.writer import many_model_recipe, to_yaml

        data = many_model_recipe("linear", models, [1.0] * len(models), dtype)
        return cls(
            name, AskedMerge([], None, None, None, None), parse_recipe(to_yaml(data)), methods
        )

    @property
    def inputs(self) -> int:
        """How many models."""
        return len(self.recipe_.inputs)

    @property
    def single(self) -> bool:
        """Whether a candidate is one λ."""
        return self.inputs == 2 and len(self.methods) == 1

    @property
    def models(self) -> tuple[str, ...]:
        """The models, the base first. Of two, that is λ = 0."""
        base = self.recipe_.base
        return tuple(map(str, sorted(self.recipe_.inputs, key=lambda one: one != base)))

    @property
    def ends(self) -> tuple[str, str]:
        """The short names of two."""
        first, second = self.models
        return Path(first).name, Path(second).name

    def method(self, candidate: "Candidate") -> str:
        """By which method a candidate merges."""
        from evaluator.selection import METHOD

        return str(dict(candidate.values).get(METHOD, self.methods[0]))

    def at(self, candidate: "Candidate", dtype: str | None) -> "tuple[MergeRecipe, str]":
        """The recipe of a candidate, and the command that merges it, without the folder.

        `dtype` is that of the base's weights, which multislerp, done in float32, is written in.
        """
        from merger.recipes.reader import parse_recipe
        from merger.recipes.writer import many_model_recipe, set_group_weights, to_yaml

        method, values = self.method(candidate), dict(candidate.values)
        if self.inputs > 2:
            wide = ("float32", dtype) if method == "multislerp" else (self.recipe_.dtype, None)
            shares = list(self.weights(candidate).values())
            data = many_model_recipe(method, self._plain(), shares, *wide)
        elif REST in values:
            groups = {name: one for name, one in values.items() if isinstance(one, float)}
            data = set_group_weights(self.recipe_.to_dict(), groups, REST, method)
        else:
            one = self.asked._replace(weight=float(values["lambda"]))
            own = self.asked.method
            return asked_recipe(one._replace(method=method) if own else one)
        return parse_recipe(to_yaml(data), self.name), "patientdx merge mergekit_config.yml"

    def weights(self, candidate: "Candidate") -> dict[str, float]:
        """What a candidate that is no choice by groups takes of each model."""
        from evaluator.selection import model_weights

        return dict(zip(self.models, model_weights(candidate, self.inputs), strict=True))

    def point(self, candidate: "Candidate") -> Any:
        """One λ, or that of the first group whose name is in a tensor's, or a weight a model."""
        values = dict(candidate.values)
        if REST in values:
            groups = [name for name in values if name not in {REST, "method"}]
            return lambda tensor: values[next((one for one in groups if one in tensor), REST)]
        return values["lambda"] if self.inputs == 2 else tuple(self.weights(candidate).values())

    def _plain(self) -> list[Any]:
        base = self.recipe_.base
        return [
            one.to_yaml_value() for one in sorted(self.recipe_.inputs, key=lambda one: one != base)
        ]


@dataclass(frozen=True)
class Plan:
    """How to search."""

    strategy: str
    step: float
    share: float
    trials: int
    groups: tuple[str, ...]
    seed: int

    def of(self, family: Family) -> "Strategy":
        """The strategy for some models. Raises UsageError for what only optuna can search."""
        from evaluator.selection import StrategyOptions, build_strategy

        options = StrategyOptions(self.step, self.share, self.trials, self.seed)
        return build_strategy(self.strategy, options, self._space(family))

    def _space(self, family: Family) -> "SearchSpace":
        from evaluator.selection import METHOD, Range, SearchSpace, weight_search_space

        if not self.groups:
            return weight_search_space(family.inputs, family.methods)
        if family.inputs > 2:
            raise UsageError("--groups is for two models, by slerp or linear")
        space: dict[str, Axis] = {name: Range() for name in (*self.groups, REST)}
        methods = {METHOD: family.methods} if len(family.methods) > 1 else {}
        return SearchSpace(space | methods)

    def baselines(self, family: Family) -> "tuple[Candidate, ...]":
        """Each model alone, and all alike."""
        from evaluator.selection import BASELINE_CANDIDATES, starting_candidates

        return (
            BASELINE_CANDIDATES
            if family.inputs == 2
            else starting_candidates(family.inputs, family.methods)
        )


@dataclass(frozen=True)
class Asked:
    """How to search and to judge, and how models are run."""

    plan: Plan
    folds: int
    resamples: int
    settings: "ModelSettings"
    kept: Path | None
    places: Places
    quiet: bool


@contextmanager
def scorers(
    family: Family, method: str | None, source: Source, asked: Asked
) -> "Iterator[CandidateEvaluator]":
    """A ledger over the live merge of some models; what it says is kept on disk as it comes."""

    def swap(candidate: "Candidate") -> object:
        return model.remix(family.point(candidate), method=method or family.method(candidate))

    with _live(family, asked) as model:
        digest = repr((model.digest, method or family.methods[0]))
        with source.ledger(Live(model, swap, digest, asked.kept, asked.quiet)) as ledger:
            yield ledger


def unscored(source: Source) -> "CandidateEvaluator":
    """A ledger that nothing may be asked of yet."""
    from evaluator.selection import CandidateEvaluator

    def never(candidate: "Candidate") -> Any:
        raise UsageError(f"λ = {candidate} is not to be scored here")

    return CandidateEvaluator(never, source.instances)


@contextmanager
def _live(family: Family, asked: Asked) -> "Iterator[MergedModel]":
    from merger.live.merged_model import MergedModel
    from merger.planning.job import prepare_merge

    job = job_of(family.recipe_, asked.places, "stream", SHARD, unsound=False)
    with TemporaryDirectory() as near, prepare_merge(job, Path(near) / "live") as ready:
        if ready.plan is None:
            raise UsageError("λ is searched for models merged by slerp, linear or multislerp")
        model = MergedModel.load(
            ready.plan,
            settings=asked.settings,
            name=family.name,
            warn=lambda said: output.say(f"warning: {said}", quiet=asked.quiet),
        )
        with closing(model):
            yield model
