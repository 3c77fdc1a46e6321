"""What `tune-merge` does: searches, reports, ablates, publishes."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from patientdx.errors import UsageError

from . import output
from .merge_inputs import job_of
from .mortality_work import describe_model
from .tune_merge_live import SHARD, Asked, Family, scorers, unscored
from .tune_merge_sources import Source

if TYPE_CHECKING:
    from evaluator.selection import Candidate, Selection


class Files(NamedTuple):
    """Where results go, and in which format tables are."""

    curve: Path | None
    plots: tuple[Path, ...]
    ablation: tuple[Path, ...]
    out: Path | None
    form: str


def run(
    families: Sequence[Family],
    without_math: Sequence[str],
    source: Source,
    asked: Asked,
    files: Files,
    epsilon: str | None,
) -> "tuple[Candidate, dict[str, Any]]":
    """The first choice and its record; with an `epsilon` nothing but the choice is shown."""
    if epsilon is None:
        return run_search(families, without_math, source, asked, files)
    if len(families) > 1 or without_math or any(files[:4]):
        raise UsageError("--epsilon shows the choice of one pair, and nothing else")
    return run_private(families[0], source, asked, epsilon)


def run_search(
    families: Sequence[Family],
    without_math: Sequence[str],
    source: Source,
    asked: Asked,
    files: Files,
) -> "tuple[Candidate, dict[str, Any]]":
    """Searches all, writes what was asked for, and gives the first choice and its record."""
    from evaluator.reporting.documents import render_document
    from evaluator.selection import build_selection_report, plot_sweeps, selection_record, sweep_csv
    from patientdx.formats import atomic_writer

    _check(families, without_math, source, asked, files)
    found = {one.name: _selected(one, None, source, asked) for one in families}
    document = build_selection_report(found, _notes(source, asked) | _weights(families, found))
    with atomic_writer(files.out or "-") as stream:
        stream.write(render_document(document, files.form))
    if files.curve is not None:
        with atomic_writer(files.curve) as stream:
            stream.write(sweep_csv(found))
    if files.plots:
        plot_sweeps(found, files.plots, {one.name: one.ends for one in families})
    if files.ablation:
        _ablation(families, without_math, found, source, asked, files)
    family, first = families[0], found[families[0].name]
    record = selection_record(first)
    if family.inputs > 2:
        record["weights"] = family.weights(first.chosen)
    return first.chosen, record


def _check(
    families: Sequence[Family],
    without_math: Sequence[str],
    source: Source,
    asked: Asked,
    files: Files,
) -> None:
    """Complains about what does not go together before anything is paid for."""
    from evaluator.selection import ablation_suffix

    single = not asked.plan.groups and all(one.single for one in families)
    if not single and (files.plots or files.curve or files.ablation):
        raise UsageError("there is no single λ to draw or tabulate along")
    if bool(without_math) != bool(files.ablation) or len(without_math) not in {0, len(families)}:
        raise UsageError("--ablation FILE goes with one --without-math MODEL for each pair")
    for path in files.ablation:
        ablation_suffix(path)
    for one in families:
        asked.plan.of(one)
    _settings(families[0], source, asked).folds.split(
        source.instances, require_both_outcomes=source.metric.needs_both_outcomes
    )


def run_private(
    family: Family, source: Source, asked: Asked, epsilon: str
) -> "tuple[Candidate, dict[str, Any]]":
    """Chooses by the exponential mechanism, and shows the choice and nothing else."""
    from evaluator.selection import choose_privately, parse_epsilon, private_record
    from evaluator.selection.privacy import private_candidates

    epsilon_, strategy = parse_epsilon(epsilon), asked.plan.of(family)
    private_candidates(strategy, unscored(source), source.metric)
    with scorers(family, None, source, asked) as ledger:
        choice = choose_privately(strategy, ledger, source.metric, epsilon_)
    record = private_record(choice)
    output.json_data(record)
    return choice.chosen, record


def _notes(source: Source, asked: Asked) -> dict[str, str]:
    return {**source.notes(), "models": describe_model(asked.settings.describe())}


def check_into(families: Sequence[Family], into: Path | None) -> None:
    """Complains about a folder that cannot be written to before anything is paid for."""
    from merger.outputs.destination import check_destination

    if into is None:
        return
    if len(families) != 1:
        raise UsageError("--into writes the merge of one pair", hint="name one pair")
    check_destination(into)


def publish(
    family: Family, chosen: "Candidate", record: dict[str, Any], into: Path, asked: Asked
) -> None:
    """Writes the chosen merge; its card tells how it was chosen."""
    from evaluator.selection import model_card_remarks
    from merger.execution import run_merge
    from merger.planning.job import prepare_merge

    recipe, command = family.at(chosen, _dtype(family, asked))
    job = replace(
        job_of(recipe, asked.places, "stream", SHARD, unsound=False),
        command=f"{command} --into {shlex.quote(str(into))}",
    )
    with (
        prepare_merge(job, into) as ready,
        output.progress("merging (MB)", quiet=asked.quiet) as tick,
    ):
        told = replace(ready, remarks=(*ready.remarks, *model_card_remarks(record)))
        run_merge(job, told, into, lambda done, _: tick(done // 1_000_000))
    output.say(f"written to {into}", quiet=asked.quiet)


def _dtype(family: Family, asked: Asked) -> str | None:
    """What torch calls the dtype of the base's weights."""
    from merger.checkpoints.checkpoint import Checkpoint
    from merger.planning.recipe_resolver import torch_dtype_name

    base = Checkpoint.open(asked.places.located(family.recipe_.base.base))
    return next((torch_dtype_name(one.dtype) for one in base.tensors.values()), None)


def _ablation(
    families: Sequence[Family],
    without_math: Sequence[str],
    full: "Mapping[str, Selection]",
    source: Source,
    asked: Asked,
    files: Files,
) -> None:
    """Searches anew without Math, without SLERP, and without both."""
    from evaluator.selection import ABLATION_ROWS, write_ablation

    rows: dict[str, dict[str, Selection]] = {ABLATION_ROWS[0]: dict(full)}
    others = {
        one.name: Family.of(one.name, [other, one.models[1]], ["slerp"])
        for one, other in zip(families, without_math, strict=True)
    }
    for family in families:
        for row, one, method in (
            (ABLATION_ROWS[1], others[family.name], family.methods[0]),
            (ABLATION_ROWS[2], family, "linear"),
            (ABLATION_ROWS[3], others[family.name], "linear"),
        ):
            rows.setdefault(row, {})[family.name] = _selected(one, method, source, asked)
    write_ablation(rows, _notes(source, asked), files.ablation)


def _settings(family: Family, source: Source, asked: Asked) -> Any:
    from evaluator.selection import PatientFolds, SelectionSettings
    from evaluator.statistics.bootstrap import Resampling

    seed = asked.plan.seed
    return SelectionSettings(
        PatientFolds(asked.folds, seed),
        Resampling(resamples=asked.resamples, seed=seed),
        asked.plan.baselines(family),
        source.curves,
    )


def _selected(family: Family, method: str | None, source: Source, asked: Asked) -> "Selection":
    from evaluator.selection import select_candidate

    settings, metric = _settings(family, source, asked), source.metric
    with scorers(family, method, source, asked) as ledger:
        found = select_candidate(asked.plan.of(family), ledger, metric, settings)
    by = method or ", ".join(family.methods)
    told = f"{family.name} ({by}): λ = {found.chosen}, {metric.name} held out"
    output.say(f"{told} {found.held_out.value:.4f}", quiet=asked.quiet)
    return found


def _weights(families: Sequence[Family], found: "Mapping[str, Selection]") -> dict[str, str]:
    """A note on what the choice takes of each model, where there are more than two."""
    told = {}
    for family in families:
        if family.inputs > 2:
            weights = family.weights(found[family.name].chosen).items()
            shown = ", ".join(f"{Path(name).name} {share:.4g}" for name, share in weights)
            told[f"weights of {family.name}"] = shown
    return told
