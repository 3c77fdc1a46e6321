"""Damaged files: every changed byte is found, and reading them does no harm."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from paths import ROOT, SUPPORT

from indexer.index import Index
from indexer.storage.layout import Layout
from indexer.storage.writer_lock import LOCK_NAME as LOCK
from indexer.verify import Damage, verify_index
from indexer.writer import add_patients, build_index, delete_patients
from patientdx.errors import IndexFolderError
from patientdx.records import Patient

BYTES = int(os.environ.get("PATIENTDX_DAMAGES", "300"))
TINY = Layout(block_docs=16, dense_share=0.4, dense_min_notes=4, blocked_per_block=1.5)
# Blocks as large as they can be, as in the default layout.
LARGE = Layout(block_docs=4096, dense_share=0.4, dense_min_notes=4, blocked_per_block=8)


def patient(number: int, rnd: Random) -> Patient:
    words = []
    for i in range(60):
        if rnd.random() < 1 / (1 + 0.3 * i):
            words += [f"w{i}"] * rnd.choice([1, 1, 1, 2, 3, 17, 260] if i < 8 else [1, 1, 2])
    return Patient(
        *(f"p{number}", " ".join(words) or "w0"),
        age_years=rnd.choice([None, 1.0, 50.5]),
        sex=rnd.choice(["F", "M"]),
        metadata={"site": rnd.choice("ab")},
    )


def build_damage_target(folder: Path, layout: Layout) -> Path:
    """Three segments, two of them with deletions."""
    rnd = Random(5)
    build_index(folder, [patient(i, rnd) for i in range(120)], layout=layout)
    add_patients(folder, [patient(i, rnd) for i in range(200, 260)])
    add_patients(folder, [patient(i, rnd) for i in range(300, 340)])
    delete_patients(folder, ["p3", "p50", "p210"])
    return folder


@pytest.mark.parametrize("layout", [TINY, LARGE], ids=["tiny", "large"])
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_a_changed_byte_is_found_and_does_no_harm(
    tmp_path: Path, engine: str, layout: Layout
) -> None:
    folder = build_damage_target(tmp_path / "index", layout)
    script = SUPPORT / "damage.py"
    # In a process of its own: a memory fault there is a failure here.
    done = subprocess.run(
        [sys.executable, str(script), str(folder), "1", str(BYTES), engine],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{done.returncode} at {lines[-1:]}\n{done.stderr[-2000:]}"
    reports = [line for line in lines if "where" in line]
    assert len(reports) == BYTES
    assert [report["where"] for report in reports if not report["detected"]] == []
    assert [report for report in reports if report["surprises"]] == []
    assert verify_index(folder)[1] == []  # every byte was put back


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_damage_target(tmp_path / "index", TINY)


def test_a_sound_index(folder: Path) -> None:
    manifest, damage = verify_index(folder)
    assert damage == []
    assert manifest == Index.open(folder).manifest


def test_every_byte_of_the_manifest_counts(folder: Path) -> None:
    path = folder / "manifest.json"
    raw = path.read_bytes()
    for at in range(0, len(raw), 7):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(IndexFolderError):
            verify_index(folder)


def test_cut_missing_and_strange_files(folder: Path, tmp_path: Path) -> None:
    for name in ("segment-000001.pdx", "segment-000003.pdx"):
        copy = tmp_path / f"copy of {name}"
        shutil.copytree(folder, copy)
        (copy / name).write_bytes((folder / name).read_bytes()[:-64])
        (damage,) = verify_index(copy)[1]
        assert damage.path == copy / name
        assert "bytes where" in damage.part
        (copy / name).unlink()
        assert verify_index(copy)[1] == [Damage(copy / name, "a file of the index is missing")]
        with pytest.raises(IndexFolderError, match="is missing"):
            Index.open(copy)
    (folder / "notes.txt").write_text("mine")
    (folder / LOCK).write_text("x")
    parts = {damage.path.name: damage.part for damage in verify_index(folder)[1]}
    assert parts == {LOCK: "should be empty", "notes.txt": "does not belong to the index"}


def test_what_a_killed_writer_left_is_no_damage(folder: Path) -> None:
    (folder / "segment-000099.pdx").write_bytes(b"half")
    (folder / "manifest.json.tmp").write_bytes(b"half")
    (folder / ".runs-x").mkdir()
    assert verify_index(folder)[1] == []


def test_a_folder_without_an_index(tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="no index in"):
        verify_index(tmp_path)
