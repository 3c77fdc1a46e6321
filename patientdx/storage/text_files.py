"""Text files read as a stream: plain, gzip or zstd, or standard input, strictly UTF-8.

Compression is recognised by the first bytes of a file, never by its name. Whatever is wrong with
a file ends in one InputError that names it, and the line where one is known.
"""

import codecs
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast

from patientdx.errors import InputError

Source = str | os.PathLike[str]
"""A path, or "-" for standard input."""

_CHUNK = 1 << 18  # bytes
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f
_OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zX": "an xz file",
    b"PAR1": "a parquet file",
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AS_UTF8 = "save it as UTF-8, for instance: iconv -f {} -t UTF-8 FILE > NEW"
_UNREADABLE = (OSError, EOFError, zlib.error)


class _Bytes(Protocol):
    """Anything that gives bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


def is_standard(path: Source) -> bool:
    """True for "-", which stands for standard input or output."""
    return os.fspath(path) == "-"


def is_file(path: Path) -> bool:
    """True for a file; false also where the system cannot look, as for too long a name."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Source) -> bool:
    """True for a folder. A path that cannot be looked at is none: opening it tells why."""
    try:
        return not is_standard(path) and Path(path).is_dir()
    except OSError:
        return False


def shown(path: Source) -> str:
    """What messages call a source."""
    return "stdin" if is_standard(path) else os.fspath(path)


class _Pushed(io.RawIOBase):
    """First bytes put back in front of a stream that may not be able to seek (a pipe)."""

    def __init__(self, head: bytes, rest: _Bytes) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, target: object, /) -> int:
        view = cast("memoryview", target)
        head, self._head = self._head[: len(view)], self._head[len(view) :]
        data = head + self._rest.read(len(view) - len(head))
        view[: len(data)] = data
        return len(data)


class _Unzstd(io.RawIOBase):
    """A zstd stream of any number of frames; unlike zstandard's reader it notices a cut end."""

    def __init__(self, packed: _Bytes) -> None:
        import zstandard

        self._packed = packed
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._error = zstandard.ZstdError
        self._frame = self._new()
        self._at_start = True
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: object, /) -> int:
        view = cast("memoryview", target)
        while not self._unpacked:
            chunk = self._frame.unused_data if self._frame.eof else b""
            chunk = chunk or self._packed.read(_CHUNK)
            if not chunk:
                return self._end()
            self._unpacked = memoryview(self._unpack(chunk))
        size = min(len(view), len(self._unpacked))
        view[:size] = self._unpacked[:size]
        self._unpacked = self._unpacked[size:]
        return size

    def _unpack(self, chunk: bytes) -> bytes:
        if self._frame.eof:
            self._frame = self._new()
        self._at_start = False
        try:
            return self._frame.decompress(chunk)
        except self._error as error:
            raise EOFError(str(error)) from error

    def _end(self) -> int:
        if not (self._at_start or self._frame.eof):
            raise EOFError("the last zstd frame is cut off")
        return 0


def _unpacked(stream: _Bytes) -> io.BufferedReader:
    """The text's bytes, whatever they are packed with."""
    head = stream.read(4)
    raw: io.RawIOBase = _Pushed(head, stream)
    if head.startswith(_GZIP):
        unzipped = gzip.GzipFile(fileobj=io.BufferedReader(raw, _CHUNK), mode="rb")
        raw = cast("io.RawIOBase", unzipped)
    elif head == _ZSTD or (head[1:] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5):
        raw = _Unzstd(raw)
    return io.BufferedReader(raw, _CHUNK)


class TextInput:
    """A text file that is open for reading, once, from its beginning.

    `line` is the number of the line read last. Raises InputError for a file that is missing,
    unreadable, a folder, packed wrongly, cut off, or no UTF-8 text; a UTF-8 byte order mark is
    left out.
    """

    def __init__(self, path: Source) -> None:
        self.name = shown(path)
        self.line = 0
        self._open_files = ExitStack()
        try:
            self._stream = _unpacked(self._opened(path))
            self._check_head(self._stream.peek(4))
        except (*_UNREADABLE, ValueError) as error:
            self._open_files.close()
            raise self._explained(error) from error
        except InputError:
            self._open_files.close()
            raise

    def _opened(self, path: Source) -> _Bytes:
        if is_standard(path):
            return sys.stdin.buffer
        return self._open_files.enter_context(Path(path).open("rb"))

    def _check_head(self, head: bytes) -> None:
        if head.startswith(codecs.BOM_UTF8):
            self._stream.read(len(codecs.BOM_UTF8))
        if head.startswith(_UTF16):
            raise InputError(
                f"{self.name}:1: this is UTF-16 text, not UTF-8", hint=_AS_UTF8.format("UTF-16")
            )
        for magic, kind in _OTHERS.items():
            if head.startswith(magic):
                raise InputError(
                    f"{self.name}: this is {kind}, not text",
                    hint="unpack or convert it first; plain text, .gz and .zst are read",
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open_files.close()

    def first_character(self) -> str:
        """The first character that is no white space, "" when there is none."""
        try:
            while (head := self._stream.peek(1)).isspace():
                self.line += self._stream.read(len(head)).count(b"\n")
        except _UNREADABLE as error:
            raise self._explained(error) from error
        return head.lstrip()[:1].decode("ascii", "replace")

    def lines(self) -> Iterator[str]:
        """The lines, with their line ends."""
        try:
            for data in self._stream:
                self.line += 1
                yield self._decoded(data)
        except _UNREADABLE as error:
            raise self._explained(error) from error

    def chunks(self) -> Iterator[str]:
        """The text in pieces of bounded size, for formats that do not care for lines."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.line += 1
        for data in self._blocks():
            yield self._checked(data, decoder)
        self._checked(b"", decoder, final=True)

    def _blocks(self) -> Iterator[bytes]:
        try:
            while data := self._stream.read(_CHUNK):
                yield data
        except _UNREADABLE as error:
            raise self._explained(error) from error

    def _checked(
        self, data: bytes, decoder: codecs.IncrementalDecoder, *, final: bool = False
    ) -> str:
        try:
            text = decoder.decode(data, final)
        except UnicodeDecodeError as error:
            self.line += error.object.count(b"\n", 0, error.start)
            raise self._no_utf8() from error
        if b"\0" in data:
            self.line += data.count(b"\n", 0, data.index(b"\0"))
            raise self._binary()
        self.line += data.count(b"\n")
        return text

    def _decoded(self, data: bytes) -> str:
        if b"\0" in data:
            raise self._binary()
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._no_utf8() from error

    def _binary(self) -> InputError:
        return InputError.at(
            self.name, self.line, "this is binary data, not text", hint="is it the right file?"
        )

    def _no_utf8(self) -> InputError:
        hint = _AS_UTF8.format("LATIN1")
        return InputError.at(self.name, self.line, "this is not UTF-8 text", hint=hint)

    def _explained(self, error: Exception) -> InputError:
        """One sentence for what the operating system or a decompressor says."""
        if isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile)):
            where = f"{self.name}:{self.line}" if self.line else self.name
            return InputError(
                f"{where}: the compressed file is damaged or cut off",
                hint="fetch or pack it again; `gzip -t` and `zstd -t` test a file",
            )
        if isinstance(error, FileNotFoundError):
            return InputError(f"{self.name}: there is no such file", hint="check the path")
        if isinstance(error, IsADirectoryError):
            return InputError(f"{self.name}: this is a folder", hint="name a file inside it")
        if isinstance(error, PermissionError):
            return InputError(f"{self.name}: may not be read", hint="check its permissions")
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "bad name"
        return InputError(f"{self.name}: cannot be read: {reason}", hint="check the path")


def open_lines(path: Source) -> Iterator[tuple[int, str]]:
    """The lines of a text file, numbered from 1, without their line ends (LF, or CR LF).

    The file may be plain, gzip or zstd; "-" is standard input. Raises InputError, see TextInput.
    """
    with TextInput(path) as source:
        for line in source.lines():
            yield source.line, line.rstrip("\r\n")


def filled(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The numbered lines that hold more than white space."""
    return ((number, line) for number, line in lines if line and not line.isspace())
