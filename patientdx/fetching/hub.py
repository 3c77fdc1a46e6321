"""Published data from a Hugging Face hub: which files there are, and all of them brought here.

Nothing is asked of the network before the caller says that it is allowed.
"""

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

from .download import Expected, Sleep, answer, checked, download, on_disk

Progress = Callable[[str, int, int], None]
"""Told a file's path, how many of its bytes are here and how many it will have."""

_SPLITS = ("train", "dev", "test")
_MOST_PAGES = 100
# At the top of the repository: folders there hold copies in other formats.
_MODEL_FILE = re.compile(
    r"[\w.-]+\.(?:safetensors|json|jinja|model)|merges\.txt|vocab\.txt|README\.md"
)


@dataclass(frozen=True)
class HubDataset:
    """A dataset's repository, and for each file wanted its spellings, the newest first."""

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
    """One file of a dataset, `size` in bytes; `fetched` is false where it was there already."""

    path: str
    size: int
    sha256: str
    fetched: bool


@dataclass(frozen=True)
class FetchReport:
    """What lies in `folder` after a fetch; `revision` is the commit that the files belong to."""

    dataset: str
    repo: str
    revision: str
    licence: str
    folder: Path
    files: tuple[FetchedFile, ...]


@dataclass(frozen=True)
class _Source:
    """Where files come from and who is told of them."""

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
    """The files of `DATASETS[name]`, laid under `into` as in their repository, with a SOURCE.json.

    A file that is there with the right checksum is kept; any other of its name is replaced once
    the published one has been checked. Raises InputError for an unknown name, and FetchError when
    this is not allowed or a file does not arrive whole: call again, and it goes on.
    """
    dataset = DATASETS.get(name)
    if dataset is None:
        raise InputError(f"there is no dataset `{name}`", hint=f"choose of: {', '.join(DATASETS)}")
    if not allowed:
        raise FetchError(
            f"`{name}` has to be fetched over the network, which was not allowed",
            hint="add --allow-fetch, or set PATIENTDX_ALLOW_FETCH=1",
        )
    hub = checked(hub).rstrip("/")
    commit, listing = _listing(hub, f"datasets/{dataset.repo}", revision, sleep)
    root = f"{hub}/datasets/{dataset.repo}/resolve/{commit}"
    source = _Source(root, listing, on_progress or (lambda _path, _here, _size: None), sleep)
    # All are chosen before the first is fetched: a missing one is told at once.
    paths = [_chosen(spellings, listing, dataset.repo) for spellings in dataset.files]
    files = tuple(_bring(source, path, into) for path in paths)
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
    """A model's safetensors, configuration, tokenizer and card, laid under `into` with SOURCE.json.

    Pickled weights and code are never fetched. Raises FetchError when this is not allowed, when
    the repository has no safetensors, or when a file does not arrive whole: call again, and it
    goes on.
    """
    if not allowed:
        raise FetchError(
            f"`{repo}` has to be fetched over the network, which was not allowed",
            hint="add --allow-fetch, or set PATIENTDX_ALLOW_FETCH=1",
        )
    hub = checked(hub).rstrip("/")
    commit, listing = _listing(hub, f"models/{repo}", revision, sleep)
    paths = sorted(path for path in listing if _MODEL_FILE.fullmatch(path))
    if not any(path.endswith(".safetensors") for path in paths):
        raise FetchError(f"{repo} has no safetensors in this revision; other weights are not read")
    root = f"{hub}/{repo}/resolve/{commit}"
    source = _Source(root, listing, on_progress or (lambda _path, _here, _size: None), sleep)
    files = tuple(_bring(source, path, into) for path in paths)
    report = FetchReport(repo, repo, commit, "see the model's page", into, files)
    _write_source(report, hub)
    return report


def _bring(source: _Source, path: str, into: Path) -> FetchedFile:
    expected = source.listing[path]
    final = into.joinpath(*PurePosixPath(path).parts)
    with on_disk(final):
        digest = expected.digest_of(final)
    if digest is not None:
        source.on_progress(path, expected.size, expected.size)
        return FetchedFile(path, expected.size, digest, fetched=False)
    digest = download(
        f"{source.root}/{quote(path)}",
        expected,
        final,
        on_bytes=lambda here: source.on_progress(path, here, expected.size),
        sleep=source.sleep,
    )
    return FetchedFile(path, expected.size, digest, fetched=True)


def _listing(
    hub: str, repo: str, revision: str, sleep: Sleep
) -> tuple[str, Mapping[str, Expected]]:
    """The commit that a revision stands for, and what its files must be, by path.

    `repo` begins with its kind, `datasets/` or `models/`.
    """
    api = f"{hub}/api/{repo}"
    about, _ = answer(f"{api}/revision/{quote(revision, safe='')}", sleep)
    commit = _hex(about, "sha", 40)
    entries = _entries(f"{api}/tree/{commit}?recursive=true", sleep)
    return commit, dict(_listed(entry) for entry in entries if _field(entry, "type") == "file")


def _entries(url: str, sleep: Sleep) -> Iterator[object]:
    following: str | None = url
    for _ in range(_MOST_PAGES):
        if following is None:
            return
        page, following = answer(following, sleep)
        if not isinstance(page, list):
            raise FetchError("the hub's listing of files cannot be understood")
        yield from page
    if following is not None:
        raise FetchError(f"the hub's listing of files does not end after {_MOST_PAGES} pages")


def _listed(entry: object) -> tuple[str, Expected]:
    path, size, large = _field(entry, "path"), _field(entry, "size"), _field(entry, "lfs")
    if not isinstance(path, str) or _leads_out(path):
        raise FetchError(f"the hub lists a file under a name that is not safe to write: {path!r}")
    if not isinstance(size, int) or size < 0:
        raise FetchError(f"the hub lists {path} without a usable size")
    # The hub has a sha256 of its large files only; of the others it tells git's name of the blob.
    if large is not None:
        return path, Expected(size, sha256=_hex(large, "oid", 64))
    return path, Expected(size, git_sha1=_hex(entry, "oid", 40))


def _leads_out(path: str) -> bool:
    """Whether a name from the server could mean a place outside the folder, on any system."""
    return (
        bool({"", ".", ".."} & set(path.split("/")))
        or path[1:2] == ":"
        or "\\" in path
        or not path.isprintable()
    )


def _field(entry: object, key: str) -> object:
    return entry.get(key) if isinstance(entry, dict) else None


def _hex(entry: object, key: str, length: int) -> str:
    value = _field(entry, key)
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
        raise FetchError(f"the hub's answer has no usable `{key}`")
    return value


def _chosen(spellings: tuple[str, ...], listing: Mapping[str, Expected], repo: str) -> str:
    for path in spellings:
        if path in listing:
            return path
    raise FetchError(f"{repo} has no {' or '.join(spellings)} in this revision")


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
    with on_disk(part):
        part.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        rename_file(part, report.folder / "SOURCE.json")
