"""A merge to be killed: says when its work begins, and when it has ended.

python merge_writer.py A B OUT
"""

import sys
from collections.abc import Callable
from typing import Any

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.outputs import output_files
from merger.planning.merge_plan import MergePlan, TensorTask

SHARD_SIZE = 400_000


def plan(left: str, right: str) -> MergePlan:
    """SLERP of all tensors at 0.4."""
    inputs = (Checkpoint.open(left), Checkpoint.open(right))
    tasks = tuple(
        TensorTask(info.name, info.dtype, info.shape, "slerp", (0.6, 0.4))
        for info in inputs[0].tensors.values()
    )
    return MergePlan(inputs, tasks)


def eager(sync: int) -> Callable[..., Any]:
    """The end of a tensor, every `sync` bytes of which are waited for."""
    output_files._SYNC = sync
    real = output_files.OutputFiles.end

    def end(self: output_files.OutputFiles, *arguments: Any) -> None:
        real(self, *arguments)
        self._wait()

    return end


if __name__ == "__main__":
    output_files.OutputFiles.end = eager(20_000)  # type: ignore[method-assign]
    made = plan(sys.argv[1], sys.argv[2])
    print("begun", flush=True)
    files = {"config.json": b"{}", "README.md": b"# merged\n"}
    written = write_merge(made, sys.argv[3], files, shard_size=SHARD_SIZE)
    print(f"ended {written.resumed}", flush=True)
