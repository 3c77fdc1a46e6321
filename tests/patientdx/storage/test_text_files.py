"""Reading text files: every packing, every fault."""

import gzip
import io
import os
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import InputError
from patientdx.storage.text_files import TextInput, open_lines

TEXT = "first\nzweite Zeile äöü\n\nlast\u2028one"
LINES = [(1, "first"), (2, "zweite Zeile äöü"), (3, ""), (4, "last\u2028one")]


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip members": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    "zstd": zst,
    "zstd frames": lambda data: zst(data[:7]) + zst(data[7:]),
    "zstd skippable frame": lambda data: b"\x50\x2a\x4d\x18\x02\x00\x00\x00zz" + zst(data),
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "packed byte order mark": lambda data: gzip.compress(b"\xef\xbb\xbf" + data),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_lines_of_every_packing_whatever_the_name(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(PACKINGS[packing](TEXT.encode()))
    assert list(open_lines(path)) == LINES
    assert list(open_lines(str(path))) == LINES


@pytest.mark.parametrize("packing", PACKINGS)
def test_chunks_hold_the_same_text(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "notes"
    path.write_bytes(PACKINGS[packing](TEXT.encode()))
    with TextInput(path) as source:
        assert source.first_character() == "f"
        assert "".join(source.chunks()) == TEXT


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("count", [3, 4, 5, 7, 300_000])
def test_leading_white_space_hides_nothing(tmp_path: Path, packing: str, count: int) -> None:
    path = tmp_path / "notes"
    path.write_bytes(PACKINGS[packing](b"\n" * count + b"{x\n"))
    with TextInput(path) as source:
        assert source.first_character() == "{"
        assert [(source.line, line) for line in source.lines() if line != "\n"][-1:] == [
            (count + 1, "{x\n")
        ]


def test_chunks_do_not_split_characters(tmp_path: Path) -> None:
    text = "x" + "ä" * 400_000
    (tmp_path / "long").write_text(text, encoding="utf-8")
    with TextInput(tmp_path / "long") as source:
        parts = list(source.chunks())
    assert len(parts) > 1
    assert "".join(parts) == text


def test_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"a\r\nb\r\n")
    assert list(open_lines(path)) == [(1, "a"), (2, "b")]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert list(open_lines(tmp_path / "empty")) == []


def test_standard_input_may_be_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (TEXT.encode(), gzip.compress(TEXT.encode()), zst(TEXT.encode())):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert list(open_lines("-")) == LINES


def test_a_pipe_that_cannot_seek(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, gzip.compress(TEXT.encode()))
    os.close(write_end)
    assert list(open_lines(f"/dev/fd/{read_end}")) == LINES
    os.close(read_end)


FAULTS = [
    (b"ok\nb\xe4d\n", ":2: this is not UTF-8", "iconv"),
    (b"ok\nfine\nnul\0nul\n", ":3: this is binary data", "right file"),
    ("ok".encode("utf-16"), ":1: this is UTF-16", "iconv"),
    (b"\xfe\xff\x00o", ":1: this is UTF-16", "iconv"),
    (gzip.compress(bytes(range(99)), mtime=0)[:50], "damaged or cut off", "gzip -t"),
    (gzip.compress(b"text", mtime=0) + b"trailing", "damaged or cut off", "gzip -t"),
    (zst(b"text\n" * 99)[:-2], "damaged or cut off", "zstd -t"),
    (zst(b"text\n" * 99) + b"trailing", "damaged or cut off", "zstd -t"),
    (b"PK\x03\x04....", "a zip archive", "unpack"),
    (b"BZh9", "a bzip2 file", "unpack"),
    (b"\xfd7zXZ\0", "an xz file", "unpack"),
    (b"PAR1", "a parquet file", "unpack"),
]


@pytest.mark.parametrize(("data", "problem", "hint"), FAULTS)
@pytest.mark.parametrize("by", ["lines", "chunks"])
def test_faults_name_file_and_line(
    tmp_path: Path, data: bytes, problem: str, hint: str, by: str
) -> None:
    path = tmp_path / "faulty"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught, TextInput(path) as source:
        list(getattr(source, by)())
    assert caught.value.message.startswith(str(path))
    assert problem in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_cut_file_reports_how_far_it_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    lines = "".join(f"{os.urandom(20).hex()}\n" for _ in range(40_000))
    path.write_bytes(gzip.compress(lines.encode())[:-500_000])
    with pytest.raises(InputError, match=r"cut\.gz:\d{4,}: the compressed file"):
        list(open_lines(path))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "no such file"),
        ("", "this is a folder"),
        ("a\0b", "cannot be read"),
        ("n" * 999, "cannot be read"),
    ],
)
def test_paths_that_are_no_files(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        list(open_lines(f"{tmp_path}/{name}"))
    assert caught.value.hint


def test_a_file_without_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="may not be read"):
        list(open_lines(tmp_path / "secret"))


def test_an_abandoned_reader_closes_its_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\nb\n")
    lines = open_lines(tmp_path / "f")
    assert isinstance(lines, Generator)
    assert next(lines) == (1, "a")
    lines.close()  # a file left open would be a ResourceWarning, which is an error here


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(max_size=300),
    pack=st.sampled_from([gzip.compress, zst]),
    position=st.integers(0, 10_000),
    flip=st.integers(0, 255),
)
def test_damage_anywhere_gives_the_text_or_a_sentence(
    tmp_path: Path, text: str, pack: object, position: int, flip: int
) -> None:
    data = bytearray(pack(text.encode()))  # type: ignore[operator]
    path = tmp_path / "damaged"
    cut = position % len(data)
    for broken in (data[:cut], data[:cut] + bytes([data[cut] ^ flip]) + data[cut + 1 :]):
        path.write_bytes(broken)
        try:
            fine = all(isinstance(line, str) for _, line in open_lines(path))
        except InputError as error:
            fine = error.message.startswith(str(path))
        assert fine


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(st.characters(blacklist_characters="\n\r\0", codec="utf-8"))), st.data())
def test_truncated_compression_never_passes_for_whole(
    tmp_path: Path, lines: list[str], data: st.DataObject
) -> None:
    pack = data.draw(st.sampled_from([gzip.compress, zst]))
    packed = pack("".join(f"{line}\n" for line in lines).encode())
    path = tmp_path / "cut"
    path.write_bytes(packed[: data.draw(st.integers(4, len(packed) - 1))])
    with pytest.raises(InputError):
        list(open_lines(path))
