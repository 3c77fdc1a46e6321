"""Wheel and sdist: what is inside, and that the program runs from an installed wheel."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from paths import ROOT
from wheels import environment, run

import patientdx

ABOUT = f"patientdx-{patientdx.__version__}.dist-info"
ROOMS = ("indexer", "expander", "merger", "evaluator", "workflows", "console", "commands")
ENGINES = {"indexer/_native.abi3.so", "merger/kernels/_native.abi3.so"}

pytestmark = pytest.mark.slow


def tracked() -> set[str]:
    """The source files of the checkout."""
    folders = ("patientdx", *ROOMS)
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    found = {str(path.relative_to(ROOT)) for path in files}
    return {name for name in found if "__pycache__" not in name and name not in ENGINES} | {
        "cli.py"
    }


def test_a_wheel_brings_one_name_and_all_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"patientdx", ABOUT}
    held = {name for name in names if name.startswith("patientdx/")}
    assert held - {f"patientdx/{engine}" for engine in ENGINES} == {
        name if name.startswith("patientdx/") else f"patientdx/{name}" for name in tracked()
    }
    assert held >= {
        "patientdx/py.typed",
        "patientdx/sample/corpus.jsonl",
        "patientdx/sample/queries.jsonl",
        "patientdx/sample/qrels/test.tsv",
        "patientdx/indexer/stopwords/english.txt",
        *(f"patientdx/{engine}" for engine in ENGINES),
    }
    assert "-cp311-abi3-" in wheel.name
    assert f"{ABOUT}/licenses/LICENSE" in names


def test_the_metadata_are_those_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        about = opened.read(f"{ABOUT}/METADATA").decode("utf-8")
        entries = opened.read(f"{ABOUT}/entry_points.txt").decode("utf-8")
    assert "\nName: patientdx\n" in about
    assert "\nRequires-Python: >=3.11\n" in about
    assert "\nLicense-Expression: Apache-2.0\n" in about
    core = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", about, re.MULTILINE)
    assert not {name.lower() for name in core} & {"torch", "transformers", "pyserini", "vllm"}
    assert "patientdx = patientdx.__main__:main" in entries


def test_an_sdist_holds_sources_tests_and_pages(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    assert names >= tracked() | tests | pages
    assert names >= {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml"}
    assert "hatch_build.py" in names
    assert not ENGINES & names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".hypothesis")]


def test_demo_runs_from_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    env = environment(installed, tmp_path)
    there = run("-c", "import patientdx; print(patientdx.__file__)", cwd=tmp_path, env=env)
    assert Path(there.strip()).is_relative_to(installed)
    printed = run("-m", "patientdx", "demo", cwd=tmp_path, env=env)
    checkout = {"PATIENTDX_CACHE": env["PATIENTDX_CACHE"], "PYTHONPATH": ""}
    assert "249 invented patients" in printed
    assert printed == run("cli.py", "demo", cwd=ROOT, env=checkout)


def test_the_python_of_the_readme_runs_from_an_installed_wheel(
    installed: Path, tmp_path: Path
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    env = environment(installed, tmp_path)
    printed = run("-c", block, cwd=tmp_path, env=env)
    (tmp_path / "checkout").mkdir()
    again = run("-c", block, cwd=tmp_path / "checkout", env={**env, "PYTHONPATH": str(ROOT)})
    assert printed == again
    assert "nDCG@10" in printed


def test_every_public_name_is_there_in_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    program = (
        "import patientdx, sys\n"
        "for name in patientdx.__all__: getattr(patientdx, name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    loaded = run("-c", program, cwd=tmp_path, env=environment(installed, tmp_path)).split()
    assert "patientdx" in loaded
    assert not {*ROOMS, "cli"} & set(loaded)


NO_COMPILER = {"CC": "/no/such/compiler", "CXX": "/no/such/compiler"}


@pytest.fixture
def source(tmp_path: Path, built: Path) -> Path:
    """The unpacked sdist."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path / "source", filter="data")
    (folder,) = (tmp_path / "source").iterdir()
    return folder


def test_without_a_compiler_a_pure_wheel_is_built_and_works(tmp_path: Path, source: Path) -> None:
    options = ("--wheel", "--no-isolation", "--outdir", tmp_path)
    run("-m", "build", *options, source, cwd=source, env=NO_COMPILER)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
    env = environment(tmp_path / "installed", tmp_path)
    found = run("-m", "patientdx", "doctor", "--json", cwd=tmp_path, env=env)
    assert json.loads(found)["compiled_engine"] is False
    assert "demo-011" in run("-m", "patientdx", "demo", cwd=tmp_path, env=env)


def test_a_release_fails_without_a_compiler(tmp_path: Path, source: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source],
        cwd=source,
        env={**os.environ, **NO_COMPILER, "PATIENTDX_REQUIRE_COMPILER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode != 0
    assert "PATIENTDX_REQUIRE_COMPILER=1 requires them" in outcome.stdout + outcome.stderr
    assert not list(tmp_path.glob("*.whl"))


def test_an_installed_program_does_not_mind_others_of_the_same_names(
    installed: Path, tmp_path: Path
) -> None:
    """Another distribution may bring a `cli.py` and an `indexer` of its own."""
    (tmp_path / "cli.py").write_text("raise SystemExit('the wrong cli')\n", encoding="utf-8")
    for room in ROOMS:
        (tmp_path / room).mkdir()
        wrong = f"raise SystemExit('the wrong {room}')\n"
        (tmp_path / room / "__init__.py").write_text(wrong, encoding="utf-8")
    env = environment(installed, tmp_path)
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    assert "demo-011" in run("-m", "patientdx", "demo", cwd=tmp_path, env=env)
