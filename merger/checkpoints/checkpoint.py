"""A model on disk: its configuration, and its tensors, which are mapped rather than read."""

import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from patientdx.errors import InputError
from patientdx.storage.file_digests import digest_files

from .headers import TensorInfo, read_header
from .values import Bytes, Values

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
_INDEX_END = ".index.json"
_EXPLICIT = "transformers_weights"  # of config.json: the name of the file to load
_SHARDS = "model-*-of-*.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """A folder with `config.json` and weights in one safetensors file or in shards.

    `tensors` are in the order of files and of data within them. `unread` are the names of an index
    and of weights in the folder that transformers would not load either.
    """

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    files: tuple[Path, ...]
    unread: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path | str) -> "Checkpoint":
        """Reads the configuration and the headers, but no weights.

        A folder with several sets of weights is read as transformers reads it: the file that
        config.json names, else the single file, else the shards of the index. Raises InputError
        for a folder without such a model, a missing shard, a damaged or cut file, and for pickled
        weights, which could run code and are not loaded.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"`{folder}`: no such folder", hint="name a folder that holds a model")
        config = _read_json(folder / CONFIG)
        # The name of the file is of no use in the config.json of a merge.
        start = _first_file(folder, config.pop(_EXPLICIT, None))
        files, listed = _weight_files(start)
        tensors: dict[str, TensorInfo] = {}
        for file in files:
            for info in read_header(file):
                # Like transformers, a tensor that the index leaves out is read all the same.
                if listed is None or listed.get(info.name, file.name) == file.name:
                    tensors[info.name] = info
        missing = set(listed or {}) - set(tensors)
        if missing:
            raise InputError(
                f"{start}: tensor `{min(missing)}` is not in the shard it names",
                hint="copy or fetch the model again",
            )
        return cls(folder, config, tensors, files, _unread_files(folder, {start, *files}))

    def values(self, name: str) -> Values:
        """The numbers of a tensor, which are read when they are used. Raises InputError."""
        info = self.tensors[name]
        return Values(self.mapped[info.file][1][info.offset :][: info.nbytes], info.dtype)

    def will_need(self, name: str) -> None:
        """Asks the operating system to start reading a tensor."""
        self._advise(name, "MADV_WILLNEED")

    def done_with(self, name: str) -> None:
        """Releases the mapped pages of a tensor; the page cache may keep them."""
        self._advise(name, "MADV_DONTNEED")

    def digest(self, cache: Path | None = None) -> str:
        """The sha256 of configuration and weights, as hex digits.

        `cache` is a folder that keeps the digests of files. Raises ModelError.
        """
        return digest_files((self.folder / CONFIG, *self.files), cache)

    @cached_property
    def fingerprint(self) -> str:
        """A quick digest of names, sizes, times of change and headers, for this machine only.

        Raises InputError for a file that no longer exists.
        """
        facts: list[object] = []
        for file in self.files:
            status = _stat(file)
            facts.append((str(file.resolve()), status.st_size, status.st_mtime_ns))
        facts += [
            (info.name, info.dtype, info.shape, info.offset) for info in self.tensors.values()
        ]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @cached_property
    def mapped(self) -> Mapping[Path, tuple[mmap.mmap, Bytes]]:
        """The memory maps of the files, and their bytes."""
        return {file: _map_file(file) for file in self.files}

    def _advise(self, name: str, advice: str) -> None:
        info = self.tensors[name]
        if not info.nbytes or not hasattr(mmap, advice):
            return
        start = info.offset - info.offset % mmap.PAGESIZE
        size = info.offset + info.nbytes - start
        self.mapped[info.file][0].madvise(getattr(mmap, advice), start, size)


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{file}: cannot be read: {reason}") from None


def _map_file(file: Path) -> tuple[mmap.mmap, Bytes]:
    try:
        with file.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    return mapped, np.frombuffer(mapped, np.uint8)


def _first_file(folder: Path, explicit: Any) -> Path:
    """The file with weights or the index that transformers loads."""
    if explicit is not None:
        if not isinstance(explicit, str) or Path(explicit).name != explicit:
            raise InputError(
                f"{folder / CONFIG}: {_EXPLICIT} is {explicit!r}, which is not the name of a file "
                "beside it"
            )
        if not explicit.endswith((".safetensors", f".safetensors{_INDEX_END}")):
            raise _without_weights(folder)
        return folder / explicit
    for name in (SINGLE, INDEX):
        if (folder / name).exists():
            return folder / name
    raise _without_weights(folder)


def _weight_files(start: Path) -> tuple[tuple[Path, ...], dict[str, str] | None]:
    """The files with weights, and for shards the name of the file by tensor."""
    if not start.name.endswith(_INDEX_END):
        return (start,), None
    listed = _weight_map(start)
    files = tuple(start.parent / name for name in sorted(set(listed.values())))
    for file in files:
        if not file.exists():
            raise InputError(
                f"{file}: this shard is missing ({start.name} names it)",
                hint="copy or fetch the model again",
            )
    return files, listed


def _unread_files(folder: Path, read: set[Path]) -> tuple[str, ...]:
    """Names of an index and of weights like those `read` that are not among them."""
    beside = [folder / INDEX, folder / SINGLE, *sorted(folder.glob(_SHARDS))]
    others = [path for path in beside if path not in read and path.exists()]
    if others == [folder / INDEX] and {folder / SINGLE} == read:
        # An index of the single file alone is no second set of weights.
        with suppress(InputError):
            if set(_weight_map(folder / INDEX).values()) == {SINGLE}:
                return ()
    return tuple(path.name for path in others)


def _weight_map(path: Path) -> dict[str, str]:
    listed = _read_json(path).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise InputError(f"{path}: it has no `weight_map`", hint="copy or fetch the model again")
    for name in listed.values():
        # A name with a folder in it could lead anywhere.
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"{path}: {name!r} is not the name of a shard beside it")
    return listed


def _without_weights(folder: Path) -> InputError:
    if any(any(folder.glob(pattern)) for pattern in _PICKLES):
        return InputError(
            f"{folder}: its weights are pickles, which can run code when they are loaded",
            hint="convert them to safetensors where you trust them: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)",
        )
    return InputError(f"{folder}: there is no {SINGLE} and no {INDEX} in it")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}", hint="is this a model?") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: this is not JSON", hint="copy or fetch it again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: this is not a JSON object", hint="copy or fetch it again")
    return content
