"""The Python of the pages runs: the blocks of a page in order, as one program.

It runs where a reader would be, in a folder with notes, a collection, two models and stays, once
with the checkout and once with an installed wheel.
"""

import ast
import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from made_stays import write_stays
from paths import ROOT
from small_cohorts import physionet_stays
from wheels import environment, run

from patientdx.sample import sample_folder

GUIDES = ROOT / "docs" / "guide"
TORCH = ("torch", "transformers")
EXTRAS = {
    "docs/guide/clinical-data-scientist.md": (*TORCH, "duckdb", "pyarrow", "sklearn"),
    "docs/guide/ir-researcher.md": ("pandas",),
    "docs/guide/ml-engineer.md": (*TORCH, "pyarrow"),
    "docs/method/merging.md": TORCH,
}
"""Packages of extras that a page's program imports; pages that are not named need none."""


def code_blocks(page: Path, language: str = "python") -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if code_blocks(page)
]


def write_notes(folder: Path) -> None:
    """The sample as a reader's own notes: a CSV file, one note, and a file of paragraphs."""
    lines = (sample_folder() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    patients = [json.loads(line) for line in lines]
    columns = {"id": "_id", "note": "text", "age": "age", "sex": "sex", "specialty": "specialty"}
    with (folder / "notes.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(columns)
        rows.writerows([patient.get(key, "") for key in columns.values()] for patient in patients)
    (folder / "note.txt").write_text(
        "Woman of 63 with crushing chest pain after the death of her brother. ST elevation in the "
        "anterior leads, coronary arteries without obstruction.\n",
        encoding="utf-8",
    )
    texts = (patient["text"].partition(". ")[0] for patient in patients[:6])
    (folder / "notes.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def write_collection(folder: Path) -> None:
    """The sample as a collection with the splits `dev` and `test`."""
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(sample_folder() / name, folder / name)
    for split in ("dev", "test"):
        shutil.copy(sample_folder() / "qrels" / "test.tsv", folder / "qrels" / f"{split}.tsv")


def write_models(folder: Path) -> None:
    """Tiny models that can be merged, and the recipe that the guide shows."""
    from live_merges import siblings

    names = ("math-model", "medical-model", "base-model")
    for path, name in zip(siblings(folder, 3), names, strict=True):
        path.rename(folder / name)
    (recipe,) = code_blocks(GUIDES / "ml-engineer.md", "yaml")
    (folder / "recipe.yml").write_text(recipe, encoding="utf-8")


@pytest.fixture
def workspace(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with what the pages use, as far as the installed extras allow it."""
    extras = EXTRAS.get(page_name(request.getfixturevalue("page")), ())
    for package in extras:
        pytest.importorskip(package)
    write_notes(tmp_path)
    write_collection(tmp_path / "ReCDS")
    if "torch" in extras:
        write_models(tmp_path)
    if "pyarrow" in extras:
        write_stays(tmp_path / "cohort.parquet")
        physionet_stays(tmp_path / "physionet2012", 24)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("place", ["checkout", "wheel"])
@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_python_of_a_page_runs(
    page: Path, place: str, workspace: Path, request: pytest.FixtureRequest
) -> None:
    package = ROOT if place == "checkout" else request.getfixturevalue("installed")
    program = workspace / "program.py"
    program.write_text("\n".join(code_blocks(page)), encoding="utf-8")
    env = environment(package, workspace)
    # Functions of Python keep their caches below the home folder. Threads of scikit-learn and
    # torch that wait for each other are slow where other tests run beside this one.
    env |= {"HOME": str(workspace / "home"), "OMP_NUM_THREADS": "1"}
    printed = run("-W", "error", program, cwd=workspace, env=env)
    assert printed.strip()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_python_of_a_page_imports_the_public_api_only(page: Path) -> None:
    for block in code_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                assert node.module in {"patientdx", "pathlib"}
            assert not isinstance(node, ast.Import)


def test_every_guide_has_python_and_pages_that_need_extras_exist() -> None:
    assert {page for page in GUIDES.glob("*.md") if page in PAGES} == set(GUIDES.glob("*.md"))
    assert {page_name(page) for page in PAGES} >= EXTRAS.keys()
