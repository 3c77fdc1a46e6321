"""The public API: its names, and what type checkers see of it in a checkout and in a wheel."""

import ast
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from paths import ROOT

import patientdx

STUB = ROOT / "patientdx" / "__init__.pyi"

PROGRAM = """\
from patientdx import Index, Patient, build_index, merge, search_patients

reveal_type(Index)
reveal_type(search_patients(Index.open("x"), "gout"))
reveal_type(merge)
build_index("x", [Patient("a", "gout")])
Index.open(3)  # wrong: a number is no folder
search_patients("x", "gout")  # wrong: a folder is no index
merge("recipe.yml", "out", engine="magic")  # wrong: there is no such engine
"""
WRONG_LINES = {7, 8, 9}
LAST_REVEALED = 5


def stub_names() -> set[str]:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {
        str(alias.asname)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_stub_has_the_names_of_the_package() -> None:
    assert stub_names() == set(patientdx.__all__)
    assert 50 <= len(patientdx.__all__) <= 80


def test_the_reference_has_every_public_name_once() -> None:
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    listed = re.findall(r"^::: patientdx\.(\w+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(patientdx.__all__)


def test_the_stub_imports_each_name_from_where_the_package_does() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    modules = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert modules == vars(patientdx)["_MODULES"]


def environment_with(package: Path, folder: Path) -> Path:
    """The Python of a new environment that holds the installed package, and nothing else."""
    venv.create(folder, symlinks=True)
    (site_packages,) = (folder / "lib").glob("python3*/site-packages")
    shutil.copytree(package / "patientdx", site_packages / "patientdx")
    return folder / "bin" / "python"


def check(checker: str, python: Path | None, folder: Path) -> dict[int, str]:
    """Lines with an error -> the message; what is revealed is under the number 0.

    Without a `python` whose packages are looked into, the checkout is on the search path.
    """
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", checker]
    if checker == "mypy":
        command += ["--strict", "--no-incremental", "--python-executable"]
    else:
        command += ["--pythonpath"]
    path = str(ROOT) if python is None else ""
    outcome = subprocess.run(
        [*command, str(python or sys.executable), "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "MYPYPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    messages: dict[int, str] = {0: ""}
    for line in outcome.stdout.splitlines():
        if "program.py:" not in line:
            continue
        number = int(line.partition("program.py:")[2].partition(":")[0])
        if "error" in line:
            messages[number] = line
        elif number <= LAST_REVEALED:
            messages[0] += line + "\n"
    assert messages[0], outcome.stdout + outcome.stderr
    return messages


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize("place", ["checkout", "wheel"])
def test_type_checkers_know_the_public_names(
    place: str, checker: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip(checker)
    python = None
    if place == "wheel":
        python = environment_with(request.getfixturevalue("installed"), tmp_path / "venv")
    messages = check(checker, python, tmp_path)
    assert messages.keys() - {0} == WRONG_LINES
    for name in ("Index", "SearchResult", "MergeResult"):
        assert name in messages[0]
