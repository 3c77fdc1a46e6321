"""Fetches published data sets and models from a Hugging Face hub, when the caller allows it."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import quote

from patientdx.errors import FetchError, InputError
from patientdx.storage.durable import rename_file

from .download import (
    Expected,
    Sleep,
    download,
    explain_disk_errors,
    fetch_json,
    validate_url,
)

Progress = Callable[[str, int, int], None]
"""Receives a file's path, the number of bytes fetched so far, and its size."""

_SPLITS = ("train", "dev", "test")
_MOST_PAGES = 100
# Top-level files only: folders of a repository hold copies in other formats.
_MODEL_FILE = re.compile(
    r"[\w.-]+\.(?:safetensors|json|jinja|model)|merges\.txt|vocab\.txt|README\.md"
)


@dataclass(frozen=True)
class HubDataset:
    """Repository of a data set; for each file its names in different revisions, newest first."""

    repo: str
    files: tuple[tuple[str, ...], ...]
    licence: str = "CC BY-NC-SA 4.0"


DATASETS: Mapping[str, HubDataset] = MappingProxyType(
    {
        "pmc-patients": HubDataset(
            "zhengyun21/PMC-Patients", (("PMC-Patients.csv", "PMC-Patients.json"),)
        ),
        "recds": HubDataset(
            "zhengyun21/PMC-Patients-ReCDS",
            (
                ("PPR/corpus.jsonl", "PPR/PPR_corpus.jsonl"),
                *((f"queries/{split}_queries.jsonl",) for split in _SPLITS),
                *((f"PPR/qrels_{split}.tsv", f"PPR/PPR_{split}_qrels.tsv") for split in _SPLITS),
            ),
        ),
    }
)


@dataclass(frozen=True)
class FetchedFile:
    """One file, `size` in bytes; `fetched` is false if it was already present."""

    path: str
    size: int
    sha256: str
    fetched: bool


@dataclass(frozen=True)
class FetchReport:
    """The files in `folder` after a fetch; `revision` is their commit."""

    dataset: str
    repo: str
    revision: str
    licence: str
    folder: Path
    files: tuple[FetchedFile, ...]


@dataclass(frozen=True)
class _Source:
    """Where files come from, and who receives the progress."""

    root: str
    listing: Mapping[str, Expected]
    on_progress: Progress
    sleep: Sleep


def fetch_dataset(
    name: str,
    into: Path,
    *,
    hub: str,
    allowed: bool,
    revision: str = "main",
    on_progress: Progress | None = None,
    sleep: Sleep = time.sleep,
) -> FetchReport:
    """Fetches the files of `DATASETS[name]` into a folder, laid out as in their repository.

    Writes a SOURCE.json beside them. Present files with the right checksum are kept, others are
    replaced once the published one is verified. Raises InputError for an unknown name, FetchError
    when this is not allowed or a download is incomplete: calling again resumes it.
    """
    dataset = DATASETS.get(name)
    if dataset is None:
        raise InputError(f"there is no dataset `{name}`", hint=f"choose of: {', '.join(DATASETS)}")
    if not allowed:
        raise FetchError(
            f"`{name}` has to be fetched over the network, which was not allowed",
            hint="add --allow-fetch, or set PATIENTDX_ALLOW_FETCH=1",
        )
    hub = validate_url(hub).rstrip("/")
    commit, listing = _listing(hub, f"datasets/{dataset.repo}", revision, sleep)
    root = f"{hub}/datasets/{dataset.repo}/resolve/{commit}"
    source = _Source(root, listing, on_progress or (lambda _path, _here, _size: None), sleep)
    # All are looked up before the first is fetched: a missing file is reported at once.
    paths = [_find_file(names, listing, dataset.repo) for names in dataset.files]
    files = tuple(_fetch_file(source, path, into) for path in paths)
    report = FetchReport(name, dataset.repo, commit, dataset.licence, into, files)
    _write_source(report, hub)
    return report


def fetch_repository(
    repo: str,
    into: Path,
    *,
    hub: str,
    allowed: bool,
    revision: str = "main",
    on_progress: Progress | None = None,
    sleep: Sleep = time.sleep,
) -> FetchReport:
    """Fetches safetensors, configuration, tokenizer and card of a model, and writes SOURCE.json.

    Pickled weights and code are never fetched. Raises FetchError when this is not allowed, when
    the repository has no safetensors, or when a download is incomplete: calling again resumes it.
    """
    if not allowed:
        raise FetchError(
            f"`{repo}` has to be fetched over the network, which was not allowed",
            hint="add --allow-fetch, or set PATIENTDX_ALLOW_FETCH=1",
        )
    hub = validate_url(hub).rstrip("/")
    commit, listing = _listing(hub, f"models/{repo}", revision, sleep)
    paths = sorted(path for path in listing if _MODEL_FILE.fullmatch(path))
    if not any(path.endswith(".safetensors") for path in paths):
        raise FetchError(f"{repo} has no safetensors in this revision; other weights are not read")
    root = f"{hub}/{repo}/resolve/{commit}"
    source = _Source(root, listing, on_progress or (lambda _path, _here, _size: None), sleep)
    files = tuple(_fetch_file(source, path, into) for path in paths)
    report = FetchReport(repo, repo, commit, "see the model's page", into, files)
    _write_source(report, hub)
    return report


def _fetch_file(source: _Source, path: str, into: Path) -> FetchedFile:
    expected = source.listing[path]
    final = into.joinpath(*PurePosixPath(path).parts)
    with explain_disk_errors(final):
        digest = expected.verify(final)
    if digest is not None:
        source.on_progress(path, expected.size, expected.size)
        return FetchedFile(path, expected.size, digest, fetched=False)
    digest = download(
        f"{source.root}/{quote(path)}",
        expected,
        final,
        on_bytes=lambda received: source.on_progress(path, received, expected.size),
        sleep=source.sleep,
    )
    return FetchedFile(path, expected.size, digest, fetched=True)


def _listing(
    hub: str, repo: str, revision: str, sleep: Sleep
) -> tuple[str, Mapping[str, Expected]]:
    """The commit of a revision, and its files by path.

    `repo` begins with its kind, `datasets/` or `models/`.
    """
    api = f"{hub}/api/{repo}"
    about, _ = fetch_json(f"{api}/revision/{quote(revision, safe='')}", sleep)
    commit = _hex_field(about, "sha", 40)
    entries = _entries(f"{api}/tree/{commit}?recursive=true", sleep)
    return commit, dict(_read_entry(entry) for entry in entries if _field(entry, "type") == "file")


def _entries(url: str, sleep: Sleep) -> Iterator[object]:
    following: str | None = url
    for _ in range(_MOST_PAGES):
        if following is None:
            return
        page, following = fetch_json(following, sleep)
        if not isinstance(page, list):
            raise FetchError("the hub's listing of files cannot be understood")
        yield from page
    if following is not None:
        raise FetchError(f"the hub's listing of files does not end after {_MOST_PAGES} pages")


def _read_entry(entry: object) -> tuple[str, Expected]:
    path, size, large = _field(entry, "path"), _field(entry, "size"), _field(entry, "lfs")
    if not isinstance(path, str) or _escapes_folder(path):
        raise FetchError(f"the hub lists a file under a name that is not safe to write: {path!r}")
    if not isinstance(size, int) or size < 0:
        raise FetchError(f"the hub lists {path} without a usable size")
    # The hub has a sha256 of large files only; the others have the sha1 of their git blob.
    if large is not None:
        return path, Expected(size, sha256=_hex_field(large, "oid", 64))
    return path, Expected(size, git_sha1=_hex_field(entry, "oid", 40))


def _escapes_folder(path: str) -> bool:
    """Whether a path from the server could lead outside the folder, on any system."""
    return (
        bool({"", ".", ".."} & set(path.split("/")))
        or path[1:2] == ":"
        or "\\" in path
        or not path.isprintable()
    )


def _field(entry: object, key: str) -> object:
    return entry.get(key) if isinstance(entry, dict) else None


def _hex_field(entry: object, key: str, length: int) -> str:
    value = _field(entry, key)
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
        raise FetchError(f"the hub's answer has no usable `{key}`")
    return value


def _find_file(names: tuple[str, ...], listing: Mapping[str, Expected], repo: str) -> str:
    for path in names:
        if path in listing:
            return path
    raise FetchError(f"{repo} has no {' or '.join(names)} in this revision")


def _write_source(report: FetchReport, hub: str) -> None:
    about = {
        "dataset": report.dataset,
        "hub": hub,
        "repo": report.repo,
        "revision": report.revision,
        "licence": report.licence,
        "files": [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in report.files],
    }
    part = report.folder / "SOURCE.json.part"
    with explain_disk_errors(part):
        part.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        rename_file(part, report.folder / "SOURCE.json")
