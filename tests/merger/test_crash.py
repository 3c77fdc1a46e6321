"""Merges that are killed: never a half-written folder, and resuming gives the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import merge_writer
import numpy as np
import pytest
import tiny_checkpoints as tiny
from paths import ROOT
from tiny_merges import digest

KILLS = int(os.environ.get("PATIENTDX_KILLS", "12"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of 40 tensors, 100 kB each."""
    folder = tmp_path_factory.mktemp("pair")
    folders = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        tensors = {f"t{n:02d}": tiny.Tensor(rng.standard_normal((100, 512))) for n in range(40)}
        folders.append(tiny.write(folder / str(seed), tensors))
    return folders[0], folders[1]


def started(pair: tuple[Path, Path], into: Path) -> subprocess.Popen[str]:
    """A merge, up to where its work begins."""
    process = subprocess.Popen(
        [sys.executable, merge_writer.__file__, *map(str, pair), str(into)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def ended(pair: tuple[Path, Path], into: Path) -> tuple[int, float]:
    """The bytes that were resumed, and the seconds from beginning to end."""
    process = started(pair, into)
    begun = time.monotonic()
    out, _ = process.communicate()
    assert process.returncode == 0
    return int(out.removeprefix("ended ")), time.monotonic() - begun


def killed(pair: tuple[Path, Path], into: Path, after: float) -> bool:
    """Kills a merge after so many seconds; True where it had said that it ended."""
    process = started(pair, into)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}
    return out.startswith("ended")


def test_merges_that_are_killed(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    whole, into = tmp_path / "whole", tmp_path / "out"
    _, duration = ended(pair, whole)
    expected = digest(whole)
    assert len(expected) > 10
    rnd = Random(1)
    unfinished = resumed = 0
    for _ in range(KILLS):
        said = killed(pair, into, rnd.uniform(0, duration))
        assert into.exists() or not said
        if not into.exists():
            unfinished += 1
            resumed += ended(pair, into)[0] > 0
        assert digest(into) == expected
        shutil.rmtree(into)
    assert unfinished  # some were killed in time
    assert resumed or KILLS < 12  # and some of those had finished tensors
    ended(pair, into)
    # What the killed ones left behind is gone.
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out"}


def test_a_merge_that_is_killed_again_and_again_comes_to_an_end(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    whole, into = tmp_path / "whole", tmp_path / "out"
    _, duration = ended(pair, whole)
    rnd = Random(2)
    for _ in range(KILLS):
        if killed(pair, into, rnd.uniform(0, duration / 2)) or into.exists():
            break
    if not into.exists():
        ended(pair, into)
    assert digest(into) == digest(whole)
