"""A small index, and the check that it holds exactly what it should."""

from pathlib import Path
from random import Random

from oracle import Oracle, tokens_by

from indexer.index import Index
from indexer.storage.layout import Layout
from indexer.storage.manifest import MANIFEST_NAME as MANIFEST
from indexer.storage.writer_lock import LOCK_NAME as LOCK
from indexer.verify import verify_index
from patientdx.records import Patient, Query

TINY = Layout(block_docs=16, dense_share=0.4, dense_min_notes=4, blocked_per_block=1.5)
QUERIES = [Query("1", "w0 w1 w2 w5"), Query("2", "w3 w17", {"w9": 0.5}), Query("3", "nothing")]


def notes(first: int, count: int) -> list[Patient]:
    rnd = Random(first)
    return [
        Patient(f"p{i}", " ".join(f"w{int(20 * rnd.random() ** 2)}" for _ in range(i % 9 + 1)))
        for i in range(first, first + count)
    ]


def make_oracle(patients: list[Patient]) -> Oracle:
    held = {patient.patient_id: patient for patient in patients}
    return Oracle(held, tokens_by("english", "english"), 0.9, 0.4)


def check_index(folder: Path, patients: list[Patient]) -> None:
    """The index holds exactly these patients and finds them as brute force does."""
    oracle = make_oracle(patients)
    for engine in ("numpy", "compiled"):
        index = Index.open(folder, engine=engine)
        assert index.size == len(patients)
        assert {patient.patient_id: patient for patient in index.patients()} == oracle.patients
        assert index.search_many(QUERIES, 1000) == [oracle.ranking(query) for query in QUERIES]
    assert verify_index(folder)[1] == []
    assert leftovers(folder) == set()


def leftovers(folder: Path) -> set[str]:
    used = Index.open(folder).manifest.files | {MANIFEST, LOCK}
    return {path.name for path in folder.iterdir()} - used
