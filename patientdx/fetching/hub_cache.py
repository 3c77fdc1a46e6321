"""Finds models in the cache of huggingface_hub, which other programs fill; nothing is fetched.

A repository lies in `models--OWNER--NAME`. There `refs/BRANCH` is a file that holds a commit, and
`snapshots/COMMIT` is a folder of links to the files of that commit. A snapshot may lack files,
where only some were wanted or where fetching was interrupted.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from patientdx.errors import ModelError

_REPOSITORY = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_SNAPSHOT = re.compile(r"models--(?P<name>.+)/snapshots/(?P<commit>[^/]+)")
_MAIN = "main"
_CONFIGS = ("config.json", "adapter_config.json")
_INDEX = "model.safetensors.index.json"
_WEIGHTS = ("*.safetensors", "*.bin")


def hub_cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Folder of the cache, by the variables that huggingface_hub reads."""
    xdg = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    hf_home = environ.get("HF_HOME") or f"{xdg}/huggingface"
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    named = next((environ[name] for name in names if environ.get(name)), None)
    folder = named or f"{hf_home}/hub"
    return Path(re.sub(r"\$\{?(\w+)\}?", lambda m: environ.get(m[1], m[0]), folder)).expanduser()


def find_snapshot(spec: str, cache: Path) -> Path | None:
    """The snapshot that `OWNER/NAME` or `OWNER/NAME@REVISION` names; None if there is none.

    Without a revision it is that of `main`. Raises ModelError for a repository that is here in
    other revisions only, and for a snapshot that lacks files.
    """
    name, _, revision = spec.partition("@")
    if not _REPOSITORY.fullmatch(name) or ".." in name:
        return None
    repository = cache / ("models--" + name.replace("/", "--"))
    if not (repository / "snapshots").is_dir():
        return None
    commit = _find_commit(repository, revision or _MAIN)
    if commit is None:
        raise _revision_missing(name, revision or _MAIN, repository)
    snapshot = repository / "snapshots" / commit
    missing = _find_missing_file(snapshot)
    if missing:
        raise ModelError(
            f"`{spec}` is not whole in {cache}: {missing}",
            hint=f"fetch it again: patientdx model get {spec} --allow-fetch",
        )
    return snapshot


def snapshot_source(folder: Path) -> tuple[str, str] | None:
    """The repository and the commit of a folder that is a snapshot; None for any other folder."""
    for path in (folder.absolute(), folder.resolve()):
        match = _SNAPSHOT.fullmatch("/".join(path.parts[-3:]))
        if match:
            return match["name"].replace("--", "/", 1), match["commit"]
    return None


def _find_commit(repository: Path, revision: str) -> str | None:
    """The commit that a branch, tag or commit stands for, if its snapshot is here."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        return None
    commit = revision
    with suppress(OSError, UnicodeDecodeError):
        commit = (repository / "refs" / revision).read_text(encoding="utf-8").strip()
    is_here = bool(commit) and (repository / "snapshots" / commit).is_dir()
    return commit if is_here else None


def _revision_missing(name: str, revision: str, repository: Path) -> ModelError:
    refs = repository / "refs"
    branches = sorted(str(p.relative_to(refs)) for p in refs.rglob("*") if p.is_file())
    here = [branch for branch in branches if _find_commit(repository, branch)]
    here = here or sorted(path.name for path in (repository / "snapshots").iterdir())
    listing = ", ".join(here) or "none"
    return ModelError(
        f"`{name}` is here without the revision `{revision}`; in {repository} there is: {listing}",
        hint=f"name that revision: {name}@{here[0]}"
        if here
        else f"patientdx model get {name}@{revision} --allow-fetch",
    )


def _find_missing_file(snapshot: Path) -> str | None:
    """What a snapshot lacks to be a model or an adapter, in words; None if it is whole."""
    for path in sorted(snapshot.iterdir()):
        if path.is_symlink() and not path.exists():
            return f"{path.name} is a link to a file that is not there"
    if any(snapshot.glob("*.gguf")):
        return None
    if not any((snapshot / name).is_file() for name in _CONFIGS):
        return "there is no config.json"
    if (snapshot / "model.safetensors").exists() or not (snapshot / _INDEX).exists():
        has_weights = any(True for pattern in _WEIGHTS for _ in snapshot.glob(pattern))
        return None if has_weights else "there is no file of weights"
    try:
        shards = set(
            json.loads((snapshot / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"{_INDEX} cannot be read"
    missing = sorted(str(shard) for shard in shards if not (snapshot / str(shard)).is_file())
    return f"{missing[0]} is missing, one of {len(shards)} files of weights" if missing else None
