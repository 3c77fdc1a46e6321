"""The search for λ from Python: the same results as `tune-merge`, and nothing printed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="needs the extra mortality")
pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

from command_line import patientdx
from live_merges import siblings
from made_stays import write_stays
from recording_monitor import RecordingMonitor

from evaluator.selection import Candidate
from patientdx.errors import EvaluationError, PatientDxError, UsageError
from patientdx.settings import Settings, default_settings
from workflows.lambda_search import (
    LambdaSearch,
    MergeTuner,
    ModelSet,
    RetentionMeasure,
    StaySource,
    TextSource,
    tune_merge,
)
from workflows.merges import merge, verify_merge

TEXTS = (
    "the patient has a fever",
    "the note of a patient, the pain",
    "pain in the chest of the patient with a fever",
    "a patient with a note",
    "chills, fever and the pain of a patient",
    "in the note the chest of a patient has pain",
)
QUICK = LambdaSearch(step=0.5, resamples=20)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [str(path) for path in siblings(folder, 3, dtype="float32")]


@pytest.fixture
def pair(models: list[str]) -> ModelSet:
    return ModelSet.from_models(models[:2])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS), encoding="utf-8")
    return path


@pytest.fixture
def stays(tmp_path: Path) -> Path:
    write_stays(tmp_path / "cohort.parquet", 24)
    return tmp_path / "cohort.parquet"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(default_settings(), cache=tmp_path / "cache")


def command(*args: object, cache: Path) -> Any:
    outcome = patientdx("tune-merge", *args, env={"PATIENTDX_CACHE": str(cache)})
    assert outcome.code == 0, outcome.err
    return outcome.json


def test_python_and_the_command_line_choose_alike(
    pair: ModelSet,
    texts: Path,
    settings: Settings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monitor = RecordingMonitor()
    source = TextSource.read(texts)
    tuning = tune_merge(pair, source, QUICK, settings=settings, monitor=monitor)
    assert capsys.readouterr() == ("", "")
    (notice,) = monitor.notices
    assert notice.startswith(f"{pair.name} (slerp): λ = ")
    assert {f"{pair.name}: λ = {weight}" for weight in ("0", "0.5", "1")} <= monitor.steps.keys()
    assert set(monitor.steps.values()) == {len(TEXTS)}

    args = (*pair.models, "--text", texts, "--step", 0.5, "--resamples", 20)
    printed = command(*args, "--json", cache=tmp_path / "other")
    assert json.loads(tuning.render("json")) == printed
    (selection,) = tuning.selections.values()
    assert tuning.choice.candidate == selection.chosen
    assert tuning.choice.recipe.parameters == {"t": selection.chosen.weight}


def test_the_chosen_merge_is_published_and_recorded(
    pair: ModelSet, texts: Path, settings: Settings, tmp_path: Path
) -> None:
    monitor = RecordingMonitor()
    tuner = MergeTuner(TextSource.read(texts), QUICK, settings, monitor=monitor)
    tuning = tuner.tune([pair])
    into = tmp_path / "best"
    tuner.publish(tuning.choice, into)
    assert monitor.notices[-1] == f"written to {into}"
    warning = tuning.choice.warning
    assert warning is not None  # six texts show no difference
    assert monitor.warnings == [warning]
    assert "merging (MB)" in monitor.steps
    assert verify_merge(into, settings=settings).different == ()
    card = (into / "README.md").read_text(encoding="utf-8")
    assert f"Note: Warning: {warning}" in card
    record = json.loads(card.split("record of the choice: `")[1].split("`")[0])
    assert record == json.loads(json.dumps(tuning.choice.record))
    merge(tuning.choice.recipe, tmp_path / "again", settings=settings)
    weights = "model.safetensors"
    assert (into / weights).read_bytes() == (tmp_path / "again" / weights).read_bytes()


def test_curves_and_plots_are_written_on_request(
    pair: ModelSet, texts: Path, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    tuning = tune_merge(pair, TextSource.read(texts), QUICK, settings=settings)
    tuning.write_curve(tmp_path / "curve.csv")
    tuning.plot([tmp_path / "curve.svg"])
    assert len((tmp_path / "curve.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3
    assert (tmp_path / "curve.svg").stat().st_size > 0


def test_retention_on_texts_is_what_a_search_by_them_measures(
    pair: ModelSet, stays: Path, texts: Path, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(TEXTS[:2]), encoding="utf-8")
    measures = [RetentionMeasure.from_texts(path) for path in (texts, other)]
    source = StaySource.read(stays)
    answers = tmp_path / "answers"
    tuning = tune_merge(pair, source, QUICK, retention=measures, store=answers, settings=settings)
    (selection,) = tuning.selections.values()
    assert [curve.name for curve in selection.retention] == [
        "perplexity of texts.txt",
        "perplexity of other.txt",
    ]
    assert [proxy.name for proxy in selection.proxies] == [
        "entropy of yes/no",
        "perplexity of texts.txt",
        "perplexity of other.txt",
    ]
    assert tuning.notes["retention"] == (
        "perplexity of texts.txt (6 texts); perplexity of other.txt (2 texts)"
    )
    (by_text,) = tune_merge(
        pair, TextSource.read(texts), QUICK, settings=settings
    ).selections.values()
    expected = {point.candidate: point.estimate.value for point in by_text.curves["perplexity"]}
    measured = {point.candidate: point.estimate.value for point in selection.retention[0].points}
    assert measured == pytest.approx(expected, rel=1e-12)
    tuning.plot_pareto([tmp_path / "pareto.svg"])
    args = (*pair.models, "--cohort", stays, "--step", 0.5, "--resamples", 20, "--answers", answers)
    more = ("--retention-text", texts, "--retention-text", other, "--pareto", tmp_path / "p.png")
    printed = command(*args, *more, "--json", cache=tmp_path / "other")
    assert json.loads(tuning.render("json")) == printed
    assert (tmp_path / "p.png").stat().st_size > 0


def test_retention_that_cannot_be_measured_ends_before_the_search(
    pair: ModelSet, stays: Path, settings: Settings, tmp_path: Path
) -> None:
    long = tmp_path / "long.txt"
    long.write_text("fever " * 2000, encoding="utf-8")
    source = StaySource.read(stays)
    measure = RetentionMeasure.from_texts(long)
    monitor = RecordingMonitor()
    with pytest.raises(PatientDxError, match="too long"):
        tune_merge(pair, source, QUICK, retention=[measure], settings=settings, monitor=monitor)
    assert not monitor.steps
    with pytest.raises(UsageError, match="twice"):
        tune_merge(pair, source, QUICK, retention=[measure, measure], settings=settings)


def test_stays_choose_and_the_choice_may_be_private(
    pair: ModelSet, stays: Path, settings: Settings, tmp_path: Path
) -> None:
    source = StaySource.read(stays)
    assert len(source.instances) == 24
    assert len(StaySource.read(stays, sample=12, seed=1).instances) == 12
    tuning = tune_merge(pair, source, QUICK, settings=settings)
    args = (*pair.models, "--cohort", stays, "--step", 0.5, "--resamples", 20, "--json")
    printed = command(*args, cache=tmp_path / "other")
    assert json.loads(tuning.render("json")) == printed

    tuner = MergeTuner(source, QUICK, settings)
    choice = tuner.choose_privately(pair, "1/2")
    assert choice.record["epsilon"] == "1/2"
    assert choice.warning is None
    assert choice.candidate.weight in {0, 0.5, 1}
    texts = tmp_path / "texts"
    texts.write_text("\n\n".join(TEXTS), encoding="utf-8")
    with pytest.raises(EvaluationError, match="no bound is proven"):
        MergeTuner(TextSource.read(texts), QUICK, settings).choose_privately(pair, 1)


def test_an_ablation_searches_all_rows(
    models: list[str], texts: Path, settings: Settings, tmp_path: Path
) -> None:
    tuner = MergeTuner(TextSource.read(texts), QUICK, settings)
    tuning = tuner.tune([ModelSet.from_models(models[:2], name="pair")])
    ablation = tuner.ablate(tuning, [models[2]])
    assert len(ablation.rows) == 4
    assert all(list(row) == ["pair"] for row in ablation.rows.values())
    ablation.write([tmp_path / "table.json"])
    table = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert list(table["rows"]) == list(ablation.rows)


@pytest.mark.parametrize(
    ("names", "methods", "said"),
    [
        ("ab", ["ties"], "--method is of linear, slerp, multislerp, task_arithmetic, not `ties`"),
        ("ab", ["slerp", "slerp"], "not `slerp,slerp`"),
        ("ab", ["multislerp"], "not searched for 2 models"),
        ("abc", ["slerp"], "not searched for 3 models"),
    ],
)
def test_methods_fit_the_number_of_models(names: str, methods: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ModelSet.from_models(list(names), methods)


def test_what_a_strategy_cannot_search_is_refused_before_models_are_read(
    texts: Path, settings: Settings
) -> None:
    source = TextSource.read(texts)
    two, three = ModelSet.from_models(["a", "b"]), ModelSet.from_models(["a", "b", "c"])
    for search, sets in (
        (QUICK, [three]),
        (QUICK, [ModelSet.from_models(["a", "b"], ["slerp", "linear"])]),
        (replace(QUICK, groups=("mlp",)), [two]),
        (replace(QUICK, strategy="optuna", groups=("mlp",)), [three]),
        (replace(QUICK, strategy="annealing"), [two]),
        (QUICK, []),
        (QUICK, [two, two]),
    ):
        with pytest.raises(UsageError):
            tune_merge(sets, source, search, settings=settings)
    with pytest.raises(EvaluationError, match="7 folds of 6 texts cannot be made"):
        tune_merge(two, source, replace(QUICK, folds=7), settings=settings)
    with pytest.raises(UsageError, match="perplexity"):
        TextSource.read(texts, "auroc")


def test_a_candidate_is_a_point_of_the_live_merge_and_a_recipe() -> None:
    two, three = ModelSet.from_models(["a", "b"]), ModelSet.from_models(["a", "b", "c"])
    candidate = Candidate.at_lambda(0.3)
    assert two.point(candidate) == 0.3
    resolved = two.resolve(candidate, None)
    assert resolved.recipe.parameters == {"t": 0.3}
    assert resolved.command == "patientdx merge --method slerp --weight 0.3 a b"
    groups = Candidate.from_values({"mlp": 0.2, "rest": 0.9})
    point = two.point(groups)
    assert (point("layers.0.mlp.up"), point("layers.0.attn")) == (0.2, 0.9)
    assert two.resolve(groups, None).command == "patientdx merge mergekit_config.yml"
    weights = Candidate.from_values({"lambda2": 0.5, "lambda3": 0.2})
    assert three.point(weights) == pytest.approx((0.4, 0.4, 0.2))
    assert three.weights_of(weights) == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.2})
