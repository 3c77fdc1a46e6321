"""Merges that are interrupted and resumed, and what a journal is worth."""

from pathlib import Path

import pytest
import tiny_checkpoints as tiny
from tiny_merges import digest, plan_of

from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.outputs import output_files
from merger.planning.merge_plan import TensorTask
from patientdx.errors import MergeError

T = 0.4


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    folder = tmp_path_factory.mktemp("pair")
    a = tiny.random_tensors(0)
    return (
        Checkpoint.open(tiny.write(folder / "a", a)),
        Checkpoint.open(tiny.write(folder / "b", tiny.near(a, 1), shards=3)),
    )


class Stop(KeyboardInterrupt):
    """As if the user had interrupted."""


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> None:
    """Lets so many tensors be finished, each synced at once, then raises."""
    real = output_files.OutputFiles.end
    ended: list[TensorTask] = []

    def end(self: output_files.OutputFiles, task: TensorTask, cosine: float | None) -> None:
        if len(ended) == after:
            raise error
        ended.append(task)
        real(self, task, cosine)
        self._wait()

    monkeypatch.setattr(output_files, "_SYNC", 0)
    monkeypatch.setattr(output_files.OutputFiles, "end", end)


def test_an_interrupted_merge_is_resumed(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(pair, "slerp", (1 - T, T))
    whole = write_merge(plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupted(patch, 3, Stop())
        with pytest.raises(Stop):
            write_merge(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.merging").exists()
    seen: list[int] = []
    resumed = write_merge(plan, tmp_path / "out", progress=seen.append)
    assert resumed.resumed == seen[0] == sum(task.slot.nbytes for task in plan.tensors[:3])
    assert seen[-1] == plan.nbytes
    assert resumed.cosines == whole.cosines
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")
    assert not (tmp_path / ".out.merging").exists()


def test_another_plan_does_not_resume_what_was_interrupted(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupted(patch, 3, Stop())
        with pytest.raises(Stop):
            write_merge(plan_of(pair, "slerp", (1 - T, T)), tmp_path / "out")
    other = plan_of(pair, "slerp", (0.5, 0.5))
    assert write_merge(other, tmp_path / "out").resumed == 0
    write_merge(other, tmp_path / "whole")
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["cut line", "no JSON", "no file", "cut shard", "no shard"])
def test_what_a_journal_cannot_vouch_for_is_merged_again(
    tmp_path: Path,
    pair: tuple[Checkpoint, Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    plan = plan_of(pair, "slerp", (1 - T, T))
    write_merge(plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupted(patch, 3, Stop())
        with pytest.raises(Stop):
            write_merge(plan, tmp_path / "out")
    journal = tmp_path / ".out.merging" / "journal"
    shard = tmp_path / ".out.merging" / "model" / "model.safetensors"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    if damage == "cut line":
        journal.write_bytes(b"".join(lines)[:-1])
    elif damage == "no JSON":
        journal.write_bytes(lines[0] + lines[1] + b"\x00\x00\n" + lines[3])
    elif damage == "no file":
        journal.unlink()
    elif damage == "cut shard":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        shard.unlink()
    kept = {"cut line": 2, "no JSON": 1}.get(damage, 0)
    done = write_merge(plan, tmp_path / "out")
    assert done.resumed == sum(task.slot.nbytes for task in plan.tensors[:kept])
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_an_error_on_the_way_leaves_nothing(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, 3, MergeError("no"))
    with pytest.raises(MergeError):
        write_merge(plan_of(pair, "slerp", (1 - T, T)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
