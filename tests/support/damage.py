"""Damages an index byte by byte and reports the consequences; run by test_indexer_verify.

    python damage.py FOLDER SEED COUNT ENGINE

For each of COUNT random bytes of random parts of the files: changes it, verifies, uses the
index in every way there is, puts the byte back. Prints one JSON object a byte, after a line
that says which byte is next (so that a crash reveals its cause).
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

from indexer.index import Index
from indexer.scoring.scorer import Engine
from indexer.storage.manifest import MANIFEST_NAME, read_manifest
from indexer.verify import verify_index
from patientdx.errors import IndexFolderError, PatientDxError
from patientdx.records import Filter, Query

QUERIES = [
    Query("all", " ".join(f"w{i}" for i in range(60))),
    Query("rare", "w40 w50 w59"),
    Query("weighed", "w1", {"w2": 0.5, "w30": 3.0}),
]
FILTER = Filter(
    sex="F", age=(0, 99), where=(("site", "a"),), exclude_ids=frozenset({"p1", "p201", "none"})
)
SOME = ["p7", "p203", "p305", "none"]


def parts(folder: Path) -> list[tuple[str, int, int, str]]:
    """(file, first byte, number of bytes, name) of all sections, and of the manifest."""
    manifest = read_manifest(folder)
    stored = [segment.file for segment in manifest.segments]
    stored += [segment.deletions for segment in manifest.segments if segment.deletions]
    sections = [(MANIFEST_NAME, 0, (folder / MANIFEST_NAME).stat().st_size, "manifest")]
    for file in stored:
        sections += [
            (file.name, s.offset, s.size, s.name) for s in file.sections.values() if s.size
        ]
    return sections


def reader_actions(folder: Path, engine: Engine) -> Iterator[Callable[[], object]]:
    """Everything that readers do, step by step."""
    index = Index.open(folder, engine=engine)
    for where in (None, FILTER):
        for k in (1, 20, 1000):
            yield partial(index.search_many, QUERIES, k, where)
            yield partial(index.search_many, QUERIES[:1], k, where)
        yield partial(index.ranks_many, QUERIES, [SOME] * 3, [where] * 3)
    for doc_id in SOME:
        yield partial(index.explain, QUERIES[0], doc_id)
        yield partial(index.similar, doc_id, 5)
        yield partial(index.term_vector, doc_id)
        yield partial(index.document_frequency, doc_id.replace("p", "w"))
    yield lambda: list(index.patients())
    yield index.describe


def unexpected_errors(folder: Path, engine: Engine) -> list[str]:
    """Errors that are not of the tree, with the place they come from."""
    errors: list[str] = []
    steps = reader_actions(folder, engine)
    while True:
        try:
            step = next(steps, None)
            if step is None:
                return errors
            step()
        except PatientDxError:
            continue  # what is raised on purpose; after Index.open the steps are at their end
        except Exception as error:  # noqa: BLE001 - this is what we are looking for
            errors.append(f"{type(error).__name__}: {error} in {error_location(error)}")


def error_location(error: Exception) -> str:
    trace, last = error.__traceback__, ""
    while trace:
        code = trace.tb_frame.f_code
        if "indexer" in code.co_filename:
            last = f"{Path(code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return last


def is_detected(folder: Path) -> bool:
    try:
        return bool(verify_index(folder)[1])
    except IndexFolderError:
        return True


def main(folder: Path, seed: int, count: int, engine: Engine) -> None:
    rnd = Random(seed)
    everything = parts(folder)
    for _ in range(count):
        name, first, size, part = rnd.choice(everything)
        at, change = first + rnd.randrange(size), rnd.choice([1 << rnd.randrange(8), 255])
        path = folder / name
        raw = path.read_bytes()
        where = f"{name} {part} byte {at - first} ^ {change}"
        print(json.dumps({"next": where}), flush=True)
        # A new file each time: the old one may still be mapped.
        replace_file(path, raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :])
        report = {"where": where, "detected": is_detected(folder)}
        report["surprises"] = unexpected_errors(folder, engine)
        replace_file(path, raw)
        print(json.dumps(report), flush=True)


def replace_file(path: Path, raw: bytes) -> None:
    path.unlink()
    path.write_bytes(raw)


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), cast("Engine", sys.argv[4]))
