"""Spill folders: removed in the end, or after a kill by the next owner, never while held."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from evaluator.cohorts.spilling import PREFIX, spill_folder

HOLD = """
import sys, time
from pathlib import Path
from evaluator.cohorts.spilling import spill_folder
with spill_folder(Path(sys.argv[1])) as folder:
    (folder / "table").write_text("rows")
    print(folder, flush=True)
    sys.stdin.read()
"""


def holder(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that holds a spill folder until its input ends, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(
    tmp_path: Path,
) -> None:
    killed, left = holder(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert (left / "table").exists()
    living, held = holder(tmp_path)
    assert not left.exists()  # the second holder removed it
    with spill_folder(tmp_path) as own:
        assert {held, own} == set(tmp_path.iterdir())
        assert own.stat().st_mode & 0o777 == 0o700
        assert (held / "table").read_text() == "rows"
    assert [held] == list(tmp_path.iterdir())
    living.communicate("")
    assert living.returncode == 0
    assert not list(tmp_path.iterdir())


def test_links_and_files_of_such_a_name_stay(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(kept)
    (tmp_path / f"{PREFIX}file").write_text("mine")
    before = sorted(tmp_path.iterdir())
    with spill_folder(tmp_path), pytest.raises(OSError), spill_folder(tmp_path):
        raise OSError
    assert sorted(tmp_path.iterdir()) == before
