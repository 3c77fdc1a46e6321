"""`merge --verify`: makes a merge again from its inputs, and compares every byte."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from patientdx.errors import MergeError
from patientdx.storage.file_digests import sha256_of

from .checkpoints.adapters import adapter_digest
from .merging import Progress, carry_out
from .metadata.provenance import FILE, InputFacts, Provenance, read_provenance
from .planning.job import Engine, Job, opened
from .recipes.reader import parse_recipe
from .recipes.recipe import ModelRef


class Verified(NamedTuple):
    """What was found: the files that are as they were made again, and those that are not."""

    provenance: Provenance
    same: tuple[str, ...]
    different: tuple[str, ...]


def verify(
    folder: Path,
    *,
    places: Mapping[str, Path] | None = None,
    threads: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Verified:
    """Merges again into a hidden folder beside `folder`, compares all files, and removes it.

    Inputs are looked for where they lay, or in `places` by their names. Raises MergeError for a
    folder that is no merge of ours, and for inputs that are missing or not the same any more.
    """
    told = read_provenance(folder)
    facts = [_found(one, (places or {}).get(one.name)) for one in told.inputs]
    engine: Engine = "stream" if told.engine == "stream" else "mergekit"
    job = _job(told, facts, engine, threads, cache)
    with _beside(folder) as again, opened(job, again) as ready:
        for one, checked in zip(told.inputs, facts, strict=True):
            _check_digests(job, one, checked)
        # The card and the provenance tell what was told then, also after an update of PatientDx.
        carry_out(job, ready, again, progress, told=told)
        return _compared(told, folder, again)


def _found(one: InputFacts, place: Path | None) -> InputFacts:
    found = replace(one, folder=str(place)) if place else one
    for path in (found.folder, found.adapter):
        if path is not None and not Path(path).is_dir():
            raise MergeError(
                f"the input {one.name} is not at {path} any more",
                hint="name the folders of the inputs: patientdx merge --verify OUT A B",
            )
    return found


def _job(
    told: Provenance, facts: Sequence[InputFacts], engine: Engine, threads: int, cache: Path | None
) -> Job:
    recipe = parse_recipe(told.recipe, FILE)
    folders: dict[ModelRef, Path] = {}
    adapters: dict[ModelRef, Path] = {}
    for ref, one in zip(recipe.inputs, facts, strict=True):
        folders[ref] = Path(one.folder)
        if one.adapter:
            adapters[ref] = Path(one.adapter)
    return Job(
        recipe,
        folders,
        adapters,
        engine=engine,
        unsound=told.unsound,
        shard_size=told.shard_size,
        threads=threads,
        cache=cache,
        command=told.command,
    )


def _check_digests(job: Job, one: InputFacts, found: InputFacts) -> None:
    from .checkpoints.checkpoint import Checkpoint

    digests = [(found.folder, Checkpoint.open(found.folder).digest(job.cache), one.digest)]
    if found.adapter:
        digests.append(
            (found.adapter, adapter_digest(Path(found.adapter)), one.adapter_digest or "")
        )
    for path, digest, then in digests:
        if digest != then:
            raise MergeError(
                f"the input {one.name} at {path} is not the one that was merged",
                hint="fetch the revision that the model card tells, or name another folder",
            )


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """The name of a folder to merge into, on the same disk; what is there in the end is removed."""
    again = folder.absolute().with_name(f".{folder.absolute().name}.verifying")
    shutil.rmtree(again, ignore_errors=True)  # of a run that was killed
    try:
        yield again
    finally:
        shutil.rmtree(again, ignore_errors=True)


def _compared(told: Provenance, folder: Path, again: Path) -> Verified:
    names = {path.name for path in again.iterdir()}
    names |= {path.name for path in folder.iterdir() if path.suffix in {".safetensors", ".json"}}
    same: list[str] = []
    different: list[str] = []
    for name in sorted(names):
        pair = (folder / name, again / name)
        alike = all(path.is_file() for path in pair) and len({sha256_of(p) for p in pair}) == 1
        (same if alike else different).append(name)
    return Verified(told, tuple(same), tuple(different))
