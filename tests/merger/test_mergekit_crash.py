"""Merges by MergeKit that are killed: never a half-written folder, and nothing stays behind."""

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")

from killed_merges import hidden, job_of, kill
from small_merges import loaded, save_model
from tiny_merges import digest

from merger import execution
from merger.engines import stream
from merger.engines.stream import WriteReport
from merger.execution import merge
from merger.outputs import destination
from merger.outputs.destination import check_destination
from merger.outputs.staging import open_staging, reclaimable_bytes
from patientdx.errors import MergeError, PatientDxError


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models for MergeKit to merge."""
    place = tmp_path_factory.mktemp("models")
    save_model(place / "math-model", seed=1)
    save_model(place / "medical-model", seed=2)
    (place / "mergekit").touch()
    return place


@pytest.fixture(scope="module")
def expected(models: Path) -> dict[str, str]:
    """The digests of a merge by MergeKit that nobody kills."""
    assert merge(job_of(models), models / "out").engine.startswith("mergekit ")
    digests = digest(models / "out")
    shutil.rmtree(models / "out")
    return digests


@pytest.mark.parametrize(
    ("step", "after"), [("run by MergeKit", 1), ("a file synced", 1), ("a file written", 3)]
)
def test_a_killed_merge_is_made_again_by_the_same_command(
    step: str, after: int, models: Path, expected: dict[str, str]
) -> None:
    kill(models, step, after)
    assert hidden(models) == [".out.merging"]
    assert list((models / ".out.merging/model").glob("*.safetensors"))
    (models / ".out.merging/model/junk").touch()  # must not come into the merge
    merge(job_of(models), models / "out")
    assert digest(models / "out") == expected
    assert hidden(models) == []
    loaded(models / "out")
    shutil.rmtree(models / "out")


def test_neither_engine_takes_what_the_other_left_for_its_own(
    models: Path, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / "mergekit").unlink()
    merge(job_of(models), models / "out")
    whole = digest(models / "out")
    shutil.rmtree(models / "out")
    kill(models, "a tensor's end", 3)
    (models / "mergekit").touch()
    kill(models, "run by MergeKit", 1)
    (models / "mergekit").unlink()
    write, seen = stream.write_merge, list[WriteReport]()

    def writing(*arguments: Any, **options: Any) -> WriteReport:
        seen.append(write(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(stream, "write_merge", writing)
    merge(job_of(models), models / "out")
    assert seen[0].resumed == 0
    assert digest(models / "out") == whole
    assert hidden(models) == []
    shutil.rmtree(models / "out")
    kill(models, "a tensor's end", 3)
    (models / "mergekit").touch()
    merge(job_of(models), models / "out")
    assert digest(models / "out") == expected
    assert hidden(models) == []
    shutil.rmtree(models / "out")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_ends_mergekit_on_the_way_leaves_nothing(
    error: BaseException, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending(_recipe: Any, _folders: Any, into: Path, **_: Any) -> None:
        into.mkdir()
        (into / "model.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(execution, "run_mergekit", ending)
    raised = MergeError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(raised):
        merge(job_of(models), models / "out")
    assert hidden(models) == []
    assert not (models / "out").exists()


def test_two_merges_by_mergekit_into_one_name_do_not_mix(models: Path) -> None:
    with (
        open_staging(models / "out"),
        pytest.raises(MergeError, match="another process is merging into this folder"),
    ):
        merge(job_of(models), models / "out")
    assert hidden(models) == []


def test_the_space_that_a_killed_merge_holds_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".out.merging/model"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(bytes(1_000_000))
    held = reclaimable_bytes(tmp_path / "out")
    assert 1_000_000 <= held < 1_100_000
    full = type("Usage", (), {"free": destination._RESERVE})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    check_destination(tmp_path / "out", held)
    for name, need in (("out", held + 1), ("other", 1)):
        with pytest.raises(PatientDxError, match="GB free, and the merge needs"):
            check_destination(tmp_path / name, need)
