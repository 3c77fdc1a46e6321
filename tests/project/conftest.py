"""The wheel and the sdist of this checkout, built once for all tests of the project."""

import importlib.util
from pathlib import Path

import pytest
from paths import ROOT
from wheels import run


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, made from the sdist as package indexes make it, and the sdist."""
    if any(importlib.util.find_spec(name) is None for name in ("build", "hatchling", "pip")):
        pytest.skip("build, hatchling and pip are needed to build without a network")
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--no-compile", "--quiet", "--target", folder)
    run("-m", "pip", "install", *options, wheel, cwd=folder)
    return folder
