"""Runs a merge: an engine writes the weights, and the files beside them make a folder a model."""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.errors import MergeError

from .checking.gate import check_output
from .checking.load_check import LoadCheck, check_loading
from .checkpoints.checkpoint import CONFIG, Checkpoint
from .checkpoints.model_code import AUTO_MAP
from .checkpoints.values import FLOATS
from .engines.mergekit import MergekitSettings, run_mergekit
from .engines.mergekit_layout import MergekitLayout
from .families.tensors import skipped_tensors
from .families.vocabulary_size import set_vocabulary_size, vocabulary_size
from .gguf.writer import gguf_file_name, gguf_nbytes, write_gguf
from .kernels.dispatch import measure_moments
from .metadata.card import render_model_card
from .metadata.card_facts import collect_card_facts, inherited_licence
from .metadata.provenance import (
    CARD_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    Provenance,
)
from .metadata.provenance_builder import build_provenance
from .outputs.destination import check_destination
from .outputs.staging import open_staging, write_error
from .planning.input_checks import VOCABULARY_TENSOR, output_config, set_dtype
from .planning.job import MergeJob, PreparedMerge, prepare_merge
from .planning.recipe_resolver import promote_dtypes, torch_dtype_name
from .planning.tokenizer_checks import TOKENIZER_KEYS
from .similarity import CosineSummary, summarize_cosines
from .vocabulary.output_tokenizer import BuiltTokenizer, drop_files_of_base, files_of_base
from .vocabulary.special_tokens import drop_ids_without_row

Progress = Callable[[int, int], None]
"""Gets the number of bytes that are written, and the number that will be."""


@dataclass(frozen=True)
class MergeResult:
    """A finished merge: its folder, the engine, bytes of weights, remarks and cosines.

    `gguf` is the name of the GGUF file in the folder, `load_check` what transformers reports of it,
    if it was run.
    """

    folder: Path
    engine: str
    nbytes: int
    remarks: tuple[str, ...]
    cosines: CosineSummary | None
    gguf: str | None = None
    load_check: LoadCheck | None = None


def merge(
    job: MergeJob, into: Path, *, progress: Progress = lambda _done, _all: None
) -> MergeResult:
    """Merges into a new folder `into`, which appears whole or not at all.

    Raises PatientDxError for inputs that cannot be merged, a folder that is not empty, and a disk
    that is too small.
    """
    check_destination(into)
    with prepare_merge(job, into) as prepared:
        return run_merge(job, prepared, into, progress)


def run_merge(
    job: MergeJob,
    prepared: PreparedMerge,
    into: Path,
    progress: Progress,
    *,
    provenance: Provenance | None = None,
) -> MergeResult:
    """Merges inputs that are open; `provenance` is that of an earlier merge to be repeated."""
    check_destination(into, prepared.nbytes + gguf_nbytes(prepared.gguf))
    with ThreadPoolExecutor(1) as pool:
        # Digests are computed while tensors are merged, as both read the same bytes.
        future = pool.submit(
            lambda: provenance or build_provenance(job, prepared, into.absolute().name)
        )
        running = _RunningMerge(job, prepared, future, progress, [])
        run = _merge_by_stream if prepared.engine == "stream" else _merge_by_mergekit
        result = run(running, into)
        return replace(result, load_check=running.loaded[0] if running.loaded else None)


class _RunningMerge(NamedTuple):
    """A merge whose inputs are open, and its provenance, which is being computed."""

    job: MergeJob
    prepared: PreparedMerge
    provenance: Future[Provenance]
    progress: Progress
    loaded: list[LoadCheck]

    @property
    def gguf(self) -> str | None:
        """The name of the GGUF file."""
        wanted = self.job.gguf
        return gguf_file_name(self.provenance.result().title, wanted) if wanted else None

    def complete(self, folder: Path) -> None:
        """Checks the finished folder, and adds the GGUF file if one is wanted."""
        check_output(folder, self.prepared, self.job.recipe)
        if self.job.load_check:
            self.loaded.append(check_loading(folder, self.prepared.base.folder))
        if self.job.gguf is not None and self.gguf is not None:
            before = self.prepared.nbytes
            write_gguf(
                folder,
                folder / self.gguf,
                self.job.gguf,
                title=self.provenance.result().title,
                threads=self.job.threads,
                progress=lambda done: self.progress(before + done, before + done),
            )


def _files_beside_weights(running: _RunningMerge, cosines: Mapping[str, float]) -> dict[str, bytes]:
    """The files beside the weights by name: provenance, recipe, card, configuration, tokenizer.

    Configuration and tokenizer are left out if MergeKit has to write them.
    """
    job, prepared, future = running[:3]
    summary = summarize_cosines(cosines, prepared.plan) if prepared.plan is not None else None
    provenance = replace(future.result(), cosines=summary.to_dict() if summary else None)
    facts = collect_card_facts(job, provenance, summary, running.gguf)
    files = {
        PROVENANCE_FILE: provenance.to_bytes(),
        RECIPE_FILE: provenance.recipe.encode(),
        CARD_FILE: render_model_card(facts).encode(),
        **prepared.code,
    }
    if prepared.agreement is not None:
        tasks = prepared.plan.tensors if prepared.plan else ()
        dtypes = {task.dtype for task in tasks}
        dtype = job.recipe.out_dtype or job.recipe.dtype or _widest_float(dtypes, prepared)
        config = output_config(prepared.base.config, prepared.agreement, dtype)
        rows, template = prepared.agreement.rows, prepared.chat_template
        files |= files_of_base(prepared.base.folder, rows, template) | {CONFIG: _to_json(config)}
    return files


def _all_remarks(running: _RunningMerge) -> tuple[str, ...]:
    remark = inherited_licence(running.job).remark
    return (*running.prepared.remarks, remark) if remark else running.prepared.remarks


def _widest_float(dtypes: set[str], prepared: PreparedMerge) -> str | None:
    """Torch's name of the widest float dtype of the merge, or of the base if that is unknown."""
    known = dtypes or {info.dtype for info in prepared.base.tensors.values()}
    floats = known & set(FLOATS)
    return torch_dtype_name(promote_dtypes(sorted(floats))) if floats else None


def _merge_by_stream(running: _RunningMerge, into: Path) -> MergeResult:
    from .engines.stream import write_merge

    job, prepared, progress = running.job, running.prepared, running.progress
    assert prepared.plan is not None
    report = write_merge(
        prepared.plan,
        into,
        lambda cosines: _files_beside_weights(running, cosines),
        shard_size=job.shard_size,
        threads=job.threads or None,
        progress=lambda done: progress(done, prepared.nbytes),
        complete=running.complete,
    )
    summary = summarize_cosines(report.cosines, prepared.plan)
    return MergeResult(into, "stream", report.nbytes, _all_remarks(running), summary, running.gguf)


def _merge_by_mergekit(running: _RunningMerge, into: Path) -> MergeResult:
    """Lets MergeKit write into the staging folder, from scratch, as it cannot resume."""
    job, prepared, provenance = running[:3]
    _check_finite(prepared)
    rows = prepared.agreement.input_rows if prepared.agreement else ()
    target = Path(os.path.realpath(into))
    try:
        with open_staging(target, resumes=False) as staging:
            staging.clear()
            run_mergekit(
                job.recipe,
                job.folders,
                staging.model,
                adapters=job.adapters,
                settings=MergekitSettings(
                    len(set(rows)) > 1, job.shard_size, job.random_seed, job.torch_threads
                ),
                shape=_mergekit_layout(prepared),
            )
            written = Checkpoint.open(staging.model)
            files = _files_beside_mergekit(running, written)
            staging.sync()
            staging.finish(files, running.complete)
    except OSError as error:
        raise write_error(into, error) from error
    nbytes = sum(info.nbytes for info in written.tensors.values())
    engine = provenance.result().engine
    return MergeResult(into, engine, nbytes, _all_remarks(running), None, running.gguf)


def _mergekit_layout(prepared: PreparedMerge) -> MergekitLayout | None:
    shape = prepared.shape
    if shape is None:
        return None
    moved = tuple(layers[0][1] for layers in shape.moved)
    return MergekitLayout(shape.layout, shape.config, moved, shape.ends)


def _files_beside_mergekit(running: _RunningMerge, written: Checkpoint) -> dict[str, bytes]:
    """The files to put beside MergeKit's weights; a tokenizer that MergeKit wrote is kept."""
    files = _files_beside_weights(running, {})
    if running.prepared.agreement is not None:
        return files
    base, template = running.prepared.base, running.prepared.chat_template
    config = _config_of_written(running, written)
    if not set(TOKENIZER_KEYS) & set(running.job.recipe.mergekit_keys):
        rows = vocabulary_size(config) or 0
        config = drop_ids_without_row(config, rows) if rows else config
        return files | files_of_base(base.folder, rows, template) | {CONFIG: _to_json(config)}
    drop_files_of_base(written.folder, base.folder)
    built = BuiltTokenizer(written.folder, base.folder, base.config)
    return files | built.files(template) | {CONFIG: _to_json(built.realign(config))}


def _config_of_written(running: _RunningMerge, written: Checkpoint) -> dict[str, Any]:
    """The config.json with the vocabulary size and the dtype that the weights have."""
    tensors = written.tensors.items()
    rows = {info.shape[0] for name, info in tensors if VOCABULARY_TENSOR.search(name)}
    dtypes = {info.dtype for info in written.tensors.values()}
    recipe = running.job.recipe
    dtype = recipe.out_dtype or recipe.dtype or _widest_float(dtypes, running.prepared)
    config = set_dtype(written.config, dtype)
    if AUTO_MAP not in running.prepared.base.config:
        config.pop(AUTO_MAP, None)
    return set_vocabulary_size(config, rows.pop()) if len(rows) == 1 else config


def _check_finite(prepared: PreparedMerge) -> None:
    """Raises MergeError for NaN or infinity, which MergeKit would pass on."""
    for checkpoint in prepared.inputs:
        buffers = skipped_tensors(checkpoint.config, checkpoint.tensors)
        for name, info in checkpoint.tensors.items():
            if info.dtype in FLOATS and name not in buffers:
                values = checkpoint.values(name)
                if not all(measure_moments(values, values).finite):
                    raise MergeError(
                        f"{checkpoint.folder}: tensor `{name}` has NaN or infinite numbers",
                        hint="this model is broken: fetch it again",
                    )


def _to_json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
