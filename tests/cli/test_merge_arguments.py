"""`merge` with arguments in a wrong order, and with sizes that are none: one sentence, status 2."""

from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the extra merge")

from command_line import Outcome, digests, patientdx
from merge_inputs import make_pair

import patientdx as package
from patientdx.errors import UsageError

RECIPE = """\
models: [{model: math-model}, {model: medical-model}]
merge_method: slerp
base_model: math-model
parameters: {t: 0.4}
"""
METHOD = "--method slerp --weight 0.4"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two models and two recipes."""
    make_pair(tmp_path)
    for name in ("r.yml", "s.yaml"):
        (tmp_path / name).write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: object) -> Outcome:
    return patientdx(*args, env={"PATIENTDX_CACHE": "cache"})


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        ("r.yml X/out", "the folder to make goes behind --into", "r.yml --into X/out"),
        ("X/out r.yml", "the folder to make goes behind --into", "r.yml --into X/out"),
        ("r.yml X/out --check", "goes behind --into", "r.yml --into X/out"),
        ("r.yml s.yaml --into out", "2 recipes are named, and a merge has one", "r.yml --into out"),
        ("r.yml s.yaml", "2 recipes are named", "merge them one by one"),
        ("absent.yml X/out", "goes behind --into", "absent.yml --into X/out"),
        ("r.yml math-model --into out", "names its models, so `math-model`", "r.yml --into out"),
        ("r.yml math-model medical-model", "names its models", "r.yml --into OUT"),
        (
            f"r.yml {METHOD} --into out",
            "`r.yml` is a recipe, which has a method",
            "r.yml --into out",
        ),
        (f"r.yml math-model {METHOD}", "`slerp` has no effect beside it", "r.yml --into OUT"),
        ("r.yml --preset patientdx-7b --into out", "`patientdx-7b` has no effect", "r.yml --into"),
        (
            "r.yml --method task_arithmetic --base math-model --weight 1 --into out",
            "`task_arithmetic` has no effect beside it",
            "patientdx merge r.yml --into out",
        ),
        (
            "medical-model --method task_arithmetic --base math-model --weight 1 --into o --seed 1",
            "--seed has no effect: task_arithmetic draws nothing at random",
            "dare_ties",
        ),
        (
            "out --into r.yml",
            "--into names the folder to make, and `r.yml` is a",
            "r.yml --into out",
        ),
        (
            f"math-model medical-model out {METHOD}",
            "3 are named: the folder to make, `out`, goes behind --into",
            "math-model medical-model --into out",
        ),
        (
            "math-model medical-model --into out",
            "a recipe, --preset or --method is needed",
            f"patientdx merge {METHOD} math-model medical-model --into out",
        ),
        ("", "a recipe, --preset or --method is needed", "A B --into OUT"),
    ],
)
def test_an_order_that_means_nothing_is_explained(
    args: str, message: str, hint: str, place: Path
) -> None:
    before = digests(place)
    outcome = run("merge", *args.split())
    assert (outcome.code, outcome.out) == (2, "")
    error, remedy = (line for line in outcome.err.splitlines() if line)
    assert message in error
    assert remedy.startswith("hint: ")
    assert hint in remedy
    assert digests(place) == before


@pytest.mark.parametrize(
    "size", ["inf", "-inf", "nan", "1e300", "1e400", "0", "-1", "x", "2000000"]
)
def test_sizes_that_are_none_are_wrong_usage(size: str, place: Path) -> None:
    models = ("math-model", "medical-model", "--into", "out")
    outcome = run("merge", *METHOD.split(), *models, "--shard-size", size)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--shard-size" in outcome.err
    assert not (place / "out").exists()


@pytest.mark.parametrize("size", [0, -1, 10**15 + 1, 10**30, float("inf"), float("nan"), 0.5, "5"])
def test_sizes_are_checked_in_python_too(size: object, place: Path) -> None:
    with pytest.raises(UsageError, match="shard_size is a number of bytes"):
        package.merge("r.yml", "out", shard_size=size)  # type: ignore[arg-type]
    assert not (place / "out").exists()


def test_the_bounds_themselves_are_sizes(place: Path) -> None:
    models = ("math-model", "medical-model")
    for size, into in (("0.001", "small"), ("1e6", "large")):
        outcome = run("merge", *METHOD.split(), *models, "--into", into, "--shard-size", size)
        assert outcome.code == 0, outcome.err
        assert (place / into / "model.safetensors").exists()
