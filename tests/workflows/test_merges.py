"""Merging from Python: the same results as the command line, and nothing printed."""

from dataclasses import replace
from pathlib import Path

import pytest
import small_hub

pytest.importorskip("yaml", reason="needs the extra merge")

from command_line import digests, patientdx
from merge_inputs import make, make_pair
from recording_monitor import RecordingMonitor
from tiny_checkpoints import random_tensors

from merger.recipes.reader import parse_recipe
from patientdx.errors import MergeError, ModelError, UsageError
from patientdx.settings import Settings, default_settings
from workflows.merge_recipes import MergeSource, PresetMerge, TwoModelMerge, resolve_merge
from workflows.merges import check_merge, merge, verify_merge

MODELS = ("math-model", "medical-model")
PAIR = TwoModelMerge(*MODELS, weight=0.4)
RECIPE = """models: [{model: math-model}, {model: medical-model}]
merge_method: slerp
base_model: math-model
parameters: {t: 0.4}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two models and a recipe."""
    make_pair(tmp_path)
    (tmp_path / "recipe.yml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(default_settings(), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("source", "weight", "arguments"),
    [
        (PAIR, None, ("--method", "slerp", "--weight", "0.4", *MODELS)),
        (PAIR, 0.7, ("--method", "slerp", "--weight", "0.7", *MODELS)),
        (replace(PAIR, method="linear", dtype="float32"), None,
         ("--method", "linear", "--weight", "0.4", "--dtype", "float32", *MODELS)),
        (PresetMerge("patientdx-7b", MODELS), None, ("--preset", "patientdx-7b", *MODELS)),
        (PresetMerge("patientdx-7b", MODELS), 0.2,
         ("--preset", "patientdx-7b", "--weight", "0.2", *MODELS)),
        ("recipe.yml", None, ("recipe.yml",)),
        (Path("recipe.yml"), 1, ("recipe.yml", "--weight", "1")),
    ],
)  # fmt: skip
def test_python_and_the_command_line_merge_alike(
    source: MergeSource,
    weight: float | None,
    arguments: tuple[str, ...],
    place: Path,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = patientdx("merge", *arguments, "--into", "out", env={"PATIENTDX_CACHE": "cache"})
    assert outcome.code == 0, outcome.err
    expected = digests(place / "out")
    (place / "out").rename(place / "first")
    monitor = RecordingMonitor()
    result = merge(source, "out", weight=weight, settings=settings, monitor=monitor)
    assert digests(place / "out") == expected, "also the command in the card"
    assert (result.folder, result.engine) == (Path("out"), "stream")
    assert "merging (MB)" in monitor.steps
    assert capsys.readouterr() == ("", "")


def test_a_recipe_as_a_value_needs_no_file(place: Path, settings: Settings) -> None:
    merge(parse_recipe(RECIPE), "out", settings=settings)
    merge(PAIR, "pair", settings=settings)
    weights = "model.safetensors"
    assert digests(place / "out")[weights] == digests(place / "pair")[weights]
    card = (place / "out/README.md").read_text(encoding="utf-8")
    assert "patientdx merge mergekit_config.yml --into out" in card


def test_a_string_names_a_preset_or_else_a_file(place: Path) -> None:
    assert resolve_merge("patientdx-7b").command == "patientdx merge --preset patientdx-7b"
    (place / "without-suffix").write_text(RECIPE, encoding="utf-8")
    assert resolve_merge("without-suffix").recipe.method == "slerp"
    with pytest.raises(UsageError, match="there is no preset `patientdx-9b`"):
        resolve_merge("patientdx-9b")
    with pytest.raises(UsageError, match="of 2 models, and 1 are named"):
        resolve_merge(PresetMerge("patientdx-7b", ("a",)))


def test_a_resolved_merge_is_taken_as_it_is(place: Path) -> None:
    resolved = resolve_merge("recipe.yml")
    assert resolve_merge(resolved) is resolved
    assert resolve_merge(resolved, 0.1).recipe.parameters == {"t": 0.1}


def test_a_check_compares_tensors_and_writes_nothing(
    place: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(place)
    monitor = RecordingMonitor()
    check = check_merge(PAIR, "out", settings=settings, monitor=monitor)
    assert (check.engine, check.inputs) == ("stream", MODELS)
    assert check.tensors is not None
    assert check.cosines is not None
    assert len(check.tensors) == check.cosines.tensors == monitor.steps["comparing"] == 8
    printed = patientdx("merge", "recipe.yml", "--check", "--json").json
    assert printed["summary"] == check.cosines.to_dict()
    assert printed["bytes"] == check.nbytes
    dry = check_merge(PAIR, "out", compare=False, settings=settings)
    assert dry == replace(check, tensors=None, cosines=None)
    assert digests(place) == before
    assert capsys.readouterr() == ("", "")


def test_remarks_are_reported_and_returned(place: Path, settings: Settings) -> None:
    make(place / "third", random_tensors(3), rope_theta=5e5, licence="mit")
    pair = TwoModelMerge("math-model", "third", 0.5)
    with pytest.raises(MergeError, match="rope_theta"):
        merge(pair, "out", settings=settings)
    monitor = RecordingMonitor()
    result = merge(pair, "out", allow_unsound=True, settings=settings, monitor=monitor)
    assert monitor.notices == [f"note: {remark}" for remark in result.remarks]
    assert any("unsound" in notice for notice in monitor.notices)
    assert any("different free licences" in notice for notice in monitor.notices)
    check = check_merge(pair, allow_unsound=True, compare=False, settings=settings)
    assert set(check.remarks) <= set(result.remarks)


def test_a_merge_is_verified(place: Path, settings: Settings) -> None:
    merge(PAIR, "out", settings=settings)
    monitor = RecordingMonitor()
    assert verify_merge("out", settings=settings, monitor=monitor).different == ()
    assert "merging again (MB)" in monitor.steps
    (place / "out/config.json").write_text("{}", encoding="utf-8")
    assert verify_merge("out", settings=settings).different == ("config.json",)
    (place / "medical-model").rename(place / "moved")
    with pytest.raises(MergeError, match="not at"):
        verify_merge("out", settings=settings)
    verify_merge("out", models=("math-model", "moved"), settings=settings)
    with pytest.raises(UsageError, match="of 2 models, and 1 are named"):
        verify_merge("out", models=("moved",), settings=settings)


def test_models_are_fetched_where_the_settings_allow_it(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in (place / "math-model").iterdir()}
    monkeypatch.setattr(small_hub, "MODEL_FILES", files)
    monkeypatch.setenv("PATIENTDX_ALLOW_FETCH", "1")  # is for the command line
    pair = TwoModelMerge(small_hub.MODEL, "medical-model", 0.4)
    with small_hub.serving() as hub:
        with pytest.raises(ModelError, match="is not here yet"):
            merge(pair, "out", settings=settings)
        monitor = RecordingMonitor()
        allowed = replace(settings, allow_fetch=True, hub=hub)
        merge(pair, "out", settings=allowed, monitor=monitor)
    assert monitor.steps[f"fetching {small_hub.MODEL}"] > 0
