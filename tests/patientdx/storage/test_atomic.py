"""Files that appear whole or not at all."""

import errno
import gzip
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from patientdx.errors import InputError, PatientDxError
from patientdx.formats import atomic_writer
from patientdx.storage.text_files import open_lines


def interrupt_after(write: Callable[[str], object], text: str) -> None:
    write(text)
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["run.txt", "run.txt.gz", "run.txt.zst"])
def test_text_arrives_in_every_packing(tmp_path: Path, name: str) -> None:
    with atomic_writer(tmp_path / name) as stream:
        stream.write("ä\nb\n")
        assert name not in names(tmp_path)
    assert names(tmp_path) == [name]
    assert list(open_lines(tmp_path / name)) == [(1, "ä"), (2, "b")]


@pytest.mark.parametrize("name", ["data", "data.gz", "data.zst"])
def test_bytes_arrive(tmp_path: Path, name: str) -> None:
    with atomic_writer(tmp_path / name, "wb") as stream:
        stream.write(b"x\ny\n")
    assert list(open_lines(tmp_path / name)) == [(1, "x"), (2, "y")]


def test_the_same_content_gives_the_same_gzip(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with atomic_writer(tmp_path / name) as stream:
            stream.write("text")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"text"


@pytest.mark.parametrize("name", ["kept", "kept.gz"])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")
    writing = atomic_writer(tmp_path / name)
    with pytest.raises(KeyboardInterrupt), writing as stream:
        interrupt_after(stream.write, "new")
    assert (tmp_path / name).read_text() == "old"
    assert names(tmp_path) == [name]


def test_permissions_of_new_and_of_existing_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_writer(tmp_path / "new") as stream:
            stream.write("x")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o604)
        with atomic_writer(tmp_path / "old") as stream:
            stream.write("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_writer(tmp_path / "link") as stream:
        stream.write("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "x"


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    with atomic_writer("/dev/null") as stream:
        stream.write("x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=buffer, flush=lambda: None))
    with atomic_writer("-") as stream:
        stream.write("ä\n")
    with atomic_writer("-", "wb") as binary:
        binary.write(b"raw")
    assert buffer.getvalue() == "ä\nraw".encode()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("no/such/f", PatientDxError),
        ("", InputError),
        ("a\0b", PatientDxError),
        ("n" * 999, PatientDxError),
    ],
)
def test_places_that_cannot_be_written(
    tmp_path: Path, name: str, kind: type[PatientDxError]
) -> None:
    with pytest.raises(kind) as caught, atomic_writer(f"{tmp_path}/{name}"):
        pytest.fail("the block must not run")
    assert caught.value.hint
    assert names(tmp_path) == []


@pytest.mark.parametrize("moment", ["fsync", "open"])
def test_a_full_disk_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, moment, full)
    writing = atomic_writer(tmp_path / "f")
    with pytest.raises(PatientDxError, match="No space left") as caught, writing as stream:
        stream.write("x")
    assert "free some space" in (caught.value.hint or "")
    assert names(tmp_path) == []


def test_a_disk_that_fills_while_writing() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(PatientDxError, match="No space left"), atomic_writer("/dev/full") as stream:
        stream.write("x")


def test_other_files_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_writer(tmp_path / "f"):
        (tmp_path / "missing").read_text()
    assert names(tmp_path) == []
