"""What `tune-merge` does: searches, reports, ablates, publishes."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from patientdx.errors import UsageError

from . import output
from .merge_inputs import job_of
from .mortality_work import Work
from .tune_merge_live import SHARD, Asked, Pair, ledger_of, never, scorers

if TYPE_CHECKING:
    from evaluator.lambdas import Candidate, Selection


class Files(NamedTuple):
    """Where results go, and in which format tables are."""

    curve: Path | None
    plots: tuple[Path, ...]
    ablation: Path | None
    out: Path | None
    form: str


def run_search(
    pairs: Sequence[Pair],
    without_math: Sequence[str],
    work: Work,
    asked: Asked,
    files: Files,
) -> "tuple[Candidate, dict[str, Any]]":
    """Searches every pair, writes what was asked for, and gives the first choice and its record."""
    from evaluator.documents import render_document
    from evaluator.lambdas import build_selection_report, plot_sweeps, selection_record, sweep_csv
    from patientdx.formats import atomic_writer

    if asked.groups and (files.plots or files.curve or files.ablation):
        raise UsageError("with --groups there is no single λ to draw or tabulate along")
    if asked.groups and any(pair.recipe_.method != "slerp" for pair in pairs):
        raise UsageError("--groups is for slerp, whose t recipes can tell by group")
    if bool(without_math) != bool(files.ablation) or len(without_math) not in {0, len(pairs)}:
        raise UsageError("--ablation FILE goes with one --without-math MODEL for each pair")
    found = {pair.name: _selected(pair, pair.recipe_.method, work, asked) for pair in pairs}
    document = build_selection_report(found, work.notes())
    with atomic_writer(files.out or "-") as stream:
        stream.write(render_document(document, files.form))
    if files.curve is not None:
        with atomic_writer(files.curve) as stream:
            stream.write(sweep_csv(found))
    if files.plots:
        plot_sweeps(found, files.plots, {pair.name: pair.ends for pair in pairs})
    if files.ablation is not None:
        _ablation(pairs, without_math, found, work, asked, files)
    first = found[pairs[0].name]
    return first.chosen, selection_record(first)


def run_private(
    pair: Pair, work: Work, asked: Asked, epsilon: str
) -> "tuple[Candidate, dict[str, Any]]":
    """Chooses by the exponential mechanism, and shows the choice and nothing else."""
    from evaluator.lambdas import choose_privately, metric_named, private_record, read_epsilon
    from evaluator.lambdas.privacy import private_candidates

    epsilon_ = read_epsilon(epsilon)
    metric = metric_named(asked.metric)
    private_candidates(asked.plan(), ledger_of(work, never), metric)
    with scorers(pair, pair.recipe_.method, work, asked) as ledger:
        choice = choose_privately(asked.plan(), ledger, metric, epsilon_)
    record = private_record(choice)
    output.json_data(record)
    return choice.chosen, record


def check_into(pairs: Sequence[Pair], into: Path | None) -> None:
    """Complains about a folder that cannot be written to before anything is paid for."""
    from merger.checks import check_place

    if into is None:
        return
    if len(pairs) != 1:
        raise UsageError("--into writes the merge of one pair", hint="name one pair")
    check_place(into)


def publish(
    pair: Pair, chosen: "Candidate", record: dict[str, Any], into: Path, asked: Asked
) -> None:
    """Writes the chosen merge; its card tells how λ was chosen."""
    from evaluator.lambdas import card_remarks
    from merger.job import opened
    from merger.merging import carry_out

    recipe, command = pair.at(chosen)
    job = replace(
        job_of(recipe, asked.places, "stream", SHARD, unsound=False),
        command=f"{command} --into {shlex.quote(str(into))}",
    )
    with (
        opened(job, into) as ready,
        output.progress("merging (MB)", quiet=asked.quiet) as tick,
    ):
        told = replace(ready, remarks=(*ready.remarks, *card_remarks(record)))
        carry_out(job, told, into, lambda done, _: tick(done // 1_000_000))
    output.say(f"written to {into}", quiet=asked.quiet)


def _ablation(
    pairs: Sequence[Pair],
    without_math: Sequence[str],
    full: "Mapping[str, Selection]",
    work: Work,
    asked: Asked,
    files: Files,
) -> None:
    """Searches anew without Math, without SLERP, and without both."""
    from evaluator.documents import render_document
    from evaluator.lambdas import ROWS, build_ablation
    from patientdx.formats import atomic_writer

    rows: dict[str, dict[str, Selection]] = {ROWS[0]: dict(full)}
    others = {
        pair.name: Pair.of(pair.name, other, pair.models[1], "slerp")
        for pair, other in zip(pairs, without_math, strict=True)
    }
    for pair in pairs:
        for row, one, method in (
            (ROWS[1], others[pair.name], pair.recipe_.method),
            (ROWS[2], pair, "linear"),
            (ROWS[3], others[pair.name], "linear"),
        ):
            rows.setdefault(row, {})[pair.name] = _selected(one, method, work, asked)
    document = build_ablation(rows, work.notes())
    with atomic_writer(files.ablation or "-") as stream:
        stream.write(render_document(document, files.form))


def _selected(pair: Pair, method: str, work: Work, asked: Asked) -> "Selection":
    from evaluator.bootstrap import Resampling
    from evaluator.lambdas import METRICS, Deal, SelectionSettings, metric_named, select

    settings = SelectionSettings(
        Deal(asked.folds, asked.seed),
        Resampling(resamples=asked.resamples, seed=asked.seed),
        curves=tuple(METRICS.values()),
    )
    settings.deal.folds(ledger_of(work, never).instances, by_class=True)
    with scorers(pair, method, work, asked) as ledger:
        found = select(asked.plan(), ledger, metric_named(asked.metric), settings)
    told = f"{pair.name} ({method}): λ = {found.chosen}, {asked.metric} held out"
    output.say(f"{told} {found.held_out.value:.4f}", quiet=asked.quiet)
    return found
