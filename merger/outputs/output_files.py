"""The weight files of an output: allocated first, written in any order, synced in between.

Every `_SYNC` bytes a separate thread syncs the finished tensors and notes them in the journal, so
that a merge that is killed loses little, and the disk writes while other threads compute.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from merger.planning.merge_plan import MergePlan, TensorTask
from patientdx.storage.durable import reserve_space, sync_data, write_at

from .journal import FinishedTensors, append_journal
from .shards import Shard
from .staging import Staging

_SYNC = 64 << 20  # bytes


class OutputFiles:
    """The open files of the output, and the tensors that are finished."""

    def __init__(self, staging: Staging, shards: list[Shard], finished: FinishedTensors) -> None:
        self.finished = dict(finished)
        self._before = frozenset(finished)
        self._staging = staging
        self._shards = shards
        self._place = {
            name: (n, offset)
            for n, shard in enumerate(shards)
            for name, offset in shard.offsets.items()
        }
        self._descriptors: list[int] = []
        self._pending: FinishedTensors = {}
        self._unsynced = 0
        self._syncing: Future[None] | None = None
        self._syncer = ThreadPoolExecutor(1, "sync")

    def __enter__(self) -> Self:
        try:
            for shard in self._shards:
                flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
                path = self._staging.model / shard.name
                self._descriptors.append(os.open(path, flags, 0o666))
                reserve_space(self._descriptors[-1], shard.size)
                write_at(self._descriptors[-1], shard.header, 0)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._sync_pending()
                self._wait()
        finally:
            self._close()

    def resumed(self, plan: MergePlan) -> int:
        """Bytes of the tensors that an earlier run had written."""
        return sum(task.slot.nbytes for task in plan.tensors if task.name in self._before)

    def cosines(self, plan: MergePlan) -> dict[str, float]:
        """The cosines of the inputs by tensor, in the order of the plan."""
        cosines = ((task.name, self.finished.get(task.name)) for task in plan.tensors)
        return {name: cosine for name, cosine in cosines if cosine is not None}

    def write(self, task: TensorTask, start: int, data: memoryview) -> None:
        """Writes bytes of a tensor, from its byte `start` on. Any thread may call it."""
        n, offset = self._place[task.name]
        write_at(self._descriptors[n], data, offset + start)

    def end(self, task: TensorTask, cosine: float | None) -> None:
        """Marks a tensor as finished, and syncs from time to time."""
        self.finished[task.name] = self._pending[task.name] = cosine
        self._unsynced += task.slot.nbytes
        if self._unsynced >= _SYNC and (self._syncing is None or self._syncing.done()):
            self._sync_pending()

    def _sync_pending(self) -> None:
        self._wait()
        pending, self._pending, self._unsynced = self._pending, {}, 0
        self._syncing = self._syncer.submit(self._sync, pending)

    def _sync(self, finished: FinishedTensors) -> None:
        for n in sorted({self._place[name][0] for name in finished}):
            sync_data(self._descriptors[n])
        append_journal(self._staging.journal, finished)

    def _wait(self) -> None:
        if self._syncing is not None:
            self._syncing.result()

    def _close(self) -> None:
        self._syncer.shutdown(cancel_futures=True)
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
