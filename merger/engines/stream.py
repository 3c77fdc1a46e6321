"""The streaming engine: merges a plan's tensors part by part into files laid out beforehand.

No tensor is ever held whole: inputs are mapped, all threads merge parts and write them to their
places, and finished parts are synced while others are merged. The output appears under its name by
one rename.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from merger.checkpoints.values import SIZES
from merger.kernels.moments import Moments
from merger.methods.method import COPY
from merger.methods.registry import get_method
from merger.outputs.output_files import OutputFiles
from merger.outputs.shards import SHARD_SIZE, Shard, compose_index, lay_out
from merger.outputs.staging import check_disk_space, open_staging, write_error
from merger.planning.merge_plan import MergePlan, TensorTask
from merger.planning.recipe_resolver import mergekit_only_error
from patientdx.processors import available_cores

from .parts import PartMerger, Span

_WINDOW = 256 << 20  # bytes of tensors begun and not yet merged, or merged and not yet written

Progress = Callable[[int], None]
"""Gets the number of bytes of tensors that are written."""

Cosines = Mapping[str, float]
"""The cosine of the inputs by tensor, where the method needed it."""

Completion = Callable[[Path], None]
"""Adds to the finished folder before it gets its name."""

CompanionFiles = Mapping[str, bytes] | Callable[[Cosines], Mapping[str, bytes]]
"""Files beside the weights, by name; or a function that makes them once all is merged."""


@dataclass(frozen=True)
class WriteReport:
    """An output that is written: its folder, its files of weights, their bytes, and cosines.

    `resumed` is the number of bytes that an earlier, interrupted run had written.
    """

    folder: Path
    shards: tuple[str, ...]
    nbytes: int
    cosines: Cosines
    resumed: int


def write_merge(
    plan: MergePlan,
    into: Path | str,
    files: CompanionFiles | None = None,
    *,
    shard_size: int = SHARD_SIZE,
    threads: int | None = None,
    progress: Progress | None = None,
    complete: Completion = lambda _folder: None,
) -> WriteReport:
    """Carries out a plan: writes its tensors and `files` into a new folder.

    `complete` may add to the folder once all of them are there, before it gets its name.

    A run that was killed is resumed by the same plan. Raises InputError if the folder is not
    empty; MergeError if the inputs do not fit the plan or hold numbers that are not finite, if
    another process writes to the same name, or if the disk is too small. Then nothing is left
    behind.
    """
    target = Path(os.path.realpath(into))
    plan.check()
    for task in plan.tensors:
        if task.method != COPY and not get_method(task.method).streams:
            raise mergekit_only_error(f"the method `{task.method}`")
    shards = lay_out([task.slot for task in plan.tensors], shard_size)
    with _convert_os_errors(target), open_staging(target) as staging:
        key = f"{plan.digest} {shard_size}"
        finished = staging.resume(key, shards)
        check_disk_space(staging, shards)
        with OutputFiles(staging, shards, finished) as output:
            _merge(plan, output, threads or available_cores(), progress or (lambda _: None))
        cosines = output.cosines(plan)
        beside = files(cosines) if callable(files) else files or {}
        _check_names(beside, shards)
        staging.finish({**beside, **compose_index(shards)}, complete)
    names = tuple(shard.name for shard in shards)
    return WriteReport(target, names, plan.nbytes, cosines, output.resumed(plan))


class _TensorWork(NamedTuple):
    """A tensor whose parts are being summed or written by `futures`."""

    task: TensorTask
    spans: list[Span]
    futures: list[Future[Any]]
    cosine: float | None = None


@dataclass
class _WorkQueue:
    """Tensors in order, and their size."""

    entries: deque[_TensorWork] = field(default_factory=deque)
    nbytes: int = 0

    def push(self, work: _TensorWork) -> None:
        self.entries.append(work)
        self.nbytes += work.task.slot.nbytes

    def pop(self, limit: int) -> Iterator[_TensorWork]:
        """The first tensors, until the rest has at most `limit` bytes."""
        while self.entries and self.nbytes > limit:
            self.nbytes -= self.entries[0].task.slot.nbytes
            yield self.entries.popleft()


def _merge(plan: MergePlan, output: OutputFiles, threads: int, progress: Progress) -> None:
    """Merges all tensors that are not finished; sums run ahead of merging, merging of writing."""
    pipeline = _Pipeline(plan, output, progress)
    with ThreadPoolExecutor(threads, "merge") as pipeline.pool:
        try:
            for task in plan.tensors:
                if task.name not in output.finished:
                    pipeline.begin(task)
                    pipeline.advance(_WINDOW)
            pipeline.advance(-1)
        except BaseException:
            pipeline.pool.shutdown(cancel_futures=True)
            raise


class _Pipeline:
    """The tensors that are being merged, in two stages: sums, then merging and writing."""

    def __init__(self, plan: MergePlan, output: OutputFiles, progress: Progress) -> None:
        self.pool: ThreadPoolExecutor
        self._inputs = plan.inputs
        self._parts = PartMerger(plan, output.write)
        self._output = output
        self._progress = progress
        self._done = output.resumed(plan)
        self._summing, self._writing = _WorkQueue(), _WorkQueue()
        progress(self._done)

    def begin(self, task: TensorTask) -> None:
        """Starts reading a tensor, and computing its sums if the method needs them."""
        for checkpoint in self._inputs:
            if task.name in checkpoint.tensors:
                checkpoint.will_need(task.name)
        spans = self._parts.spans(task)
        summed: list[Span] = []
        if task.method != COPY and get_method(task.method).needs_moments:
            summed = [span for span in spans if span.piece.merged and len(span.piece.sources) > 1]
        futures = [self.pool.submit(self._parts.sums, task, span) for span in summed]
        self._summing.push(_TensorWork(task, spans, futures))

    def advance(self, window: int) -> None:
        """Starts writing the oldest tensors, and finishes them, down to `window` bytes a stage."""
        for work in self._summing.pop(window):
            self._start_writing(work)
        for work in self._writing.pop(window):
            self._finish(work)

    def _start_writing(self, work: _TensorWork) -> None:
        task, spans, sums, _ = work
        moments: Moments | None = None
        if sums:
            moments = self._parts.moments(task, [future.result() for future in sums])
        futures = [self.pool.submit(self._parts.write, task, span, moments) for span in spans]
        cosine = moments.cosine if moments is not None else None
        self._writing.push(_TensorWork(task, spans, futures, cosine))

    def _finish(self, work: _TensorWork) -> None:
        task, spans, futures, cosine = work
        for span, future in zip(spans, futures, strict=True):
            future.result()
            self._done += (span.stop - span.start) * SIZES[task.dtype]
            self._progress(self._done)
        for checkpoint in self._inputs:
            if task.name in checkpoint.tensors:
                checkpoint.done_with(task.name)
        self._output.end(task, cosine)


def _check_names(files: Mapping[str, bytes], shards: Sequence[Shard]) -> None:
    """Raises ValueError for a name that is a shard's or leads out of the folder."""
    taken = {shard.name for shard in shards}
    for name in files:
        if not name or name in taken or Path(name).name != name:
            raise ValueError(f"not a name for a file beside the weights: {name!r}")


@contextmanager
def _convert_os_errors(target: Path) -> Iterator[None]:
    """Turns errors of the operating system into MergeErrors about the output."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from None
