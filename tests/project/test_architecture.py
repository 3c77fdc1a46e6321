"""The architecture: who imports whom, what prints, how long things are, what is public."""

import ast
import importlib
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from paths import ROOT

import patientdx

PACKAGES = (
    *("patientdx", "indexer", "expander", "merger", "evaluator"),
    *("workflows", "console", "commands"),
)
FILES = sorted(
    [ROOT / "cli.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
)
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions() -> Iterator[tuple[Path, Function]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield path, node


def lines_of(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None and first.end_lineno is not None:
        length -= first.end_lineno - first.lineno + 1
    return length


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(level, module) of every import, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def test_the_contracts_of_import_linter_hold() -> None:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("import-linter is not installed beside this Python")
    outcome = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout
    assert "0 broken" in outcome.stdout


def test_nobody_imports_the_command_line() -> None:
    for path, tree in TREES.items():
        named = {module.partition(".")[0] for level, module in imports(tree) if level == 0}
        if path != ROOT / "patientdx" / "__main__.py":  # the launcher, which is no library
            assert "cli" not in named, shown(path)


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_imports_within_a_folder_are_relative_and_all_others_absolute(path: Path) -> None:
    for level, module in imports(TREES[path]):
        assert level < 2, f"{'.' * level}{module}"


def test_only_the_command_line_prints() -> None:
    for path, tree in TREES.items():
        if path == ROOT / "cli.py" or path.relative_to(ROOT).parts[0] in {"commands", "console"}:
            continue
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"print", "input", "breakpoint", "exit"}, shown(path)


def test_the_environment_is_read_by_the_command_line_only() -> None:
    for path, tree in TREES.items():
        if path == ROOT / "cli.py" or path.relative_to(ROOT).parts[0] in {"commands", "console"}:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"environ", "getenv"}, f"{shown(path)}:{node.lineno}"


NATIVE = [
    path
    for folder in ("indexer", "merger/kernels")
    for path in (ROOT / folder / "native").iterdir()
]


@pytest.mark.parametrize("path", [*FILES, *sorted(NATIVE)], ids=shown)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_few_files_are_longer_than_300_lines() -> None:
    long = [shown(path) for path in FILES if len(path.read_text("utf-8").splitlines()) > 300]
    assert len(long) <= len(FILES) // 30, long


def test_functions_are_short() -> None:
    lengths = {
        f"{shown(path)}:{function.lineno} {function.name}": lines_of(function)
        for path, function in functions()
    }
    assert len(lengths) > 300
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert statistics.median(lengths.values()) <= 8
    assert sum(length <= 40 for length in lengths.values()) >= 0.95 * len(lengths)


def test_no_module_of_the_core_has_the_name_of_one_of_the_standard_library() -> None:
    """`python patientdx/__main__.py` puts this folder first on the path."""
    names = {path.stem for path in (ROOT / "patientdx").glob("*.py")}
    names |= {path.name for path in (ROOT / "patientdx").iterdir() if path.is_dir()}
    names |= {"cli", *PACKAGES}
    assert not names & sys.stdlib_module_names


def test_no_import_circle_between_files() -> None:
    graph = {module_of(path): imported_modules(path) for path in FILES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError for a circle
    assert len(order) >= len(FILES)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path) -> set[str]:
    """The files that a file imports, also inside functions, but not for type checkers alone."""
    known = {module_of(other) for other in FILES}
    own = module_of(path)
    package = own if path.name == "__init__.py" else own.rpartition(".")[0]
    named: set[str] = set()
    for node in runtime_nodes(TREES[path]):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = f"{package}.{node.module or ''}".rstrip(".") if node.level else str(node.module)
            submodules = {f"{base}.{alias.name}" for alias in node.names}
            named |= submodules & known or {base}
    return (named & known) - {own}


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, without what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from runtime_nodes(child)


def test_workflows_print_nothing_and_commands_do_not_import_commands() -> None:
    shared = {"options", "model_options", "query_options", "report_options", "hits"}
    shared |= {"cohort_options", "merge_arguments", "tune_merge_options"}
    for path in (ROOT / "commands").glob("*.py"):
        for level, module in imports(TREES[path]):
            if level == 1 and module:
                assert module in shared, f"{shown(path)}: {module}"
    lines = [len(path.read_text("utf-8").splitlines()) for path in (ROOT / "commands").glob("*.py")]
    assert sum(lines) < 3700


def test_commands_import_workflows_when_they_run() -> None:
    for path in (ROOT / "commands").glob("*.py"):
        for node in TREES[path].body:
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("workflows"), (
                    f"{shown(path)}:{node.lineno}"
                )


def test_nothing_at_the_top_of_a_module_can_be_changed() -> None:
    makers = {"dict", "list", "set", "defaultdict", "OrderedDict", "Counter", "deque", "bytearray"}
    mutable = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
    for path, tree in TREES.items():
        for node in tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            made = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in makers
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {ast.unparse(target) for target in targets}
            constant = all(name.lstrip("_").isupper() for name in names)
            if (isinstance(node.value, mutable) or made) and not constant:
                assert names == {"__all__"}, f"{shown(path)}:{node.lineno} {names}"


def test_nothing_is_written_to_globals() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Global), f"{shown(path)}:{node.lineno}"


def test_nothing_is_caught_blindly() -> None:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            place = f"{shown(path)}:{node.lineno}"
            assert node.type is not None, place
            caught = ast.unparse(node.type)
            assert caught != "Exception", place
            if caught == "BaseException":  # cleans up, and lets it go on
                assert any(isinstance(child, ast.Raise) for child in node.body), place


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    tree = TREES[path]
    assert ast.get_docstring(tree), "the module"
    for node in [tree, *ast.walk(tree)]:
        if not isinstance(node, ast.Module | ast.ClassDef):
            continue
        if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
            continue
        for member in node.body:
            if not isinstance(member, ast.ClassDef | Function) or member.name.startswith("_"):
                continue
            decorators = {ast.unparse(each) for each in getattr(member, "decorator_list", [])}
            if "overload" not in decorators:
                assert ast.get_docstring(member), f"{shown(path)}:{member.lineno} {member.name}"


def test_heavy_packages_are_imported_inside_functions() -> None:
    heavy = {
        "numba",
        "torch",
        "transformers",
        "scipy",
        "pandas",
        "ir_measures",
        "pytrec_eval",
        "matplotlib",
    }
    for path, tree in TREES.items():
        for node in tree.body:
            module = ast.Module(body=[node], type_ignores=[])
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = {name.partition(".")[0] for level, name in imports(module) if not level}
                assert not named & heavy, shown(path)


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert patientdx.__all__ == sorted(patientdx.__all__)
    for name in patientdx.__all__:
        thing = getattr(patientdx, name)
        assert getattr(thing, "__doc__", None) or name in {"Qrels", "Run"}, name
    assert set(dir(patientdx)) >= {*patientdx.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        patientdx.nothing  # type: ignore[attr-defined]  # noqa: B018 - the look-up is the test


@pytest.mark.parametrize(
    "name", [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES]
)
def test_every_module_s_all_is_true(name: str) -> None:
    if name.endswith("__main__"):
        return
    module = importlib.import_module(name.removesuffix(".__init__"))
    listed = list(getattr(module, "__all__", []))
    assert len(listed) == len(set(listed))
    for public in listed:
        assert hasattr(module, public), public


def test_the_version_is_written_once() -> None:
    from indexer.writer import SOFTWARE

    assert f"patientdx {patientdx.__version__}" == SOFTWARE
    paths = [path for path in FILES if f'"{patientdx.__version__}"' in path.read_text("utf-8")]
    assert paths == [ROOT / "patientdx" / "__init__.py"]
    about = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{patientdx.__version__}"' not in about
