"""Tasks of lm-evaluation-harness on live merges, against the harness's own backend and results."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("lm_eval", reason="needs the extra lm-eval")

from command_line import patientdx
from harness_tasks import QUESTIONS, write_task, write_tasks
from live_merges import siblings
from paths import ROOT, SHARED
from recording_monitor import RecordingMonitor

from merger.live.merged_model import MergedModel
from patientdx.errors import EvaluationError, ModelError, UsageError
from patientdx.protocols import GenerationSettings
from patientdx.settings import Settings, default_settings
from workflows.lambda_search import (
    LambdaSearch,
    LmEvalSource,
    ModelSet,
    RetentionMeasure,
    TextSource,
    tune_merge,
)
from workflows.lm_evaluation import HarnessModel, HarnessTask, TaskName
from workflows.lm_evaluation.harness_model import generation_settings
from workflows.lm_evaluation.offline import quiet_and_offline
from workflows.merge_recipes import TwoModelMerge, resolve_merge
from workflows.merges import merge

QUICK = LambdaSearch(step=0.5, resamples=20)
WEIGHT = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("models")
    return [str(path) for path in siblings(place, 2, dtype="float32")]


@pytest.fixture(scope="module")
def live(models: list[str]) -> Iterator[MergedModel]:
    model = MergedModel.from_recipe(
        resolve_merge(TwoModelMerge(models[0], models[1], WEIGHT)).recipe
    )
    yield model
    model.close()


@pytest.fixture(scope="module")
def written(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same merge as the harness's backend opens it from disk."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    into = tmp_path_factory.mktemp("written") / "merge"
    merge(TwoModelMerge(models[0], models[1], WEIGHT), into)
    return HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(into, dtype="float32"),
        tokenizer=AutoTokenizer.from_pretrained(into),
        batch_size=1,
    )


def load(name: str, folder: Path, items: int | None = None) -> HarnessTask:
    return HarnessTask.load(TaskName.parse(name), folder, items)


def requests(*arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, row, number) for number, row in enumerate(arguments)]


PAIRS = (
    ("the patient has a fever", " and chills"),
    ("the patient has a fever ", "and chills"),
    ("", "the patient has a pain"),
    ("pain", " in the chest"),
)


def test_likelihoods_are_those_of_the_harness_s_own_backend(live: Any, written: Any) -> None:
    live.remix(WEIGHT)
    ours = HarnessModel(live).loglikelihood(requests(*PAIRS))
    theirs = written.loglikelihood(requests(*PAIRS), disable_tqdm=True)
    for (logprob, greedy), (expected, expected_greedy) in zip(ours, theirs, strict=True):
        assert logprob == pytest.approx(expected, abs=1e-4)
        assert greedy == expected_greedy


def test_a_greedy_continuation_is_called_so(live: Any, written: Any) -> None:
    live.remix(WEIGHT)
    model = HarnessModel(live)
    context = "the patient has a"
    settings = {"until": [], "do_sample": False, "max_gen_toks": 3}
    (reply,) = model.generate_until(requests((context, settings)))
    pairs = requests((context, reply), (context, " chills"))
    ours = [greedy for _, greedy in model.loglikelihood(pairs)]
    theirs = [greedy for _, greedy in written.loglikelihood(pairs, disable_tqdm=True)]
    assert ours == theirs
    assert False in ours


@pytest.mark.parametrize("context", [0, 8])
def test_whole_texts_are_scored_in_windows_as_the_harness_does(
    live: Any, written: Any, context: int
) -> None:
    live.remix(WEIGHT)
    text = " ".join(question for question, _, _ in QUESTIONS)
    written._max_length = context or None
    ours = HarnessModel(live, context).loglikelihood_rolling(requests((text,), ("pain",)))
    theirs = written.loglikelihood_rolling(requests((text,), ("pain",)), disable_tqdm=True)
    written._max_length = None
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_long_contexts_lose_their_beginning_as_in_the_harness(live: Any, written: Any) -> None:
    live.remix(WEIGHT)
    written._max_length = 8
    row = ("the note of a patient with a pain in the chest and chills", " and a fever")
    (ours,) = HarnessModel(live, 8).loglikelihood(requests(row))
    (theirs,) = written.loglikelihood(requests(row), disable_tqdm=True)
    written._max_length = None
    assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
    with pytest.raises(ModelError, match="no place"):
        HarnessModel(live, 8).loglikelihood(requests(("a", " pain" * 20)))
    with pytest.raises(ModelError, match="no room"):
        HarnessModel(live, 8).generate_until(requests(("a", {"max_gen_toks": 8})))


def test_replies_are_those_of_the_harness_s_own_backend(live: Any, written: Any) -> None:
    live.remix(WEIGHT)
    settings = {"until": ["patient"], "do_sample": False, "max_gen_toks": 8}
    rows = [(question, settings) for question, _, _ in QUESTIONS]
    ours = HarnessModel(live).generate_until(requests(*rows))
    assert ours == written.generate_until(requests(*rows), disable_tqdm=True)
    assert not any("patient" in reply for reply in ours)
    assert any(ours)


@pytest.mark.parametrize(
    "name", ["choice:acc", "choice:acc_norm", "likelihood", "generation:exact_match,word",
             "generation:length,whole"],
)  # fmt: skip
def test_scores_of_a_task_are_the_harness_s_item_by_item(
    live: Any, written: Any, folder: Path, name: str
) -> None:
    """The harness evaluates the written merge by its own backend."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    live.remix(WEIGHT)
    task = load(name, folder)
    scores = task.score(HarnessModel(live), range(len(QUESTIONS)))
    with quiet_and_offline():
        results = simple_evaluate(
            written,
            tasks=[task.name],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            bootstrap_iters=0,
        )
    assert results is not None
    samples = [row for row in results["samples"][task.name] if row["filter"] == task.answer_filter]
    expected = {row["doc_id"]: float(row[task.metric]) for row in samples}
    assert scores.tolist() == [expected[number] for number in range(len(QUESTIONS))]
    total = results["results"][task.name][f"{task.metric},{task.answer_filter}"]
    assert scores.mean() == pytest.approx(total)
    assert results["higher_is_better"][task.name][task.metric] == task.higher_is_better
    alone = [float(task.score(HarnessModel(live), [number])[0]) for number in (4, 1)]
    assert alone == [scores[4], scores[1]]


def test_names_of_tasks_have_a_metric_and_a_filter() -> None:
    assert TaskName.parse("a") == ("a", None, None)
    assert TaskName.parse("a:acc") == ("a", "acc", None)
    assert TaskName.parse("a:exact_match,strict-match") == ("a", "exact_match", "strict-match")
    for wrong in ("", ":acc", "a:", "a:acc,"):
        with pytest.raises(EvaluationError, match="names no task"):
            TaskName.parse(wrong)


def test_a_task_has_keys_by_what_its_items_ask(folder: Path, tmp_path: Path) -> None:
    task = load("choice", folder)
    assert (task.title, task.higher_is_better) == ("choice acc", True)
    assert load("generation", folder).title == "generation exact_match,whole"
    assert len(set(task.keys)) == len(QUESTIONS)
    assert load("choice", folder).keys == task.keys
    few = load("choice", folder, items=3)
    assert few.keys == task.keys[:3]
    assert few.digest == task.digest != load("choice:acc_norm", folder).digest
    other = write_tasks(tmp_path)  # the same task in another place
    assert load("choice", other).digest == task.digest
    assert load("choice", other).keys == task.keys
    assert repr(task).count("fever") == 0


NO_DIRECTION = """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
metric_list:
  - {metric: !function measures.length, aggregation: mean}
"""
NOT_HERE = """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
"""


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("choice:brier_score", "no metric `brier_score`", "means are acc, acc_norm"),
        ("choice:f1", "no metric `f1`", "means are acc, acc_norm"),
        ("choice:acc,strict", "no filter `strict`", "filters are none"),
        ("silent", "does not say whether more of `length` is better", "higher_is_better"),
        ("absent", "could not be loaded", "dataset_path: json"),
        ("hub", "could not be loaded", "dataset_path: json"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    folder: Path, name: str, message: str, hint: str
) -> None:
    write_task(folder, "silent", NO_DIRECTION)
    write_task(folder, "absent", NOT_HERE)
    text = (folder / "absent.yaml").read_text(encoding="utf-8")
    (folder / "absent.yaml").write_text(text.replace("items.jsonl", "none.jsonl"), "utf-8")
    hub = text.replace("dataset_path: json", "dataset_path: nobody/nothing")
    lines = [line for line in hub.splitlines() if not line.startswith("dataset_kwargs")]
    (folder / "hub.yaml").write_text("\n".join(lines).replace("absent", "hub"), "utf-8")
    with pytest.raises(EvaluationError, match=message) as caught:
        load(name, folder)
    assert hint in (caught.value.hint or "")


def test_settings_of_generation_have_a_match_or_are_refused() -> None:
    greedy = {"until": ["x", ""], "do_sample": False, "temperature": 0.7, "top_p": 0.5}
    assert generation_settings(greedy) == GenerationSettings(256, 0.0, stop=("x",))
    sampled = {"until": "x", "do_sample": True, "temperature": 0.7, "max_gen_toks": 9}
    assert generation_settings(sampled) == GenerationSettings(9, 0.7, stop=("x",))
    with pytest.raises(ModelError, match="`top_p`"):
        generation_settings({**sampled, "top_p": 0.5})
    with pytest.raises(ModelError, match="`num_beams`"):
        generation_settings({**greedy, "num_beams": 4})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(default_settings(), cache=tmp_path / "cache")


def test_a_task_decides_in_its_own_direction_and_its_scores_are_kept(
    models: list[str], live: Any, folder: Path, settings: Settings
) -> None:
    pair = ModelSet.from_models(models)
    chosen = {}
    for name in ("generation:length", "generation:exact_match,word"):
        source = LmEvalSource.read(name, folder=folder)
        assert source.metric.lower_is_better == (name == "generation:length")
        (selection,) = tune_merge(pair, source, QUICK, settings=settings).selections.values()
        points = {
            point.candidate.weight: point.estimate.value
            for point in selection.curves[source.metric.name]
        }
        task = load(name, folder)
        for weight, value in points.items():
            live.remix(weight)
            scores = task.score(HarnessModel(live), range(len(QUESTIONS)))
            assert value == pytest.approx(scores.mean())
        best = min if source.metric.lower_is_better else max
        assert points[selection.chosen.weight] == best(points.values())
        assert selection.unit == "items"
        chosen[name] = selection
    assert len(set(chosen["generation:length"].curves["generation length,whole"])) == 3
    monitor = RecordingMonitor()
    source = LmEvalSource.read("generation:length", folder=folder)
    again = tune_merge(pair, source, QUICK, settings=settings, monitor=monitor)
    assert not monitor.steps  # every score was kept
    assert again.choice.candidate == chosen["generation:length"].chosen


def test_tasks_are_retained_beside_a_metric_from_python_and_the_command_line(
    models: list[str], folder: Path, settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(question for question, _, _ in QUESTIONS), encoding="utf-8")
    measures = [
        RetentionMeasure.from_lm_eval("choice", folder=folder, items=5),
        RetentionMeasure.from_lm_eval("generation:length", folder=folder, items=5),
    ]
    source = TextSource.read(texts)
    pair = ModelSet.from_models(models)
    tuning = tune_merge(pair, source, QUICK, retention=measures, settings=settings)
    (selection,) = tuning.selections.values()
    assert [curve.name for curve in selection.retention] == [
        "choice acc",
        "generation length,whole",
    ]
    assert [curve.lower_is_better for curve in selection.retention] == [False, True]
    outcome = patientdx(
        "tune-merge", *models, "--text", texts, "--step", 0.5, "--resamples", 20, "--json",
        "--lm-eval", "choice", "--lm-eval", "generation:length", "--lm-eval-tasks", folder,
        "--lm-eval-items", 5, "--pareto", tmp_path / "p.svg",
        env={"PATIENTDX_CACHE": str(tmp_path / "other")},
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert json.loads(tuning.render("json")) == outcome.json
    assert "Running" not in outcome.err
    assert (tmp_path / "p.svg").stat().st_size > 0


def test_a_task_decides_from_the_command_line(
    models: list[str], folder: Path, tmp_path: Path
) -> None:
    args = ("tune-merge", *models, "--metric", "lm-eval:choice:acc_norm", "--step", 0.5)
    cache = {"PATIENTDX_CACHE": str(tmp_path)}
    outcome = patientdx(*args, "--lm-eval-tasks", folder, "--resamples", 20, "--json", env=cache)
    assert outcome.code == 0, outcome.err
    (pair,) = outcome.json["pairs"].values()
    assert (pair["metric"], pair["unit"], pair["n"]) == ("choice acc_norm", "items", 7)
    texts = tmp_path / "t.txt"
    texts.write_text("a\n\nb", encoding="utf-8")
    both = patientdx(*args, "--text", texts, env=cache)
    assert both.code == 2
    assert "λ is chosen by one of" in both.err


def test_the_libraries_are_as_they_were_afterwards() -> None:
    import datasets.config
    import huggingface_hub.constants
    import lm_eval.api.task

    def state() -> list[Any]:
        return [
            huggingface_hub.constants.HF_HUB_OFFLINE,
            datasets.config.HF_DATASETS_CACHE,
            lm_eval.api.task.tqdm,
        ]

    before = state()

    def fail() -> None:
        with quiet_and_offline("elsewhere"):
            assert state()[:2] == [True, "elsewhere"]
            raise UsageError("stop")

    with pytest.raises(UsageError):
        fail()
    assert state() == before


def test_items_that_occur_twice_share_a_fold(folder: Path, tmp_path: Path) -> None:
    place = write_tasks(tmp_path)
    data = place / "items.jsonl"
    data.write_text(data.read_text(encoding="utf-8") * 2, encoding="utf-8")
    write_task(place, "plain", NOT_HERE.replace("acc", "acc"))
    instances = LmEvalSource.read("plain", folder=place).instances
    assert len(instances) == 2 * len(QUESTIONS)
    assert instances.patient_count == len(QUESTIONS)
    assert len(np.unique(instances.keys)) == len(instances)


class Scripted:
    """Answers the contexts by fixed replies."""

    def __init__(self, *replies: str) -> None:
        self.replies = replies
        self.contexts: list[str] = []

    def generate_until(self, rows: list[Any]) -> list[str]:
        self.contexts = [row.args[0] for row in rows]
        return list(self.replies)


@pytest.mark.shared
def test_the_example_of_gsm8k_counts_right_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (SHARED / "gsm8k").is_dir():
        pytest.skip("needs ../shared/data/gsm8k")
    monkeypatch.chdir(ROOT)
    place = ROOT / "docs" / "examples" / "lm-eval"
    task = load("gsm8k_local:exact_match,strict-match", place, items=3)
    lines = (SHARED / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()[:3]
    items = [json.loads(line) for line in lines]
    right = [item["answer"].split("#### ")[1] for item in items]
    model: Any = Scripted(f"So it is\n#### {right[0]}", f"It is {right[1]}.", "#### -1")
    assert task.score(model, range(3)).tolist() == [1, 0, 0]
    for context, item in zip(model.contexts, items, strict=True):
        assert context.count("Answer:") == 6
        assert context.endswith(f"Question: {item['question']}\nAnswer:")
    loose = load("gsm8k_local:exact_match,flexible-extract", place, items=3)
    assert loose.score(model, range(3)).tolist() == [1, 1, 0]
