"""Writing files that appear complete or not at all."""

import gzip
import io
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast, overload

from patientdx.errors import InputError, PatientDxError

from .durable import flush_and_sync, sync_folder
from .text_files import Source, is_standard_stream

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_MAX_STEM_BYTES = 200  # of the name in a temporary name; the usual limit of names is 255 bytes


@overload
def atomic_writer(
    path: Source, mode: Literal["w"] = "w", *, private: bool = False
) -> AbstractContextManager[IO[str]]: ...
@overload
def atomic_writer(
    path: Source, mode: Literal["wb"], *, private: bool = False
) -> AbstractContextManager[IO[bytes]]: ...
def atomic_writer(
    path: Source, mode: Literal["w", "wb"] = "w", *, private: bool = False
) -> AbstractContextManager[IO[str]] | AbstractContextManager[IO[bytes]]:
    """A stream that becomes the file `path` when the block ends without an exception.

    Text is UTF-8 with LF. Files named .gz or .zst are compressed, "-" is standard output, links
    are followed, and devices and pipes are written to directly. An existing file keeps its
    permissions; a `private` one is readable and writable by its owner only, from the start.
    Raises PatientDxError if the file cannot be written.
    """
    if is_standard_stream(path):
        return _standard_output(mode)
    return _file_writer(path, mode, private=private)


@contextmanager
def _standard_output(mode: str) -> Iterator[IO[Any]]:
    sys.stdout.flush()
    binary = sys.stdout.buffer
    if mode == "wb":
        yield binary
        binary.flush()
        return
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="\n")
    try:
        yield text
    finally:
        text.detach()  # flushes, and leaves standard output open
    binary.flush()


@contextmanager
def _file_writer(path: Source, mode: str, *, private: bool) -> Iterator[IO[Any]]:
    with _as_write_errors(path):
        target = Path(os.path.realpath(path))
        before = _existing_mode(target)
    # A device or a pipe has no content to replace.
    direct = before is not None and not stat.S_ISREG(before)
    rights = stat.S_IRUSR | stat.S_IWUSR if private else before
    opened = _open_existing(target) if direct else _open_temporary(target, rights)
    try:
        with opened as raw, ExitStack() as layers:
            yield _add_layers(raw, target.suffix, mode, layers)
    except OSError as error:
        if error.filename is not None:  # about another file, raised inside the caller's block
            raise
        raise _write_error(path, error) from error


@contextmanager
def _open_existing(target: Path) -> Iterator[BinaryIO]:
    with _as_write_errors(target):
        stream = target.open("wb")
    with stream:
        yield stream


@contextmanager
def _open_temporary(target: Path, rights: int | None) -> Iterator[BinaryIO]:
    """A temporary binary file that replaces the target when the block ends without an exception.

    `rights` are its permissions; None for those of the umask.
    """
    stem = target.name.encode("utf-8", "surrogateescape")[:_MAX_STEM_BYTES].decode(
        "utf-8", "ignore"
    )
    temporary = target.with_name(f".{stem}.{secrets.token_hex(6)}.tmp")
    with _as_write_errors(target):  # not made by tempfile: a new file gets the umask's permissions
        descriptor = os.open(temporary, _CREATE, 0o666 if rights is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            if rights is not None:
                os.fchmod(raw.fileno(), stat.S_IMODE(rights))
            yield raw
            flush_and_sync(raw)
        with _as_write_errors(target):
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


@contextmanager
def _as_write_errors(path: Source) -> Iterator[None]:
    """Turns errors of the operating system about a path into PatientDxError."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error


def _existing_mode(target: Path) -> int | None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise InputError(f"{target}: this is a folder", hint="name a file inside it")
    return mode


def _add_layers(raw: BinaryIO, suffix: str, mode: str, layers: ExitStack) -> IO[Any]:
    """Adds compression and UTF-8 to a binary file; `layers` closes them in the right order."""
    binary: IO[bytes] = raw
    if suffix == ".gz":  # without time and name, so that equal content gives equal bytes
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
        binary = layers.enter_context(cast("IO[bytes]", packed))
    elif suffix == ".zst":
        import zstandard

        writer = zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
        binary = layers.enter_context(cast("IO[bytes]", writer))
    if mode == "wb":
        return binary
    text = io.TextIOWrapper(cast("BinaryIO", binary), encoding="utf-8", newline="\n")
    layers.callback(text.detach)
    return text


def _write_error(path: Source, error: OSError | ValueError) -> PatientDxError:
    if isinstance(error, FileNotFoundError):
        hint = "make the folder first"
    elif isinstance(error, PermissionError):
        hint = "choose a folder that you may write to"
    else:
        hint = "nothing was changed; free some space or choose another place"
    reason = error.strerror if isinstance(error, OSError) else "bad name"
    return PatientDxError(
        f"{os.fspath(path)}: cannot be written: {reason or type(error).__name__}", hint=hint
    )
