"""What all tests share: helper modules of this folder, and how hypothesis runs."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from oracle import Oracle

# --import-mode=importlib leaves sys.path alone; tests import the modules of `support` by name.
sys.path.insert(0, str(Path(__file__).parent / "support"))

# Tests run offline: no command may fetch a model from a package index.
os.environ["PIP_NO_INDEX"] = "1"

# Machines are shared: an example may take long for no fault of its own.
settings.register_profile("patientdx", deadline=None)
settings.load_profile("patientdx")

# CI sets it to a file, for the list of test files that skip a test; with all extras installed it
# runs these files again.
_SKIPPING_FILES = "PATIENTDX_SKIPPING_FILES"


class SkippingFiles:
    """Lists the test files in which a test was skipped. Lives in the main process of xdist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the file of a skipped test."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._files.add(report.nodeid.partition("::")[0])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that is skipped as a whole."""
        if report.skipped:
            self._files.add(report.nodeid.partition("::")[0])

    def pytest_sessionfinish(self) -> None:
        """Write the list."""
        self._path.write_text("".join(f"{name}\n" for name in sorted(self._files)))


def pytest_configure(config: pytest.Config) -> None:
    """List skipping files where CI wants it."""
    path = os.environ.get(_SKIPPING_FILES)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkippingFiles(Path(path)))


@pytest.fixture
def real_load_check() -> None:
    """For tests whose merges transformers is to load, in a process of its own."""


@pytest.fixture(autouse=True)
def _no_load_check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the load check out, which takes seconds, as where transformers is missing."""
    if "real_load_check" not in request.fixturenames:
        monkeypatch.setattr("merger.checking.load_check.find_spec", lambda _: None)


@pytest.fixture(scope="session")
def sample_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped sample, indexed by the command line as it is by default. Not to be changed."""
    from command_line import run_successfully

    from patientdx.sample import sample_folder

    folder = tmp_path_factory.mktemp("sample") / "index"
    run_successfully("index", "build", sample_folder(), "--into", folder)
    return folder


@pytest.fixture(scope="session")
def sample_oracle() -> "Oracle":
    """What should be found in `sample_index`."""
    from oracle import Oracle, tokens_by

    from patientdx.formats import read_patients
    from patientdx.sample import sample_folder

    live = {patient.patient_id: patient for patient in read_patients(sample_folder())}
    return Oracle(live, tokens_by("english", "english"), 0.9, 0.4)
