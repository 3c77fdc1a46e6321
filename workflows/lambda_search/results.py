"""Results of the search for λ as values, and the files they are written to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.reporting.documents import Document
from evaluator.reporting.rendering import render_document
from evaluator.selection import (
    Candidate,
    Selection,
    build_selection_report,
    plot_pareto,
    plot_power,
    plot_sweeps,
    selection_record,
    sweep_csv,
    write_ablation,
)
from merger.recipes.recipe import MergeRecipe
from patientdx.errors import UsageError
from patientdx.formats import atomic_writer

from .model_sets import ModelSet
from .search import LambdaSearch


@dataclass(frozen=True)
class MergeChoice:
    """The chosen candidate of some models, and the record of the choice for the model card."""

    models: ModelSet
    candidate: Candidate
    record: Mapping[str, Any]

    @property
    def warning(self) -> str | None:
        """A sentence where the choice is no better than the best input beyond chance.

        None for a private choice, which reveals nothing but itself.
        """
        warning: str | None = self.record.get("warning")
        return warning

    @property
    def recipe(self) -> MergeRecipe:
        """The recipe of the candidate; publishing adds the number type to write."""
        return self.models.resolve(self.candidate, None).recipe


@dataclass(frozen=True)
class MergeTuning:
    """The selection for each set of models, by its name, and facts for the report."""

    model_sets: tuple[ModelSet, ...]
    selections: Mapping[str, Selection]
    notes: Mapping[str, str]

    @property
    def choice(self) -> MergeChoice:
        """The choice for the first set of models."""
        models = self.model_sets[0]
        selection = self.selections[models.name]
        record = selection_record(selection)
        if models.has_weights(selection.chosen):
            record["weights"] = models.weights_of(selection.chosen)
        return MergeChoice(models, selection.chosen, record)

    def build_report(self) -> Document:
        """The report of all selections."""
        return build_selection_report(self.selections, {**self.notes, **self._weight_notes()})

    def render(self, format_name: str = "text") -> str:
        """The report as text, markdown, latex or json. Raises EvaluationError for another name."""
        return render_document(self.build_report(), format_name)

    def write_curve(self, path: Path) -> None:
        """Write every point along λ as CSV."""
        with atomic_writer(path) as stream:
            stream.write(sweep_csv(self.selections))

    def plot(self, paths: Sequence[Path]) -> None:
        """Draw the metrics along λ."""
        if paths:
            ends = {models.name: models.ends for models in self.model_sets}
            plot_sweeps(self.selections, paths, ends)

    def plot_power(self, paths: Sequence[Path]) -> None:
        """Draw how many patients would distinguish the choices from the merge without a search."""
        if paths:
            plot_power(self.selections, paths)

    def plot_pareto(self, paths: Sequence[Path]) -> None:
        """Draw the metric of every candidate against what it retains, with the Pareto front."""
        if paths:
            plot_pareto(self.selections, paths)

    def _weight_notes(self) -> dict[str, str]:
        """The weight of each model, for choices among more than two."""
        notes = {}
        for models in self.model_sets:
            if models.has_weights(self.selections[models.name].chosen):
                weights = models.weights_of(self.selections[models.name].chosen).items()
                shares = (f"{Path(name).name} {weight:.4g}" for name, weight in weights)
                notes[f"weights of {models.name}"] = ", ".join(shares)
        return notes


@dataclass(frozen=True)
class MergeAblation:
    """The selections without Math, without SLERP and without both: row -> name -> selection."""

    rows: Mapping[str, Mapping[str, Selection]]
    notes: Mapping[str, str]

    def write(self, paths: Sequence[Path]) -> None:
        """Write the table; the suffix of each path decides its form."""
        write_ablation(self.rows, self.notes, paths)


def check_single_lambda(search: LambdaSearch, model_sets: Sequence[ModelSet]) -> None:
    """Raise UsageError where curves, plots and ablations have no single λ to go along."""
    if not all(search.has_single_lambda(models) for models in model_sets):
        raise UsageError("there is no single λ to draw or tabulate along")
