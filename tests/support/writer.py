"""Writes an index until it is killed; run by test_indexer_crash.

    python writer.py build FOLDER         builds an index of the patients of generation 1
    python writer.py change FOLDER COUNT  makes the next COUNT changes to it

A line is printed when work begins, and one with the generation after each commit.
What generation g holds follows from g alone: see `state`.
"""

import sys
from pathlib import Path

from indexer.index import Index
from indexer.storage.layout import Layout
from indexer.writer import add_patients, build_index, compact_index, delete_patients
from patientdx.records import Patient

LAYOUT = Layout(block_docs=64, dense_share=0.3, dense_min_notes=4, blocked_per_block=1.5)
FIRST = 600
EACH = 20


def patients(generation: int) -> list[Patient]:
    """What generation `generation` brings."""
    count = FIRST if generation == 1 else EACH
    return [
        Patient(f"g{generation}-{i}", " ".join(f"w{(i * j + generation) % 97}" for j in range(40)))
        for i in range(count)
    ]


def change(folder: Path, generation: int) -> None:
    """The commit that makes this generation out of the one before."""
    gone = [patient.patient_id for patient in patients(generation - 1)[::2]]
    if generation % 11 == 0:
        build_index(folder, patients(generation), layout=LAYOUT, replace_existing=True)
    elif generation % 7 == 0:
        compact_index(folder)
    elif generation % 3 == 0 and generation - 1 in state_of_adds(generation - 1):
        delete_patients(folder, gone)
    else:
        add_patients(folder, patients(generation))


def state_of_adds(generation: int) -> dict[int, int]:
    """Generations whose patients are there, and from which step on they were halved."""
    held = {1: 1}
    for g in range(2, generation + 1):
        if g % 11 == 0:
            held = {g: 1}
        elif g % 7 == 0:
            continue
        elif g % 3 == 0 and g - 1 in held:
            held[g - 1] = 2
        else:
            held[g] = 1
    return held


def state(generation: int) -> dict[str, str]:
    """id -> text of all patients of a generation."""
    return {
        patient.patient_id: patient.text
        for g, step in state_of_adds(generation).items()
        for patient in (patients(g) if step == 1 else patients(g)[1::2])
    }


def main(mode: str, folder: Path, count: int) -> None:
    print("begun", flush=True)
    if mode == "build":
        build_index(folder, patients(1), layout=LAYOUT)
        print(1, flush=True)
        return
    generation = Index.open(folder).manifest.generation
    for g in range(generation + 1, generation + 1 + count):
        change(folder, g)
        print(g, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
