"""`merge --verify`: repeats a merge from its inputs and compares every byte."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from patientdx.errors import MergeError
from patientdx.storage.file_digests import hash_file

from .checking.load_check import LoadCheck, check_loading
from .checkpoints.adapters import adapter_digest
from .checkpoints.checkpoint import CONFIG, Checkpoint
from .checkpoints.companion_files import is_optional
from .checkpoints.headers import read_header
from .checkpoints.model_code import AUTO_MAP
from .execution import Progress, run_merge
from .metadata.provenance import PROVENANCE_FILE, InputFacts, Provenance, read_provenance
from .planning.job import Engine, MergeJob, prepare_merge
from .recipes.mergekit_methods import is_random_method
from .recipes.reader import parse_recipe
from .recipes.recipe import ModelRef


class Verification(NamedTuple):
    """Names of the files that came out the same when the merge was repeated, and of the others.

    `unknown` are files of weights that hold the right tensors, but were drawn at random from a
    seed that the merge did not record. `load_check` is what transformers reports of the folder, if
    it was run and no file differs.
    """

    provenance: Provenance
    same: tuple[str, ...]
    different: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    load_check: LoadCheck | None = None


def verify_merge(
    folder: Path,
    *,
    folders: Mapping[str, Path] | None = None,
    threads: int = 0,
    cache: Path | None = None,
    load_check: bool = False,
    progress: Progress = lambda _done, _all: None,
) -> Verification:
    """Repeats a merge in a hidden folder beside `folder`, compares all files, and removes it.

    Inputs are read from the folders that the provenance names, or from `folders` by input name.
    The repeated merge passes the gate that every merge passes before it is published; with
    `load_check` transformers loads `folder` too, where it is installed.
    Raises MergeError if `folder` is not a merge of ours, or an input is missing or has changed.
    """
    provenance = read_provenance(folder)
    inputs = [_locate_input(facts, (folders or {}).get(facts.name)) for facts in provenance.inputs]
    engine: Engine = "stream" if provenance.engine == "stream" else "mergekit"
    job = _job_from_provenance(provenance, inputs, engine, threads, cache)
    with _scratch_folder(folder) as repeated, prepare_merge(job, repeated) as prepared:
        for recorded, located in zip(provenance.inputs, inputs, strict=True):
            _check_digests(job, recorded, located)
        # Card and provenance get the recorded facts, so they match after an update of PatientDx.
        run_merge(job, prepared, repeated, progress, provenance=provenance)
        verification = _compare_folders(provenance, folder, repeated)
        if not load_check or verification.different:
            return verification
        return verification._replace(load_check=check_loading(folder, prepared.base.folder))


def _locate_input(recorded: InputFacts, folder: Path | None) -> InputFacts:
    """The facts of an input with the folder where it lies now. Raises MergeError."""
    located = replace(recorded, folder=str(folder)) if folder else recorded
    for path in (located.folder, located.adapter):
        if path is not None and not Path(path).is_dir():
            raise MergeError(
                f"the input {recorded.name} is not at {path} any more",
                hint="name the folders of the inputs: patientdx merge --verify OUT A B",
            )
    return located


def _job_from_provenance(
    provenance: Provenance,
    inputs: Sequence[InputFacts],
    engine: Engine,
    threads: int,
    cache: Path | None,
) -> MergeJob:
    recipe = parse_recipe(provenance.recipe, PROVENANCE_FILE)
    folders: dict[ModelRef, Path] = {}
    adapters: dict[ModelRef, Path] = {}
    for ref, facts in zip(recipe.inputs, inputs, strict=True):
        folders[ref] = Path(facts.folder)
        if facts.adapter:
            adapters[ref] = Path(facts.adapter)
    return MergeJob(
        recipe,
        folders,
        adapters,
        engine=engine,
        unsound=provenance.unsound,
        shard_size=provenance.shard_size,
        threads=threads,
        cache=cache,
        command=provenance.command,
        seed=provenance.seed,
        torch_threads=provenance.torch_threads,
        gguf=provenance.gguf,
    )


def _check_digests(job: MergeJob, recorded: InputFacts, located: InputFacts) -> None:
    """Raises MergeError unless model and adapter are those that were merged."""
    model_digest = Checkpoint.open(located.folder).digest(job.cache)
    digests = [(located.folder, model_digest, recorded.digest)]
    if located.adapter:
        digest = adapter_digest(Path(located.adapter))
        digests.append((located.adapter, digest, recorded.adapter_digest or ""))
    for path, digest, expected in digests:
        if digest != expected:
            raise MergeError(
                f"the input {recorded.name} at {path} is not the one that was merged",
                hint="fetch the revision that the model card names, or name another folder",
            )


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """The path of a hidden folder beside `folder`, which is removed when the block ends."""
    scratch = folder.absolute().with_name(f".{folder.absolute().name}.verifying")
    shutil.rmtree(scratch, ignore_errors=True)  # left by a run that was killed
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compare_folders(provenance: Provenance, folder: Path, repeated: Path) -> Verification:
    names = {path.name for path in repeated.iterdir()}
    names |= {path.name for path in folder.iterdir() if path.suffix in {".safetensors", ".json"}}
    names -= {name for name in names if is_optional(name) and not (folder / name).exists()}
    same: list[str] = []
    different: list[str] = []
    unknown: list[str] = []
    method = parse_recipe(provenance.recipe, PROVENANCE_FILE).method
    seed_unknown = is_random_method(method) and provenance.seed is None
    for name in sorted(names):
        pair = (folder / name, repeated / name)
        if not all(path.is_file() for path in pair):
            different.append(name)
        elif _same_file(*pair):
            same.append(name)
        elif seed_unknown and name.endswith(".safetensors") and _same_tensors(*pair):
            unknown.append(name)
        else:
            different.append(name)
    return Verification(provenance, tuple(same), tuple(different), tuple(unknown))


def _same_file(old: Path, new: Path) -> bool:
    """Whether two files of one name hold the same."""
    if hash_file(old) == hash_file(new):
        return True
    return old.name == CONFIG and _same_without_code(old, new)


def _same_without_code(old: Path, new: Path) -> bool:
    """Whether a config.json only names code besides, as early merges do, and none can be loaded."""
    if any(old.parent.glob("*.py")):
        return False
    with suppress(ValueError, AttributeError):
        before, now = (json.loads(path.read_text(encoding="utf-8")) for path in (old, new))
        code = before.pop(AUTO_MAP, None)
        return bool(code) and "--" not in json.dumps(code) and before == now
    return False


def _same_tensors(first: Path, second: Path) -> bool:
    """Whether two files of weights hold tensors of the same names, dtypes and shapes."""
    headers = [
        [info._replace(file=first) for info in read_header(path)] for path in (first, second)
    ]
    return headers[0] == headers[1]
