"""Merges and verifications in processes of their own, some of which are killed on the way.

The processes are forked by a server that has imported MergeKit and torch, and used neither.
"""

import multiprocessing
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PRELOADED = ["mergekit.merge", "mergekit.options", "mergekit.merge_methods", "merger.execution"]
_LIMIT_S = 300.0


@dataclass(frozen=True)
class CrashJob:
    """A merge by a recipe in the folder `place`, into `out` there.

    The load check takes many times as long as the merge of a small model: with it nearly all kills
    hit the check.
    """

    place: Path
    recipe: str
    engine: str = "stream"
    shard_size: int = 400_000
    load_check: bool = False

    @property
    def into(self) -> Path:
        """The output."""
        return self.place / "out"


@dataclass(frozen=True)
class Ending:
    """How a process ended: its result, if it came to one, and the seconds that it worked."""

    result: Any
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether the process came to its end."""
        return self.result is not None


def merge_job(job: CrashJob, connection: Connection) -> None:
    """Merges, and reports beginning and end."""
    from patientdx.settings import default_settings
    from workflows.merges import merge

    settings = replace(default_settings(), cache=job.place / "cache", threads=2)
    connection.send("begun")
    options: Any = {"engine": job.engine, "shard_size": job.shard_size}
    options |= {"load_check": job.load_check, "settings": settings}
    result = merge(job.place / job.recipe, job.into, **options)
    connection.send(result.engine)


def verify_job(job: CrashJob, connection: Connection) -> None:
    """Verifies the output without loading it, and reports the files that differ."""
    from patientdx.settings import default_settings
    from workflows.merges import verify_merge

    settings = replace(default_settings(), cache=job.place / "cache", threads=1)
    connection.send("begun")
    result = verify_merge(job.into, load_check=False, settings=settings)
    connection.send(([*result.different, *result.unknown], len(result.same)))


def run_job(work: Any, job: CrashJob, *, kill_after: float | None = None) -> Ending:
    """Runs `merge_job` or `verify_job`; kills it so many seconds after its beginning."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(job, theirs))
    process.start()
    theirs.close()
    assert ours.poll(_LIMIT_S)
    assert ours.recv() == "begun"
    begun = time.monotonic()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join(_LIMIT_S)
    assert process.exitcode is not None, "the process hangs"
    seconds = time.monotonic() - begun
    try:
        result = ours.recv()
    except EOFError:
        result = None
    assert kill_after is not None or process.exitcode == 0
    return Ending(result, seconds)
