"""Fetches one wheel with pip, from whatever package index the user has configured."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from patientdx.errors import FetchError
from patientdx.storage.file_digests import Progress

# pip downloads into Python's folder for temporary files and moves the complete file: setting that
# folder lets its growth be watched, with every version of pip.
_PIP = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
_POLL_S = 0.1


def fetch_wheel(requirement: str, folder: Path, on_progress: Progress) -> Path:
    """Path of the wheel that pip downloads for a requirement, without its dependencies.

    `on_progress` receives the number of bytes fetched so far. Raises FetchError when pip fails.
    """
    temporary, target = folder / "gathering", folder / "wheel"
    temporary.mkdir()
    target.mkdir()
    options = ("--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off")
    command = (sys.executable, "-c", _PIP, str(temporary), "download", requirement, *options)
    with subprocess.Popen(
        (*command, "--disable-pip-version-check", "--no-input", "--dest", str(target)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            errors = _wait_for(process, folder, on_progress)
        except BaseException:
            process.kill()
            raise
    wheels = sorted(target.glob("*.whl"))
    if process.returncode or not wheels:
        raise _pip_failed(requirement, errors)
    return wheels[0]


def _wait_for(process: "subprocess.Popen[str]", folder: Path, on_progress: Progress) -> str:
    """The stderr of the process, once it has ended."""
    while True:
        try:
            return process.communicate(timeout=_POLL_S)[1]
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


def _pip_failed(requirement: str, stderr: str) -> FetchError:
    if "No module named pip" in stderr:
        return FetchError(
            "pip, which fetches the model, is not installed",
            hint=f"{Path(sys.executable).name} -m ensurepip",
        )
    errors = [line.strip() for line in stderr.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "no reason reported"
    return FetchError(
        f"pip could not fetch {requirement}: {reason}",
        hint="is there a network here? does `pip download` reach a package index?",
    )
