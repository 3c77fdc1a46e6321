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
from .checkpoints.companion_files import read_companion_files
from .checkpoints.values import FLOATS
from .engines.mergekit import mergekit_version, run_mergekit
from .kernels.dispatch import moments
from .metadata.card import CardFacts, hub_name, render_model_card
from .metadata.licences import InheritedLicence, inherit_licence, read_licence
from .metadata.provenance import (
    CARD_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    InputFacts,
    Provenance,
    read_hub_source,
)
from .outputs.destination import check_destination
from .outputs.staging import open_staging, write_error
from .planning.input_checks import VOCABULARY_TENSOR, output_config
from .planning.job import MergeJob, PreparedMerge, prepare_merge
from .planning.recipe_resolver import promote_dtypes, torch_dtype_name
from .similarity import CosineSummary, summarize_cosines

Progress = Callable[[int, int], None]
"""Told how many bytes of the output are written, and how many there will be."""


@dataclass(frozen=True)
class MergeResult:
    """A merge that is done: its folder, the engine, bytes of weights, and what was noticed."""

    folder: Path
    engine: str
    nbytes: int
    remarks: tuple[str, ...]
    cosines: CosineSummary | None


def merge(
    job: MergeJob, into: Path, *, progress: Progress = lambda _done, _all: None
) -> MergeResult:
    """Merges into a new folder `into`, which appears whole or not at all.

    Raises PatientDxError for inputs that cannot be merged, a folder that is not empty, and a disk
    that is full.
    """
    check_destination(into)
    with prepare_merge(job, into) as ready:
        return run_merge(job, ready, into, progress)


def run_merge(
    job: MergeJob,
    ready: PreparedMerge,
    into: Path,
    progress: Progress,
    *,
    provenance: Provenance | None = None,
) -> MergeResult:
    """Merges inputs that are open; `told` is the provenance of a merge that is made again."""
    check_destination(into, ready.nbytes)
    with ThreadPoolExecutor(1) as pool:
        # Digests are taken while tensors are merged: both need the same bytes.
        facts = pool.submit(
            lambda: provenance or build_provenance(job, ready, into.absolute().name)
        )
        work = _RunningMerge(job, ready, facts)
        if ready.engine == "stream":
            return _merge_by_stream(work, into, progress)
        return _merge_by_mergekit(work, into)


class _RunningMerge(NamedTuple):
    """A job whose inputs are open, and what will be known of it."""

    job: MergeJob
    prepared: PreparedMerge
    facts: Future[Provenance]


def build_provenance(job: MergeJob, ready: PreparedMerge, title: str) -> Provenance:
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


def _input_facts(job: MergeJob, at: int) -> InputFacts:
    ref = job.recipe.inputs[at]
    folder, adapter = job.folders[ref], job.adapters.get(ref)
    return InputFacts(
        str(ref),
        str(folder.absolute()),
        Checkpoint.open(folder).digest(job.cache),
        str(adapter.absolute()) if adapter else None,
        adapter_digest(adapter) if adapter else None,
        *read_hub_source(folder),
    )


def _files_beside_weights(work: _RunningMerge, cosines: Mapping[str, float]) -> dict[str, bytes]:
    """The files beside the weights, by name, but for what MergeKit writes where it must."""
    job, ready, known = work
    found = summarize_cosines(cosines, ready.plan) if ready.plan is not None else None
    facts = replace(known.result(), cosines=found.to_dict() if found else None)
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
        licence=_inherit_licence(job),
        remarks=facts.remarks,
        cosines=str(found) if found else "",
    )
    files = {
        PROVENANCE_FILE: facts.to_bytes(),
        RECIPE_FILE: facts.recipe.encode(),
        CARD_FILE: render_model_card(card).encode(),
    }
    if ready.agreement is not None:
        dtypes = {task.dtype for task in ready.plan.tensors} if ready.plan else set()
        dtype = job.recipe.out_dtype or job.recipe.dtype or _widest_float(dtypes, ready)
        config = output_config(ready.base.config, ready.agreement, dtype)
        files |= read_companion_files(job.folders[job.recipe.base]) | {CONFIG: _to_json(config)}
    return files


def _inherit_licence(job: MergeJob) -> InheritedLicence:
    refs = job.recipe.inputs
    return inherit_licence(
        [str(ref) for ref in refs], [read_licence(job.folders[ref]) for ref in refs]
    )


def _all_remarks(work: _RunningMerge) -> tuple[str, ...]:
    licence = _inherit_licence(work.job).remark
    return (*work.prepared.remarks, licence) if licence else work.prepared.remarks


def _widest_float(dtypes: set[str], ready: PreparedMerge) -> str | None:
    """What torch calls the widest float of the merge."""
    kinds = (dtypes or {one.dtype for one in ready.base.tensors.values()}) & set(FLOATS)
    return torch_dtype_name(promote_dtypes(sorted(kinds))) if kinds else None


def _merge_by_stream(work: _RunningMerge, into: Path, progress: Progress) -> MergeResult:
    from .engines.stream import write_merge

    job, ready, _ = work
    assert ready.plan is not None
    written = write_merge(
        ready.plan,
        into,
        lambda cosines: _files_beside_weights(work, cosines),
        shard_size=job.shard_size,
        threads=job.threads or None,
        progress=lambda done: progress(done, ready.nbytes),
    )
    return MergeResult(
        into,
        "stream",
        written.nbytes,
        _all_remarks(work),
        summarize_cosines(written.cosines, ready.plan),
    )


def _merge_by_mergekit(work: _RunningMerge, into: Path) -> MergeResult:
    """MergeKit writes into the staging folder, anew each time: it cannot resume."""
    job, ready, facts = work
    _check_finite(ready)
    rows = ready.agreement.input_rows if ready.agreement else ()
    target = Path(os.path.realpath(into))
    try:
        with open_staging(target, resumes=False) as staging:
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
            files = _files_beside_mergekit(work, made)
            staging.sync()
            staging.finish(files)
    except OSError as error:
        raise write_error(into, error) from error
    nbytes = sum(info.nbytes for info in made.tensors.values())
    return MergeResult(into, facts.result().engine, nbytes, _all_remarks(work), None)


def _files_beside_mergekit(work: _RunningMerge, made: Checkpoint) -> dict[str, bytes]:
    """The files to lie beside MergeKit's weights; a tokenizer that it wrote itself stands."""
    files = _files_beside_weights(work, {})
    if work.prepared.agreement is None:
        files |= {CONFIG: _to_json(_config_with_vocab_size(made))}
        for name, data in read_companion_files(work.job.folders[work.job.recipe.base]).items():
            if not (made.folder / name).exists():
                files[name] = data
    return files


def _config_with_vocab_size(made: Checkpoint) -> dict[str, Any]:
    """MergeKit's config.json with the vocabulary that the weights have."""
    rows = {info.shape[0] for name, info in made.tensors.items() if VOCABULARY_TENSOR.search(name)}
    return dict(made.config) | ({"vocab_size": rows.pop()} if len(rows) == 1 else {})


def _check_finite(ready: PreparedMerge) -> None:
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


def _to_json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
