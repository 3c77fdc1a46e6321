"""One wheel of the package index, fetched by pip with whatever index the user has set."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from patientdx.errors import FetchError
from patientdx.storage.file_digests import Progress

# pip gathers a download in Python's folder for temporary files and moves it when it is whole:
# naming that folder lets its growth be watched, in every version of pip.
_PIP = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
_OFTEN_S = 0.1


def fetch_wheel(requirement: str, folder: Path, on_progress: Progress) -> Path:
    """The wheel that pip downloaded for a requirement, without those it depends on.

    `on_progress` is told how many bytes are here. Raises FetchError when pip gives none.
    """
    gathering, target = folder / "gathering", folder / "wheel"
    gathering.mkdir()
    target.mkdir()
    options = ("--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off")
    command = (sys.executable, "-c", _PIP, str(gathering), "download", requirement, *options)
    with subprocess.Popen(
        (*command, "--disable-pip-version-check", "--no-input", "--dest", str(target)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            said = _watched(process, folder, on_progress)
        except BaseException:
            process.kill()
            raise
    wheels = sorted(target.glob("*.whl"))
    if process.returncode or not wheels:
        raise _refusal(requirement, said)
    return wheels[0]


def _watched(process: "subprocess.Popen[str]", folder: Path, on_progress: Progress) -> str:
    """What the process said on stderr, once it has ended."""
    while True:
        try:
            return process.communicate(timeout=_OFTEN_S)[1]
        except subprocess.TimeoutExpired:
            on_progress(_bytes_below(folder))


def _bytes_below(folder: Path) -> int:
    total = 0
    # Unlike rglob, os.walk passes over a folder that pip has just removed.
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # pip has just moved it
                total += Path(parent, name).stat().st_size
    return total


def _refusal(requirement: str, said: str) -> FetchError:
    if "No module named pip" in said:
        return FetchError(
            "pip is not there to fetch the model", hint=f"{Path(sys.executable).name} -m ensurepip"
        )
    errors = [line.strip() for line in said.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "it ended without one"
    return FetchError(
        f"pip could not fetch {requirement}: {reason}",
        hint="is there a network here? does `pip download` reach a package index?",
    )
