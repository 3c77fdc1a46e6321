"""Carries a job out: weights by an engine, and beside them all that makes a folder a model."""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from patientdx import __version__
from patientdx.errors import MergeError

from .checkpoints.adapters import adapter_digest
from .checkpoints.checkpoint import CONFIG, Checkpoint
from .checkpoints.companions import companions
from .checkpoints.values import FLOATS
from .engines.mergekit import mergekit_version, run_mergekit
from .kernels.dispatch import moments
from .metadata.card import CardFacts, hub_name, model_card
from .metadata.licences import Inherited, inherited, read_licence
from .metadata.provenance import (
    CARD,
    FILE,
    RECIPE,
    InputFacts,
    Provenance,
    hub_source,
)
from .outputs.staging import staged, unwritten
from .planning.guards import VOCABULARY, check_place, output_config
from .planning.job import Job, Ready, opened
from .planning.planner import promoted, torch_name
from .similarity import CosineSummary, summary

Progress = Callable[[int, int], None]
"""Told how many bytes of the output are written, and how many there will be."""


@dataclass(frozen=True)
class Merged:
    """A merge that is done: its folder, the engine, bytes of weights, and what was noticed."""

    folder: Path
    engine: str
    nbytes: int
    remarks: tuple[str, ...]
    cosines: CosineSummary | None


def merge(job: Job, into: Path, *, progress: Progress = lambda _done, _all: None) -> Merged:
    """Merges into a new folder `into`, which appears whole or not at all.

    Raises PatientDxError for inputs that cannot be merged, a folder that is not empty, and a disk
    that is full.
    """
    check_place(into)
    with opened(job, into) as ready:
        return carry_out(job, ready, into, progress)


def carry_out(
    job: Job,
    ready: Ready,
    into: Path,
    progress: Progress,
    *,
    told: Provenance | None = None,
) -> Merged:
    """Merges inputs that are open; `told` is the provenance of a merge that is made again."""
    check_place(into, ready.nbytes)
    with ThreadPoolExecutor(1) as pool:
        # Digests are taken while tensors are merged: both need the same bytes.
        facts = pool.submit(lambda: told or provenance_of(job, ready, into.absolute().name))
        work = _Work(job, ready, facts)
        if ready.engine == "stream":
            return _by_stream(work, into, progress)
        return _by_mergekit(work, into)


class _Work(NamedTuple):
    """A job whose inputs are open, and what will be known of it."""

    job: Job
    ready: Ready
    facts: Future[Provenance]


def provenance_of(job: Job, ready: Ready, title: str) -> Provenance:
    """What is to be known of a merge, without its cosines. Reads all inputs for their digests."""
    engine = f"mergekit {mergekit_version()}" if ready.engine == "mergekit" else "stream"
    facts = tuple(_input_facts(job, at) for at in range(len(ready.inputs)))
    return Provenance(
        title=title,
        software=f"patientdx {__version__}",
        engine=engine,
        recipe=job.recipe.text,
        inputs=facts,
        shard_size=job.shard_size,
        unsound=job.unsound,
        command=job.command,
        remarks=ready.remarks,
    )


def _input_facts(job: Job, at: int) -> InputFacts:
    ref = job.recipe.inputs[at]
    folder, adapter = job.folders[ref], job.adapters.get(ref)
    return InputFacts(
        str(ref),
        str(folder.absolute()),
        Checkpoint.open(folder).digest(job.cache),
        str(adapter.absolute()) if adapter else None,
        adapter_digest(adapter) if adapter else None,
        *hub_source(folder),
    )


def _companions(work: _Work, cosines: Mapping[str, float]) -> dict[str, bytes]:
    """The files beside the weights, by name, but for what MergeKit writes where it must."""
    job, ready, known = work
    found = summary(cosines, ready.plan) if ready.plan is not None else None
    facts = replace(known.result(), cosines=found.plain() if found else None)
    names = [one.repo or hub_name(one.name) for one in facts.inputs]
    card = CardFacts(
        title=facts.title,
        method=job.recipe.method,
        base=str(job.recipe.base_model) if job.recipe.base_model else None,
        inputs=[(one.name, one.digest) for one in facts.inputs],
        base_models=tuple(names),
        engine=facts.engine,
        recipe=facts.recipe,
        command=facts.command,
        licence=_licence(job),
        remarks=facts.remarks,
        cosines=str(found) if found else "",
    )
    files = {
        FILE: facts.to_bytes(),
        RECIPE: facts.recipe.encode(),
        CARD: model_card(card).encode(),
    }
    if ready.agreement is not None:
        dtypes = {task.dtype for task in ready.plan.tensors} if ready.plan else set()
        dtype = job.recipe.out_dtype or job.recipe.dtype or _common(dtypes, ready)
        config = output_config(ready.base.config, ready.agreement, dtype)
        files |= companions(job.folders[job.recipe.base]) | {CONFIG: _json(config)}
    return files


def _licence(job: Job) -> Inherited:
    refs = job.recipe.inputs
    return inherited([str(ref) for ref in refs], [read_licence(job.folders[ref]) for ref in refs])


def _remarks(work: _Work) -> tuple[str, ...]:
    licence = _licence(work.job).remark
    return (*work.ready.remarks, licence) if licence else work.ready.remarks


def _common(dtypes: set[str], ready: Ready) -> str | None:
    """What torch calls the widest float of the merge."""
    kinds = (dtypes or {one.dtype for one in ready.base.tensors.values()}) & set(FLOATS)
    return torch_name(promoted(sorted(kinds))) if kinds else None


def _by_stream(work: _Work, into: Path, progress: Progress) -> Merged:
    from .engines.stream import write_merge

    job, ready, _ = work
    assert ready.plan is not None
    written = write_merge(
        ready.plan,
        into,
        lambda cosines: _companions(work, cosines),
        shard_size=job.shard_size,
        threads=job.threads or None,
        progress=lambda done: progress(done, ready.nbytes),
    )
    return Merged(
        into, "stream", written.nbytes, _remarks(work), summary(written.cosines, ready.plan)
    )


def _by_mergekit(work: _Work, into: Path) -> Merged:
    """MergeKit writes into the staging folder, anew each time: it cannot resume."""
    job, ready, facts = work
    _check_finite(ready)
    rows = ready.agreement.input_rows if ready.agreement else ()
    target = Path(os.path.realpath(into))
    try:
        with staged(target, resumes=False) as staging:
            staging.clear()
            run_mergekit(
                job.recipe,
                job.folders,
                staging.model,
                adapters=job.adapters,
                truncate=len(set(rows)) > 1,
                shard_size=job.shard_size,
            )
            made = Checkpoint.open(staging.model)
            files = _beside_mergekit_s(work, made)
            staging.sync()
            staging.finish(files)
    except OSError as error:
        raise unwritten(into, error) from error
    nbytes = sum(info.nbytes for info in made.tensors.values())
    return Merged(into, facts.result().engine, nbytes, _remarks(work), None)


def _beside_mergekit_s(work: _Work, made: Checkpoint) -> dict[str, bytes]:
    """The files to lie beside MergeKit's weights; a tokenizer that it wrote itself stands."""
    files = _companions(work, {})
    if work.ready.agreement is None:
        files |= {CONFIG: _json(_mended(made))}
        for name, data in companions(work.job.folders[work.job.recipe.base]).items():
            if not (made.folder / name).exists():
                files[name] = data
    return files


def _mended(made: Checkpoint) -> dict[str, Any]:
    """MergeKit's config.json with the vocabulary that the weights have."""
    rows = {info.shape[0] for name, info in made.tensors.items() if VOCABULARY.search(name)}
    return dict(made.config) | ({"vocab_size": rows.pop()} if len(rows) == 1 else {})


def _check_finite(ready: Ready) -> None:
    """Raises MergeError for NaN or infinity, which MergeKit passes on."""
    for one in ready.inputs:
        for name, info in one.tensors.items():
            if info.dtype in FLOATS:
                values = one.values(name)
                if not all(moments(values, values).finite):
                    raise MergeError(
                        f"{one.folder}: tensor `{name}` has NaN or infinite numbers",
                        hint="this model is broken: fetch it again",
                    )


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
