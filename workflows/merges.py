"""Merging: models are found or fetched, merged into a folder, compared, and verified."""

import shlex
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patientdx.errors import MergeError, UsageError
from patientdx.settings import Settings, default_settings

from .merge_recipes import MergeSource, ResolvedMerge, resolve_merge
from .monitor import LOG, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from merger.execution import MergeResult
    from merger.gguf.mixtures import GgufType
    from merger.planning.job import Engine, MergeJob, PreparedMerge
    from merger.similarity import CosineSummary, TensorReport
    from merger.verification import Verification

SHARD_SIZE = 5_000_000_000
"""Bytes of a file of weights."""
_LARGEST_SHARD = 10**15  # a million gigabytes


@dataclass(frozen=True)
class MergeCheck:
    """A merge that is possible: by which engine, of how many bytes, and what to know of it.

    `tensors` compares the inputs tensor by tensor, and `cosines` sums that up; both are None
    for a check that read no weights.
    """

    engine: str
    inputs: tuple[str, ...]
    nbytes: int
    remarks: tuple[str, ...]
    tensors: "tuple[TensorReport, ...] | None" = None
    cosines: "CosineSummary | None" = None

    def to_dict(self) -> dict[str, Any]:
        """The check as JSON has it; without a comparison there are no keys for it."""
        data: dict[str, Any] = {
            "engine": self.engine,
            "inputs": list(self.inputs),
            "bytes": self.nbytes,
            "remarks": list(self.remarks),
        }
        if self.tensors is None:
            return data
        return data | {
            "tensors": [asdict(row) for row in self.tensors],
            "said": str(self.cosines) if self.cosines else "",
            "summary": self.cosines.to_dict() if self.cosines else None,
        }


def merge(
    recipe: MergeSource,
    into: Path | str,
    *,
    weight: float | None = None,
    seed: int | None = None,
    engine: "Engine" = "stream",
    shard_size: int = SHARD_SIZE,
    allow_unsound: bool = False,
    gguf: "GgufType | None" = None,
    load_check: bool = True,
    settings: Settings | None = None,
    monitor: Monitor = LOG,
) -> "MergeResult":
    """Merge models into a new folder, which appears whole or not at all.

    `recipe` is a recipe, its path, the name of a preset, a PresetMerge, a TwoModelMerge or a
    TaskArithmeticMerge, and `weight` replaces its t or its weights, `seed` the seed of a method
    that draws at random (0 unless the recipe has a `random_seed`). What the streaming engine
    cannot do goes to MergeKit, with a notice.
    With `gguf` the merge is also written as one file of this type for llama.cpp. Unless
    `load_check` is False, transformers loads the merge on the meta device before it is published,
    where it is installed, and a merge that it reports broken is refused.
    Raises PatientDxError for inputs that cannot be merged and a folder that is not empty.
    """
    from merger.execution import merge as merge_job

    into = Path(into)
    _check_shard_size(shard_size)
    resolved = resolve_merge(recipe, weight, seed)
    job = prepare_job(resolved, settings, monitor)
    command = [resolved.command, "--into", shlex.quote(str(into))]
    command += ["--engine", engine] if engine != "stream" else []
    command += ["--allow-unsound"] if allow_unsound else []
    command += ["--gguf", gguf] if gguf else []
    job = replace(
        job,
        engine=engine,
        unsound=allow_unsound,
        shard_size=shard_size,
        gguf=gguf,
        load_check=load_check,
        command=" ".join(command),
    )
    with show_megabytes(monitor, "merging (MB)") as on_progress:
        result = merge_job(job, into, progress=on_progress)
    for remark in result.remarks:
        monitor.notice(f"note: {remark}")
    return result


def _check_shard_size(nbytes: int) -> None:
    """Raises UsageError unless the size of a file is a whole number of bytes in sensible bounds."""
    if not isinstance(nbytes, int) or not 1 <= nbytes <= _LARGEST_SHARD:
        raise UsageError(
            f"shard_size is a number of bytes from 1 to {_LARGEST_SHARD}, not {nbytes}",
            hint="5_000_000_000 is that of MergeKit",
        )


def check_merge(
    recipe: MergeSource,
    into: Path | str | None = None,
    *,
    weight: float | None = None,
    seed: int | None = None,
    engine: "Engine" = "stream",
    allow_unsound: bool = False,
    gguf: "GgufType | None" = None,
    compare: bool = True,
    settings: Settings | None = None,
    monitor: Monitor = LOG,
) -> MergeCheck:
    """Whether a merge is possible, without merging anything.

    With `compare` the weights of the inputs are read and compared. Raises PatientDxError where
    the merge is not possible, also for an `into` that cannot be written.
    """
    from merger.gguf.writer import gguf_nbytes
    from merger.outputs.destination import check_destination
    from merger.planning.job import prepare_merge

    target = None if into is None else Path(into)
    job = prepare_job(resolve_merge(recipe, weight, seed), settings, monitor)
    job = replace(job, engine=engine, unsound=allow_unsound, gguf=gguf)
    if target is not None:
        check_destination(target)
    with (
        tempfile.TemporaryDirectory() as scratch,
        prepare_merge(job, Path(scratch) / "check") as prepared,
    ):
        if target is not None:
            check_destination(target, prepared.nbytes + gguf_nbytes(prepared.gguf))
        check = MergeCheck(
            engine=prepared.engine,
            inputs=tuple(map(str, job.recipe.inputs)),
            nbytes=prepared.nbytes,
            remarks=prepared.remarks,
        )
        return _compare_tensors(check, job, prepared, monitor) if compare else check


def verify_merge(
    folder: Path | str,
    *,
    models: Sequence[Path | str] = (),
    load_check: bool = True,
    settings: Settings | None = None,
    monitor: Monitor = LOG,
) -> "Verification":
    """Make a merge again in a hidden folder, compare every byte, and check that it loads.

    `models` are the folders of the inputs, in their order, where they have moved. Unless
    `load_check` is False, transformers loads the folder where it is installed. Raises MergeError
    for a folder that is no merge of ours, for one that contradicts itself or does not load, and
    for inputs that are not as they were.
    """
    from merger.metadata.provenance import read_provenance
    from merger.verification import verify_merge as repeat_merge

    settings = settings or default_settings()
    folder = Path(folder)
    names = [facts.name for facts in read_provenance(folder).inputs]
    if models and len(models) != len(names):
        raise UsageError(
            f"the merge is of {len(names)} models, and {len(models)} are named",
            hint=f"in this order: {', then '.join(names)}",
        )
    with show_megabytes(monitor, "merging again (MB)") as on_progress:
        return repeat_merge(
            folder,
            folders=dict(zip(names, map(Path, models), strict=False)),
            threads=settings.threads,
            cache=settings.cache,
            load_check=load_check,
            progress=on_progress,
        )


def prepare_job(
    merge: ResolvedMerge, settings: Settings | None = None, monitor: Monitor = LOG
) -> "MergeJob":
    """The job of a recipe whose models are found, or fetched where the settings allow it.

    Raises ModelError and FetchError for models that are not here.
    """
    from merger.planning.job import MergeJob

    settings = settings or default_settings()
    refs = merge.recipe.inputs
    folders = {ref: locate_model(ref.base, settings, monitor) for ref in refs}
    adapters = {ref: locate_model(ref.adapter, settings, monitor) for ref in refs if ref.adapter}
    return MergeJob(
        merge.recipe,
        folders,
        adapters,
        threads=settings.threads,
        cache=settings.cache,
        command=merge.command,
    )


def locate_model(name: str, settings: Settings, monitor: Monitor = LOG) -> Path:
    """The folder of a model, fetched where the settings allow it.

    Raises ModelError and FetchError for a model that is not here, MergeError for a file.
    """
    from patientdx.fetching.model_cache import fetch_model, locate_model

    if settings.allow_fetch:
        with monitor.progress(f"fetching {name}") as progress:
            path = fetch_model(
                name,
                settings.cache,
                hub=settings.hub,
                allowed=True,
                hub_cache=settings.hub_cache,
                on_progress=progress,
            )
    else:
        path = locate_model(name, settings.cache, settings.hub_cache)
    if not path.is_dir():
        raise MergeError(
            f"`{name}` is a file; models are merged from folders of safetensors",
            hint="name a folder with config.json and model.safetensors",
        )
    return path


@contextmanager
def show_megabytes(monitor: Monitor, label: str) -> "Iterator[Callable[[int, int], None]]":
    """Report bytes that are written as megabytes."""
    with monitor.progress(label) as progress:
        yield lambda done, _total: progress(done // 1_000_000)


def _compare_tensors(
    check: MergeCheck, job: "MergeJob", prepared: "PreparedMerge", monitor: Monitor
) -> MergeCheck:
    from merger.similarity import summarize_cosines, tensor_reports

    if prepared.plan is None:
        raise UsageError(
            "--check compares the tensors of linear and slerp merges only",
            hint="--dry-run shows whether this merge is possible",
        )
    with monitor.progress("comparing", len(prepared.plan.tensors)) as progress:
        rows = tuple(tensor_reports(prepared.plan, threads=job.threads, on_tensor=progress))
    broken = [row.name for row in rows if not row.finite]
    if broken:
        raise MergeError(
            f"{len(broken):,} tensors have NaN or infinite numbers, the first is {broken[0]}",
            hint="one of the models is broken: fetch it again",
        )
    cosines = {row.name: row.cosine for row in rows if row.cosine is not None}
    return replace(check, tensors=rows, cosines=summarize_cosines(cosines, prepared.plan))
