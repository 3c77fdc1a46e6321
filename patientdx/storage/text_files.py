"""Reading text files as a stream: plain, gzip or zstd, or standard input, strictly UTF-8.

Compression is recognised by the first bytes of a file, never by its name. Any problem with a file
raises an InputError with its name and, if known, the line.
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
_LONGEST_LINE = 1 << 29  # bytes; a packed file may unpack to a line that fills the memory
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zX": "an xz file",
    b"PAR1": "a parquet file",
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AS_UTF8 = "save it as UTF-8, for instance: iconv -f {} -t UTF-8 FILE > NEW"
_UNREADABLE = (OSError, EOFError, zlib.error)


class _Bytes(Protocol):
    """A readable binary stream."""

    def read(self, size: int = -1, /) -> bytes: ...


def is_standard_stream(path: Source) -> bool:
    """True for "-", which stands for standard input or output."""
    return os.fspath(path) == "-"


def is_file(path: Path) -> bool:
    """True for a file; false also if the system cannot check, as with a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Source) -> bool:
    """True for a folder; false also if the system cannot check: opening it gives the reason."""
    try:
        return not is_standard_stream(path) and Path(path).is_dir()
    except OSError:
        return False


def source_name(path: Source) -> str:
    """The name of a source in messages."""
    return "stdin" if is_standard_stream(path) else os.fspath(path)


class _Prepended(io.RawIOBase):
    """A stream with its first bytes put back, for streams that cannot seek (pipes)."""

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


class _ZstdReader(io.RawIOBase):
    """A decompressed zstd stream of any number of frames.

    Unlike zstandard's own reader it detects a truncated end.
    """

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


def _decompress(stream: _Bytes) -> io.BufferedReader:
    """The bytes of a stream, decompressed if it is gzip or zstd."""
    head = stream.read(4)
    raw: io.RawIOBase = _Prepended(head, stream)
    if head.startswith(_GZIP):
        unzipped = gzip.GzipFile(fileobj=io.BufferedReader(raw, _CHUNK), mode="rb")
        raw = cast("io.RawIOBase", unzipped)
    elif head == _ZSTD or (head[1:] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5):
        raw = _ZstdReader(raw)
    return io.BufferedReader(raw, _CHUNK)


class TextInput:
    """A text file, open for reading once from the start.

    `line` is the number of the line read last. Raises InputError for a file that is missing,
    unreadable, a folder, in another compression format, truncated, or not UTF-8 text. A UTF-8
    byte order mark is skipped.
    """

    def __init__(self, path: Source) -> None:
        self.name = source_name(path)
        self.line = 0
        self._open_files = ExitStack()
        try:
            self._stream = _decompress(self._open_bytes(path))
            self._check_head(self._stream.peek(4))
        except (*_UNREADABLE, ValueError) as error:
            self._open_files.close()
            raise self._read_error(error) from error
        except InputError:
            self._open_files.close()
            raise

    def _open_bytes(self, path: Source) -> _Bytes:
        if is_standard_stream(path):
            return sys.stdin.buffer
        return self._open_files.enter_context(Path(path).open("rb"))

    def _check_head(self, head: bytes) -> None:
        if head.startswith(codecs.BOM_UTF8):
            self._stream.read(len(codecs.BOM_UTF8))
        if head.startswith(_UTF16):
            raise InputError(
                f"{self.name}:1: this is UTF-16 text, not UTF-8", hint=_AS_UTF8.format("UTF-16")
            )
        for magic, kind in _OTHER_FORMATS.items():
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
        """The first character that is not white space; "" if there is none."""
        try:
            while (head := self._stream.peek(1)).isspace():
                self.line += self._stream.read(len(head)).count(b"\n")
        except _UNREADABLE as error:
            raise self._read_error(error) from error
        return head.lstrip()[:1].decode("ascii", "replace")

    def head(self) -> str:
        """The start of the text, as far as it is read ahead (usually 256 kB); consumes nothing."""
        try:
            return self._stream.peek(_CHUNK).decode("utf-8", "replace")
        except _UNREADABLE as error:
            raise self._read_error(error) from error

    def first_line(self) -> str:
        """The first line that is not white space, as far as it is read ahead; consumes nothing."""
        return self.head().lstrip().partition("\n")[0]

    def lines(self) -> Iterator[str]:
        """The lines, with their line endings. Raises InputError for one without an end."""
        try:
            while data := self._stream.readline(_LONGEST_LINE):
                self.line += 1
                if len(data) == _LONGEST_LINE and not data.endswith(b"\n"):
                    raise self._long_line_error()
                yield self._decode_line(data)
        except _UNREADABLE as error:
            raise self._read_error(error) from error

    def chunks(self) -> Iterator[str]:
        """The text in pieces of bounded size, for formats that are not line by line."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.line += 1
        for data in self._blocks():
            yield self._decode_chunk(data, decoder)
        self._decode_chunk(b"", decoder, final=True)

    def _blocks(self) -> Iterator[bytes]:
        try:
            while data := self._stream.read(_CHUNK):
                yield data
        except _UNREADABLE as error:
            raise self._read_error(error) from error

    def _decode_chunk(
        self, data: bytes, decoder: codecs.IncrementalDecoder, *, final: bool = False
    ) -> str:
        try:
            text = decoder.decode(data, final)
        except UnicodeDecodeError as error:
            self.line += error.object.count(b"\n", 0, error.start)
            raise self._encoding_error() from error
        if b"\0" in data:
            self.line += data.count(b"\n", 0, data.index(b"\0"))
            raise self._binary_error()
        self.line += data.count(b"\n")
        return text

    def _decode_line(self, data: bytes) -> str:
        if b"\0" in data:
            raise self._binary_error()
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._encoding_error() from error

    def _binary_error(self) -> InputError:
        return InputError.at(
            self.name, self.line, "this is binary data, not text", hint="is it the right file?"
        )

    def _long_line_error(self) -> InputError:
        problem = f"this line has more than {_LONGEST_LINE:,} bytes"
        return InputError.at(self.name, self.line, problem, hint="write one row or object a line")

    def _encoding_error(self) -> InputError:
        hint = _AS_UTF8.format("WINDOWS-1252")
        return InputError.at(self.name, self.line, "this is not UTF-8 text", hint=hint)

    def _read_error(self, error: Exception) -> InputError:
        """The InputError for an error of the operating system or a decompressor."""
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
    """The lines of a text file, numbered from 1, without their line endings (LF or CR LF).

    The file may be plain, gzip or zstd; "-" is standard input. Raises InputError, see TextInput.
    """
    with TextInput(path) as source:
        for line in source.lines():
            yield source.line, line.rstrip("\r\n")


def non_blank_lines(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Those numbered lines that are not just white space."""
    return ((number, line) for number, line in lines if line and not line.isspace())
