"""A merge by recipe that kills itself at a given step.

python killed_merges.py FOLDER STEP AFTER
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paths import ROOT

from merger import execution
from merger.checkpoints import adapters
from merger.execution import merge
from merger.outputs import output_files, staging
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe

STEPS: dict[str, tuple[Any, str]] = {
    "adapting": (adapters, "_parts"),
    "a tensor's end": (output_files.OutputFiles, "end"),
    "run by MergeKit": (execution, "run_mergekit"),
    "a file synced": (staging, "sync_file"),
    "a file written": (staging, "write_synced"),
}


def job_of(folder: Path) -> MergeJob:
    """SLERP at 0.4 of the models `math-model` and `medical-model` with an adapter, if it is there.

    The engine is MergeKit where a file `mergekit` lies beside them.
    """
    left, right, lora = (folder / name for name in ("math-model", "medical-model", "lora"))
    second = f"{right}+{lora}" if lora.exists() else str(right)
    recipe = parse_recipe(to_yaml(two_model_recipe("slerp", str(left), second, 0.4)))
    a, b = recipe.inputs
    found = {b: lora} if lora.exists() else {}
    engine: Any = "mergekit" if (folder / "mergekit").exists() else "stream"
    return MergeJob(recipe, {a: left, b: right}, found, engine=engine)


def deadly(real: Callable[..., Any], after: int) -> Callable[..., Any]:
    """A function that does its work and, when it was called so often, kills the process."""
    calls = []

    def called(*arguments: Any, **options: Any) -> Any:
        done = real(*arguments, **options)
        calls.append(done)
        if len(calls) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return called


def kill(place: Path, step: str, after: int) -> None:
    """A merge in a process that ends itself there."""
    ended = subprocess.run(
        [sys.executable, __file__, str(place), step, str(after)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert not (place / "out").exists()


def hidden(place: Path) -> list[str]:
    """What lies beside the models and the merge."""
    return sorted(path.name for path in place.iterdir() if path.name.startswith("."))


def eager(real: Callable[..., Any]) -> Callable[..., Any]:
    """The end of a tensor, with all of it synced and in the journal."""

    def end(self: output_files.OutputFiles, *arguments: Any) -> None:
        real(self, *arguments)
        self._wait()

    return end


if __name__ == "__main__":
    output_files._SYNC = 0
    output_files.OutputFiles.end = eager(output_files.OutputFiles.end)  # type: ignore[method-assign]
    place, step, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    owner, attribute = STEPS[step]
    setattr(owner, attribute, deadly(getattr(owner, attribute), number))
    merge(job_of(place), place / "out")
