"""The table of families: its script finds damage, and rows of the page hold."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")
pytest.importorskip("peft", reason="needs the extras hf and merge")

from family_checks import COLUMNS, FamilyChecks
from paths import ROOT
from tiny_families import FAMILIES, change_tensors

PAGE = ROOT / "docs" / "results" / "merging.md"


def printed_rows() -> dict[str, list[str]]:
    """The cells of the page by family."""
    lines = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {family: cells.split(" | ") for family, cells in lines}


def test_the_page_has_every_family_and_none_is_broken() -> None:
    rows = printed_rows()
    assert rows.keys() == FAMILIES.keys()
    assert {len(cells) for cells in rows.values()} == {len(COLUMNS)}
    assert not any("**" in cell for cells in rows.values() for cell in cells)


def without_shares(cells: Iterable[str]) -> list[str]:
    """Cells without how many numbers differ, which depends on the processor."""
    return [re.sub(r"^.* % differ$", "% differ", cell) for cell in cells]


@pytest.mark.parametrize("family", ["llama", "mixtral", "gpt2", "llava", "smollm3", "t5"])
def test_the_rows_of_the_page_hold(family: str, tmp_path: Path) -> None:
    row = FamilyChecks(family, tmp_path).row()
    cells = [row[column].text for column in COLUMNS]
    assert without_shares(cells) == without_shares(printed_rows()[family])
    assert not any(cell.broken for cell in row.values())


@pytest.mark.parametrize("lost", ["model.norm.weight", "model.layers.2.mlp.up_proj.weight"])
def test_a_merge_that_lost_a_tensor_is_broken(lost: str, tmp_path: Path) -> None:
    checks = FamilyChecks("llama", tmp_path)
    assert not checks.cell("loads").broken
    change_tensors(tmp_path / "slerp", lambda own: {n: t for n, t in own.items() if n != lost})
    for column in ("slerp", "loads", "live", "slerp by MergeKit"):
        assert checks.cell(column).broken, column


def test_a_merge_with_other_numbers_is_broken(tmp_path: Path) -> None:
    checks = FamilyChecks("llama", tmp_path)
    assert not checks.cell("linear").broken
    assert not checks.cell("slerp").broken
    name = "model.layers.0.mlp.down_proj.weight"
    for method in ("linear", "slerp"):
        change_tensors(tmp_path / method, lambda own: own | {name: own[name] * 1.1})
    for column in ("live", "linear by MergeKit", "slerp by MergeKit"):
        assert checks.cell(column).broken, column
    assert not checks.cell("moved layers").broken
    change_tensors(tmp_path / "stacked", lambda own: own | {name: own[name] * 1.1})
    assert checks.cell("moved layers").broken
