"""Merges that cannot be: one sentence with a hint, and nothing left behind."""

import errno
import itertools
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints as tiny
from paths import ROOT
from tiny_merges import digest, plan_of

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.planning.merge_plan import MergePlan
from patientdx.errors import InputError, MergeError, PatientDxError

NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> MergePlan:
    folder = tmp_path_factory.mktemp("pair")
    pair = [
        Checkpoint.open(tiny.write(folder / str(seed), tiny.random_tensors(seed)))
        for seed in range(2)
    ]
    return plan_of(pair, "slerp", (0.6, 0.4))


def refused(
    plan: MergePlan, into: Path, kind: type[PatientDxError], problem: str, **options: Any
) -> None:
    before = sorted(into.parent.iterdir())
    with pytest.raises(kind, match=problem) as caught:
        write_merge(plan, into, **options)
    assert "\n" not in caught.value.message
    assert sorted(into.parent.iterdir()) == before


@pytest.mark.parametrize("method", ["slerp", "linear", "copy"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
def test_a_tensor_that_is_not_finite_is_named(
    tmp_path: Path, method: str, bad: float, side: int, dtype: str
) -> None:
    pair = []
    for seed in range(2):
        tensors = tiny.random_tensors(seed, dtype)
        if seed == side:
            numbers = np.ones(16)
            numbers[5] = bad
            tensors[NORM] = tiny.Tensor(numbers, dtype)
        pair.append(Checkpoint.open(tiny.write(tmp_path / "in" / str(seed), tensors)))
    weights = (0.6, 0.4) if method != "copy" else (1.0 - side, float(side))
    broken = plan_of(pair, method, weights)
    problem = f"{pair[side].folder}: tensor `{NORM}` holds NaN or infinity"
    refused(broken, tmp_path / "out", MergeError, problem)


def undivided(plan: MergePlan) -> MergePlan:
    return replace(plan, tensors=tuple(task._replace(divided=False) for task in plan.tensors))


def test_a_result_beyond_its_dtype_is_named(tmp_path: Path) -> None:
    tensors = {"x": tiny.Tensor(np.full(40, 6e4), "F32")}
    pair = [Checkpoint.open(tiny.write(tmp_path / "in" / n, tensors)) for n in "ab"]
    sound = plan_of(pair, "linear", (0.5, 0.5), "F16")
    write_merge(sound, tmp_path / "sound")
    more = undivided(plan_of(pair, "linear", (0.6, 0.6), "F16"))
    refused(more, tmp_path / "out", MergeError, "tensor `x`: the merge exceeds what F16 can hold")
    work = undivided(plan_of(pair, "linear", (0.6, 0.6), "F32", "F16"))
    refused(work, tmp_path / "out", MergeError, "tensor `x`: the merge exceeds what F16 can hold")


def test_what_is_there_already_is_kept(tmp_path: Path, plan: MergePlan) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    (folder / "x").write_text("kept")
    file.write_text("kept")
    link.symlink_to(file)
    refused(plan, folder, InputError, "is not empty")
    refused(plan, file, InputError, "is a file")
    refused(plan, link, InputError, "is a file")
    assert (folder / "x").read_text() == file.read_text() == "kept"


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path, plan: MergePlan) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    write_merge(plan, tmp_path / "empty")
    write_merge(plan, tmp_path / "link")
    write_merge(plan, tmp_path / "new" / "deep")
    digests = [digest(tmp_path / name) for name in ("empty", "linked", "new/deep")]
    assert digests[0] == digests[1] == digests[2]


HOLDER = """
import sys
from pathlib import Path
from merger.outputs.staging import open_staging
with open_staging(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_merges_into_one_name_do_not_mix(tmp_path: Path, plan: MergePlan) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "out")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    refused(plan, tmp_path / "out", MergeError, "another process is merging into this folder")
    holder.communicate(b"")
    write_merge(plan, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, plan: MergePlan) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MergeError, match="cannot be written: "):
        write_merge(plan, tmp_path / "file" / "out")


def test_a_disk_without_room_is_noticed_before(
    tmp_path: Path, plan: MergePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(_: object) -> Any:
        return type("Usage", (), {"free": 1000})

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    refused(plan, tmp_path / "out", MergeError, r"the disk has 0.0 GB free, 0.0 GB more are needed")


@contextmanager
def limited(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 5000])
def test_a_disk_that_is_full(tmp_path: Path, plan: MergePlan, size: int) -> None:
    with limited(size):
        refused(plan, tmp_path / "out", MergeError, "cannot be written: File too large")


def nth(real: Callable[..., Any], n: int, calls: Iterator[int]) -> Callable[..., Any]:
    def failing(*arguments: Any, **named: Any) -> Any:
        if next(calls) == n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **named)

    return failing


CALLS = ("pwrite", "fdatasync", "fsync", "posix_fallocate", "rename", "open")


@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_is_full_half_way(
    tmp_path: Path, plan: MergePlan, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whatever call fails, first, second ...: refused with nothing left, or whole."""
    write_merge(plan, tmp_path / "whole", shard_size=2000)
    expected = digest(tmp_path / "whole")
    for n in range(200):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, nth(getattr(os, call), n, itertools.count()))
            message = failure(plan, tmp_path / "out")
        assert message is None or "No space left on device" in message
        if (tmp_path / "out").exists():  # whatever failed was of no matter
            break
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert n > 0
    assert digest(tmp_path / "out") == expected
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out"}


def failure(plan: MergePlan, into: Path) -> str | None:
    """What the one permitted kind of error says; None where there was none."""
    try:
        write_merge(plan, into, shard_size=2000)
    except MergeError as error:
        return error.message
    return None


def test_an_input_that_vanished(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "in", tiny.random_tensors(0))
    lone = plan_of([Checkpoint.open(folder)], "linear", (1.0,))
    (folder / "model.safetensors").unlink()
    refused(lone, tmp_path / "out", InputError, "model.safetensors: cannot be read: No such file")
