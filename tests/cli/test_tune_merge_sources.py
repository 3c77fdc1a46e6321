"""`tune-merge` by texts and by judged queries, and over several models and methods."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

from live_merges import siblings
from typer.testing import CliRunner

from cli import app
from merger.verification import verify_merge
from patientdx.sample import sample_folder

SAMPLE = sample_folder()
SECRET = "Zaphodine"
TEXTS = (
    f"the patient has a fever\nand chills {SECRET}",
    "the note of a patient, the pain",
    "pain in the chest of the patient with a fever and chills and pain in the chest",
    "a patient with a note",
    "chills, fever and the pain of a patient in the chest",
    "in the note the chest of a patient has pain",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = siblings(tmp_path_factory.mktemp("models"), 3, dtype="float32")
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return folders


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    monkeypatch.setenv("PATIENTDX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "texts.txt").write_text("\n\n".join(TEXTS))
    return ("--text", tmp_path / "texts.txt", "--resamples", 20, "--json")


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["tune-merge", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert SECRET not in result.output
    return result


def perplexity(folder: Path, some: tuple[str, ...] = TEXTS) -> float:
    """By transformers and the definition, text by text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    losses = []
    for text in some:
        ids = torch.tensor(
            [[words.bos_token_id, *words(text, add_special_tokens=False)["input_ids"]]]
        )
        with torch.no_grad():
            logprobs = torch.log_softmax(net(ids).logits[0].double(), -1)
        losses += [-float(logprobs[at, token]) for at, token in enumerate(ids[0, 1:])]
    return math.exp(sum(losses) / len(losses))


def test_texts_choose_by_perplexity(
    models: list[Path], texts: tuple[object, ...], tmp_path: Path
) -> None:
    into = ("--into", tmp_path / "best", "--curve", tmp_path / "c.csv")
    result = run(*models[:2], *texts, "--step", 0.5, *into)
    (pair,) = json.loads(result.stdout)["pairs"].values()
    assert (pair["metric"], pair["unit"], pair["n"], pair["deaths"]) == (
        *("perplexity", "texts", len(TEXTS)),
        None,
    )
    with (tmp_path / "c.csv").open() as stream:
        values = {float(row["lambda"]): float(row["value"]) for row in csv.DictReader(stream)}
    assert values[0] == pytest.approx(perplexity(models[0]), rel=1e-4)
    assert values[1] == pytest.approx(perplexity(models[1]), rel=1e-4)
    assert pair["chosen"]["lambda"] == min(values, key=lambda weight: values[weight])
    assert pair["apparent"]["value"] == pytest.approx(perplexity(tmp_path / "best"), rel=1e-4)
    assert all(0 < contrast["randomisation"]["p"] <= 1 for contrast in pair["contrasts"])
    card = (tmp_path / "best" / "README.md").read_text()
    assert "by perplexity on 6 texts" in card
    assert SECRET not in card


def test_texts_are_halved_and_drawn(
    models: list[Path], texts: tuple[object, ...], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    more = ("--strategy", "halving", "--step", 0.25, "--plot", tmp_path / "c.svg")
    (pair,) = json.loads(run(*models[:2], *texts, *more).stdout)["pairs"].values()
    assert pair["bits_leaked"] == pytest.approx(math.log2(5))
    assert "perplexity" in (tmp_path / "c.svg").read_text()


def test_a_recipe_of_three_models(
    models: list[Path], texts: tuple[object, ...], tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")
    recipe = tmp_path / "mine.yml"
    named = "".join(f"- model: {model}\n  parameters: {{weight: 1}}\n" for model in models)
    recipe.write_text(f"models:\n{named}merge_method: linear\nbase_model: {models[1]}\n")
    more = ("--strategy", "optuna", "--trials", 4, "--into", tmp_path / "best")
    result = run(recipe, *texts, *more)
    (pair,) = json.loads(result.stdout)["pairs"].values()
    (curve,) = pair["curves"].values()
    # The base comes first: it is what all weight zero of the others leaves.
    assert curve[0]["value"] == pytest.approx(perplexity(models[1]), rel=1e-4)
    assert pair["apparent"]["value"] == pytest.approx(perplexity(tmp_path / "best"), rel=1e-3)
    card = (tmp_path / "best" / "README.md").read_text()
    record = json.loads(card.split("record of the choice: `")[1].split("`")[0])
    first, *_ = record["weights"]
    assert first == models[1].name  # cards name no place on a disk
    assert sum(record["weights"].values()) == pytest.approx(1)


def test_a_search_that_was_interrupted_finds_its_scores_again(
    models: list[Path], texts: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from merger.live.merged_model import MergedModel

    first = run(*models[:2], *texts, "--step", 0.5)

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(MergedModel, "logprobs", refuse)
    assert run(*models[:2], *texts, "--step", 0.5).stdout == first.stdout
    others = ["tune-merge", *map(str, (*models[1:], *texts))]
    assert isinstance(CliRunner().invoke(app, others).exception, AssertionError)


@pytest.mark.parametrize("method", ["linear", "multislerp", "linear,multislerp"])
def test_weights_of_three_models(
    models: list[Path], texts: tuple[object, ...], tmp_path: Path, method: str
) -> None:
    pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")
    if "multislerp" in method:
        pytest.importorskip("mergekit", reason="writes multislerp")
    more = ("--strategy", "optuna", "--trials", 6, "--method", method)
    best = tmp_path / "best"
    report = json.loads(run(*models, *texts, *more, "--into", best).stdout)
    (pair,) = report["pairs"].values()
    chosen = dict(pair["chosen"])
    assert ("method" in chosen) == ("," in method)
    assert {"lambda2", "lambda3"} == chosen.keys() - {"method"}
    (curve,) = pair["curves"].values()
    alone = [curve[place]["value"] for place in range(3)]
    assert alone == pytest.approx([perplexity(model) for model in models], rel=1e-4)
    assert pair["apparent"]["value"] == pytest.approx(perplexity(best), rel=1e-3)
    assert len(pair["contrasts"]) == 4
    assert any(note.startswith("weights of") for note in report["notes"])
    run(*models, *texts, *more, "--curve", tmp_path / "c.csv", code=2)


def test_the_mix_that_is_written_is_the_one_that_was_judged_also_between_the_ends(
    models: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("mergekit", reason="writes multislerp")
    from evaluator.selection import Candidate
    from patientdx.models import ModelSettings
    from patientdx.settings import default_settings
    from workflows.lambda_search import ModelSet
    from workflows.lambda_search.live_merges import open_live_merge
    from workflows.merges import merge
    from workflows.monitor import LOG

    for method in ("linear", "multislerp"):
        model_set = ModelSet.from_models([str(model) for model in models], [method])
        candidate = Candidate.from_values({"lambda2": 0.35, "lambda3": 0.6})
        merge(model_set.resolve(candidate, "float32"), tmp_path / method)
        with open_live_merge(model_set, ModelSettings(), default_settings(), LOG) as model:
            model.remix(model_set.point(candidate), method=method)
            rows = model.logprobs([("", text) for text in TEXTS])
        flat = [value for row in rows for value in row]
        live = math.exp(-sum(flat) / len(flat))
        assert live == pytest.approx(perplexity(tmp_path / method), rel=1e-3)
        assert live != pytest.approx(perplexity(models[0]), rel=1e-2)


def test_the_method_is_an_axis_of_two_models_and_of_groups(
    models: list[Path], texts: tuple[object, ...], tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna comes with the extra `tune`")
    more = ("--strategy", "optuna", "--trials", 5, "--method", "linear,slerp")
    for groups in ((), ("--groups", "mlp")):
        into = tmp_path / f"best{len(groups)}"
        result = run(*models[:2], *texts, *more, *groups, "--into", into)
        (pair,) = json.loads(result.stdout)["pairs"].values()
        assert pair["apparent"]["value"] == pytest.approx(perplexity(into), rel=1e-3)
        recipe = (into / "mergekit_config.yml").read_text()
        assert f"merge_method: {pair['chosen']['method']}" in recipe
        assert ("filter: mlp" in recipe) == bool(groups)
        assert verify_merge(into).different == ()


def test_queries_choose_by_what_the_merge_finds(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_index: Path
) -> None:
    """The figure at λ = 0 is that of `evaluate-ir` with the first model."""
    monkeypatch.setenv("PATIENTDX_CACHE", str(tmp_path / "cache"))
    lines = (SAMPLE / "queries.jsonl").read_text().splitlines()[:6]
    (tmp_path / "q.jsonl").write_text("\n".join(lines))
    files = ("--queries", tmp_path / "q.jsonl", "--qrels", tmp_path / "qrels.tsv")
    query_ids = {json.loads(line)["_id"] for line in lines}
    header, *rows = (SAMPLE / "qrels" / "test.tsv").read_text().splitlines()
    judged = [row for row in rows if row.split("\t")[0] in query_ids]
    (tmp_path / "qrels.tsv").write_text("\n".join([header, *judged]))
    options = ("--index", sample_index, *files, "--system", "query2doc")
    more = ("--metric", "nDCG@10", "--step", 1, "--resamples", 20, "--json")
    result = run(*models[:2], *options, *more)
    (pair,) = json.loads(result.stdout)["pairs"].values()
    assert (pair["metric"], pair["unit"], pair["n"]) == ("nDCG@10", "queries", 6)
    values = {trial["candidate"]["lambda"]: trial["value"] for trial in pair["curves"]["nDCG@10"]}
    for weight, model in zip((0.0, 1.0), models, strict=False):
        there = ("--model", model, "--backend", "hf", "--measures", "nDCG@10", "--json")
        again = CliRunner().invoke(app, ["evaluate-ir", *map(str, (*options, *there))])
        assert again.exit_code == 0, again.output
        (row,) = json.loads(again.stdout)["rows"]
        assert values[weight] == pytest.approx(row["figures"]["nDCG@10"]["value"], abs=1e-9)
    secret = "58-year-old man living alone"
    assert secret not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "by one of --cohort"),
        (("--text", "{t}", "--queries", "q", "--qrels", "r"), 2, "by one of --cohort"),
        (("--text", "{t}", "--metric", "auroc"), 2, "perplexity"),
        (("--text", "{t}", "--epsilon", "1"), 1, "no bound is proven"),
        (("--text", "{t}", "--folds", "7"), 1, "7 folds of 6 texts cannot be made"),
        (("--text", "{t}", "--method", "linear,slerp"), 2, "searched by optuna"),
        (("--text", "{t}", "--method", "ties"), 2, "--method is of"),
        (("--text", "{t}", "--method", "multislerp"), 2, "not searched for 2 models"),
        (("--text", "{t}", "--pair", "x=a,b,c", "--method", "slerp"), 2, "for 3 models"),
        (("--queries", "q", "--qrels", "r", "--system", "rm3"), 2, "same at every λ"),
        (("--queries", "q", "--qrels", "r", "--metric", "auroc"), 1, "not the name of a measure"),
        (("--data", "somewhere", "--split", "test"), 2, "test split"),
        (("--text", "{t}", "--ablation", "x.pdf", "--without-math", "a"), 1, "written as .txt"),
    ],
)
def test_what_cannot_be_is_reported(
    models: list[Path], tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "t").write_text("\n\n".join(TEXTS))
    filled = [argument.format(t=tmp_path / "t") for argument in arguments]
    assert message in run(*models[:2], *filled, code=code).stderr


def test_a_text_that_is_too_long_is_named_by_its_line(models: list[Path], tmp_path: Path) -> None:
    (tmp_path / "t").write_text("\n\n".join([*TEXTS[:2], "fever " * 9000, *TEXTS[2:]]))
    result = run(*models[:2], "--text", tmp_path / "t", code=1)
    assert "t:6: the text is too long" in result.stderr
