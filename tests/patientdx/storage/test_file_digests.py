"""Digests: any change of weights or settings shows, and big files are read once."""

import json
import os
from pathlib import Path

import pytest

from patientdx.errors import ModelError
from patientdx.storage import file_digests
from patientdx.storage.file_digests import digest_files, hash_file


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "model.safetensors", tmp_path / "config.json"]
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    return paths


def test_whatever_changes_the_answers_changes_the_digest(files: list[Path]) -> None:
    seen = {digest_files(files, None, dtype="float32")}
    seen.add(digest_files(files, None, dtype="bfloat16"))
    seen.add(digest_files(files[:1], None, dtype="float32"))
    seen.add(digest_files(files, None))
    files[0].write_bytes(b"other weights")
    seen.add(digest_files(files, None, dtype="float32"))
    assert len(seen) == 5


def test_the_order_and_the_folder_of_the_files_do_not_matter(
    files: list[Path], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = [elsewhere / path.name for path in files]
    for path, target in zip(files, moved, strict=True):
        target.write_bytes(path.read_bytes())
    assert digest_files(files[::-1], None) == digest_files(files, None) == digest_files(moved, None)


def test_a_file_is_read_once(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(file_digests, "hash_file", counted)
    first = digest_files(files, cache)
    assert sorted(read) == ["config.json", "model.safetensors"]
    assert digest_files(files, cache) == first
    assert len(read) == 2
    files[1].write_bytes(b"{}")
    os.utime(files[1], ns=(1, 1))
    assert digest_files(files, cache) != first
    assert read[2:] == ["config.json"]


@pytest.mark.parametrize("damage", [b"", b"[1]", b'{"a": 1}', b"\xff", b"{"])
def test_a_damaged_memo_is_no_memo(files: list[Path], tmp_path: Path, damage: bytes) -> None:
    cache = tmp_path / "cache"
    expected = digest_files(files, cache)
    (cache / "digests.json").write_bytes(damage)
    assert digest_files(files, cache) == expected
    assert len(json.loads((cache / "digests.json").read_bytes())) >= 2


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.gguf: cannot be read"):
        digest_files([tmp_path / "none.gguf"], None)
