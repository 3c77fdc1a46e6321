"""The streaming engine: a plan's tensors, merged part by part into files laid out beforehand.

No tensor is ever held whole: inputs are mapped, parts are merged by all threads and written at
their places, and synced while others are merged. The output appears under its name by one rename.
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
from merger.outputs.output_files import OutputFiles
from merger.outputs.shards import SHARD_SIZE, Shard, compose_index, lay_out
from merger.outputs.staging import check_disk_space, open_staging, write_error
from merger.planning.merge_plan import MergePlan, TensorTask
from merger.planning.recipe_resolver import mergekit_only_error

from .parts import PartMerger, Span

_WINDOW = 256 << 20  # bytes of tensors begun and not yet merged, or merged and not yet written

Progress = Callable[[int], None]
"""Told how many bytes of the output's tensors are written."""

Cosines = Mapping[str, float]
"""The cosine of the inputs by tensor, where SLERP took it."""

CompanionFiles = Mapping[str, bytes] | Callable[[Cosines], Mapping[str, bytes]]
"""Files to lie beside the weights, by name; or a function that makes them when all is merged."""


@dataclass(frozen=True)
class WriteReport:
    """An output: its folder, the files with weights, and what was met on the way.

    `resumed` counts the bytes that an earlier, interrupted run had written.
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
) -> WriteReport:
    """Carries out a plan: writes its tensors and `files` into a new folder.

    A run that was killed is resumed by the same plan. Raises InputError where the folder is not
    empty; MergeError where inputs do not allow the plan, hold numbers that are not finite, where
    another process writes to the same name, or the disk does not take the output. Then nothing is
    left behind.
    """
    target = Path(os.path.realpath(into))
    plan.check()
    if any(task.method == "multislerp" for task in plan.tensors):
        raise mergekit_only_error("the method `multislerp`")
    shards = lay_out([task.slot for task in plan.tensors], shard_size)
    with _convert_os_errors(target), open_staging(target) as staging:
        key = f"{plan.digest} {shard_size}"
        finished = staging.resume(key, shards)
        check_disk_space(staging, shards)
        with OutputFiles(staging, shards, finished) as output:
            _merge(plan, output, threads or _available_cores(), progress or (lambda _: None))
        cosines = output.cosines(plan)
        beside = files(cosines) if callable(files) else files or {}
        staging.finish({**_check_names(beside, shards), **compose_index(shards)})
    names = tuple(shard.name for shard in shards)
    return WriteReport(target, names, plan.nbytes, cosines, output.resumed(plan))


class _TensorWork(NamedTuple):
    """A tensor, with the work on its parts under way."""

    task: TensorTask
    spans: list[Span]
    work: list[Future[Any]]
    cosine: float | None = None


@dataclass
class _WorkQueue:
    """Tensors in order, and their size."""

    held: deque[_TensorWork] = field(default_factory=deque)
    nbytes: int = 0

    def push(self, begun: _TensorWork) -> None:
        self.held.append(begun)
        self.nbytes += begun.task.slot.nbytes

    def pop(self, more_than: int) -> Iterator[_TensorWork]:
        """The first ones, until no more than so many bytes are left."""
        while self.held and self.nbytes > more_than:
            self.nbytes -= self.held[0].task.slot.nbytes
            yield self.held.popleft()


def _merge(plan: MergePlan, output: OutputFiles, threads: int, progress: Progress) -> None:
    """All tensors that are not finished yet: sums run ahead of merging, merging of writing."""
    run = _Pipeline(plan, output, progress)
    with ThreadPoolExecutor(threads, "merge") as run.pool:
        try:
            for task in plan.tensors:
                if task.name not in output.finished:
                    run.begin(task)
                    run.advance(_WINDOW)
            run.advance(-1)
        except BaseException:
            run.pool.shutdown(cancel_futures=True)
            raise


class _Pipeline:
    """The tensors under way."""

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
        """Has a tensor read, and its sums taken where SLERP needs them."""
        for checkpoint in self._inputs:
            if task.name in checkpoint.tensors:
                checkpoint.will_need(task.name)
        spans = self._parts.spans(task)
        merged = [s for s in spans if s.piece.merged and len(s.piece.sources) > 1]
        needed = merged if task.method == "slerp" else []
        work = [self.pool.submit(self._parts.sums, task, span) for span in needed]
        self._summing.push(_TensorWork(task, spans, work))

    def advance(self, window: int) -> None:
        """Begins to write tensors whose sums are known, and ends what is written."""
        for begun in self._summing.pop(window):
            self._write(begun)
        for begun in self._writing.pop(window):
            self._end(begun)

    def _write(self, begun: _TensorWork) -> None:
        task, spans, sums, _ = begun
        cosine = None
        if sums:
            cosine = self._parts.moments(task, [each.result() for each in sums]).cosine
        work = [self.pool.submit(self._parts.write, task, span, cosine) for span in spans]
        self._writing.push(_TensorWork(task, spans, work, cosine))

    def _end(self, begun: _TensorWork) -> None:
        task, spans, work, cosine = begun
        for span, part in zip(spans, work, strict=True):
            part.result()
            self._done += (span.stop - span.start) * SIZES[task.dtype]
            self._progress(self._done)
        for checkpoint in self._inputs:
            if task.name in checkpoint.tensors:
                checkpoint.done_with(task.name)
        self._output.end(task, cosine)


def _check_names(files: Mapping[str, bytes], shards: Sequence[Shard]) -> Mapping[str, bytes]:
    taken = {shard.name for shard in shards}
    for name in files:
        if not name or name in taken or Path(name).name != name:
            raise ValueError(f"no name for a file beside the weights: {name!r}")
    return files


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _convert_os_errors(target: Path) -> Iterator[None]:
    """Turns what the operating system says about the output into a sentence."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from None
