"""Plots of differences by query: what they show, and that the same figures give the same bytes."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from paths import ROOT, SUPPORT
from small_evaluations import evaluation, made

from evaluator import Evaluation, plot_differences
from patientdx import capabilities
from patientdx.errors import EvaluationError, ExtraMissingError, PatientDxError

WIN, LOSS = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
FEW = {
    "bm25": evaluation([0.1, 0.2, 0.3, 0.4, 0.5]),
    "rm3": evaluation([0.2, 0.4, 0.3, 0.1, 0.7]),
}


@pytest.fixture
def mpl() -> Any:
    reason = "matplotlib comes with the extra `report`, which CI does not install"
    return pytest.importorskip("matplotlib", reason=reason)


def texts(path: Path) -> list[str]:
    """Every piece of text of an SVG."""
    result = ET.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(item.itertext()) for item in result]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pixels(path: Path, colour: tuple[int, int, int]) -> int:
    from matplotlib.image import imread

    image = (imread(path)[:, :, :3] * 255).round().astype(int)
    return int(np.all(image == colour, axis=2).sum())


def test_a_panel_says_what_is_compared(mpl: Any, tmp_path: Path) -> None:
    plot_differences(FEW, "nDCG@10", [tmp_path / "a.svg"])
    result = texts(tmp_path / "a.svg")
    for said in (
        "rm3 against bm25",
        "n = 5: wins 3, ties 1, losses 1",
        "difference in nDCG@10",
        "queries, sorted by difference",
        "mean +0.0400",
    ):
        assert said in result


def test_there_is_a_panel_for_every_other_system(mpl: Any, tmp_path: Path) -> None:
    four = {**made(), "again": made(seed=3)["rrf"]}
    plot_differences(four, "AP", [tmp_path / "a.svg"], baseline="rm3")
    result = [text for text in texts(tmp_path / "a.svg") if "against" in text]
    assert result == ["bm25 against rm3", "rrf against rm3", "again against rm3"]


def test_wins_and_losses_have_their_colours_and_sizes(mpl: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    zeros, ones = evaluation([0.0] * 4), evaluation([1.0] * 4)
    plot_differences({"bm25": zeros, "better": ones}, "nDCG@10", [path])
    assert pixels(path, WIN) > 1000
    assert pixels(path, LOSS) == 0
    plot_differences({"bm25": ones, "worse": zeros}, "nDCG@10", [path])
    assert pixels(path, WIN) == 0
    assert pixels(path, LOSS) > 1000
    # Three wins of 0.2 and one loss of 0.2: three times the area, but for lines drawn over it.
    mixed = {"bm25": evaluation([0.5] * 4), "mixed": evaluation([0.7, 0.3, 0.7, 0.7])}
    plot_differences(mixed, "nDCG@10", [path])
    assert pixels(path, WIN) / pixels(path, LOSS) == pytest.approx(3, rel=0.1)


def test_png_and_svg_are_drawn_at_once(mpl: Any, tmp_path: Path) -> None:
    plot_differences(FEW, "nDCG@10", [tmp_path / "a.PNG", str(tmp_path / "b.svg")])
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ET.parse(tmp_path / "b.svg").getroot().tag.endswith("svg")
    assert listed(tmp_path) == ["a.PNG", "b.svg"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_figures_give_the_same_bytes(mpl: Any, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
    plot_differences(FEW, "nDCG@10", [first])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 20, "svg.hashsalt": "other"}):
        plot_differences(FEW, "nDCG@10", [second])
        assert mpl.rcParams["font.size"] == 20
    assert first.read_bytes() == second.read_bytes()
    assert b"date" not in first.read_bytes()
    assert mpl.__version__.encode() not in first.read_bytes()


def test_another_process_gives_the_same_bytes(mpl: Any, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from evaluator import plot_differences; from small_evaluations import evaluation\n"
        "few = {'bm25': evaluation([0.1, 0.2, 0.3, 0.4, 0.5]),\n"
        "       'rm3': evaluation([0.2, 0.4, 0.3, 0.1, 0.7])}\n"
        "plot_differences(few, 'nDCG@10', [sys.argv[3]])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    other, own = tmp_path / "other.svg", tmp_path / "own.svg"
    subprocess.run([sys.executable, "-c", code, SUPPORT, ROOT, other], check=True)
    plot_differences(FEW, "nDCG@10", [own])
    assert other.read_bytes() == own.read_bytes()


@pytest.mark.parametrize("name", ["cost $x_1$ & <b>", "two\nlines", "x" * 200, "rrf(a,b)"])
def test_any_name_can_be_drawn(mpl: Any, tmp_path: Path, name: str) -> None:
    plot_differences({"bm25": FEW["bm25"], name: FEW["rm3"]}, "nDCG@10", [tmp_path / "a.svg"])
    whole = "".join(texts(tmp_path / "a.svg"))
    assert name.replace("\n", " ") in whole.replace("&amp;", "&")


def test_where_nothing_differs_there_is_still_a_plot(mpl: Any, tmp_path: Path) -> None:
    plot_differences({"a": FEW["bm25"], "b": FEW["bm25"]}, "nDCG@10", [tmp_path / "a.svg"])
    assert "n = 5: wins 0, ties 5, losses 0" in texts(tmp_path / "a.svg")


def test_a_plot_that_fails_leaves_the_old_one(
    mpl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    def fail(_: Figure, out: Any, **__: object) -> None:
        out.write(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(PatientDxError, match="cannot be written"):
        plot_differences(FEW, "nDCG@10", [path])
    assert path.read_bytes() == b"old"
    assert listed(tmp_path) == ["a.png"]


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError, match="matplotlib") as caught:
        plot_differences(FEW, "nDCG@10", [tmp_path / "a.png"])
    assert "report" in (caught.value.hint or "")
    assert listed(tmp_path) == []


@pytest.mark.parametrize("name", ["a.pdf", "png", "a.svg.txt"])
def test_other_formats_are_refused_before_anything_is_drawn(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvaluationError, match="png or svg"):
        plot_differences(FEW, "nDCG@10", [tmp_path / "a.png", tmp_path / name])
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("systems", "measure", "message"),
    [
        ({"bm25": FEW["bm25"]}, "nDCG@10", "second system"),
        ({}, "nDCG@10", "no system"),
        (FEW, "AP", "was not computed"),
        ({**FEW, "x": evaluation([0.1])}, "nDCG@10", "same queries"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(
    tmp_path: Path, systems: dict[str, Evaluation], measure: str, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        plot_differences(systems, measure, [tmp_path / "a.png"])
