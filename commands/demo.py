"""`demo`: the main job on the sample that ships with the program."""

from pathlib import Path
from typing import TYPE_CHECKING

from patientdx.records import Filter, Query

from . import options, output
from .hits import print_hit

if TYPE_CHECKING:
    from indexer.index import Index

NOTE = (
    "Woman of 63 with crushing chest pain hours after the sudden death of her brother. "
    "ST elevation in the anterior leads, troponin modestly raised, coronary arteries without "
    "obstruction, apical ballooning on the ventriculogram."
)


def demo(quiet: options.Quiet = False) -> None:
    """Index the shipped sample of invented patients and search it.

    Example:
        patientdx demo
    """
    folder = options.settings().cache / "demo"
    index = _sample_index(folder)
    say = (lambda _: None) if quiet else output.data
    say(f"{index.size} invented patients, indexed in {folder}\n")
    say(f"The note:\n  {NOTE}\n")
    say("The patients most like it:")
    _list(index, NOTE, Filter(), quiet=quiet)
    say("\nOf these, women of 50 to 70, with the terms that matched:")
    _list(index, NOTE, Filter(sex="F", age=(50, 70)), quiet=quiet, explain=True)
    output.say(f"\n{output.RESEARCH}", quiet=quiet)
    output.hint(f"patientdx similar demo-001 --index {folder}", quiet=quiet)


def _list(index: "Index", note: str, where: Filter, *, quiet: bool, explain: bool = False) -> None:
    weighed = index.weigh(Query("note", note))
    for rank, hit in enumerate(index.search(note, 3, where), 1):
        if quiet:
            output.data(hit.doc_id)
        else:
            print_hit(index, weighed, rank, hit, explain=explain)


def _sample_index(folder: Path) -> "Index":
    """The index of the sample; built again when the program that built it was another."""
    from indexer.index import Index
    from indexer.writing import SOFTWARE, build
    from patientdx.errors import IndexFolderError
    from patientdx.formats import read_patients
    from patientdx.sample import sample_folder

    try:
        index = Index.open(folder)
    except IndexFolderError:
        index = None
    if index is not None and index.manifest.software == SOFTWARE:
        return index
    patients = read_patients(sample_folder())
    return build(folder, patients, corpus=("the shipped sample",), replace_existing=True)
