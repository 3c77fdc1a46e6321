"""`evaluate-ir`: figures equal to those of an independent BM25, in every form."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from command_line import patientdx, run_successfully, sample
from exact_run import Collection, beir_qrels, beir_rows
from oracle import tokens_by
from paths import SHARED

from patientdx.formats import read_run
from patientdx.sample import sample_folder

QRELS = sample_folder() / "qrels" / "test.tsv"
QUERIES = sample_folder() / "queries.jsonl"
SETTINGS = {
    "default": ((), ("english", "english"), (0.9, 0.4)),
    "plain": (
        ("--stopwords", "none", "--stemmer", "none", "--k1", "1.2", "--b", "0.75"),
        ("none", "none"),
        (1.2, 0.75),
    ),
}


def corpora() -> list[object]:
    shared = [
        pytest.param(
            SHARED / name,
            "dev",
            id=name,
            marks=[
                pytest.mark.shared,
                pytest.mark.slow,
                pytest.mark.skipif(not (SHARED / name).exists(), reason="needs ../shared/data"),
            ],
        )
        for name in ("phenopackets", "pmc_plus_e3c", "nfcorpus")
    ]
    return [pytest.param(sample_folder(), "test", id="sample"), *shared]


@pytest.mark.parametrize("chosen", list(SETTINGS))
@pytest.mark.parametrize(("folder", "split"), corpora())
def test_figures_are_those_of_an_independent_bm25(
    folder: Path, split: str, chosen: str, tmp_path: Path
) -> None:
    options, analysis, (k1, b) = SETTINGS[chosen]
    index = tmp_path / "index"
    run_successfully("index", "build", folder, "--into", index, *options)
    outcome = run_successfully(
        "evaluate-ir", "--index", index, "--data", folder, "--split", split, "--json"
    )
    row = outcome.json["rows"][0]
    judged = beir_qrels(folder / "qrels" / f"{split}.tsv")
    expected = Collection.of(folder, tokens_by(*analysis), k1, b).means(
        beir_rows(folder / "queries.jsonl"), judged
    )
    assert {name: figure["value"] for name, figure in row["figures"].items()} == pytest.approx(
        expected, abs=1e-9
    )
    assert 0 < expected["nDCG@10"] < 1
    assert row["n"] == len(judged)
    for figure in row["figures"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_k1_and_b_may_be_tried_without_building_again(sample_index: Path, tmp_path: Path) -> None:
    command = ("evaluate-ir", "--data", sample_folder(), "--json", "--index")
    other = tmp_path / "other"
    run_successfully(
        "index", "build", sample_folder(), "--into", other, "--k1", "1.2", "--b", "0.75"
    )
    tried = run_successfully(*command, sample_index, "--k1", "1.2", "--b", "0.75").json
    assert tried["rows"] == run_successfully(*command, other).json["rows"]
    assert tried["rows"] != run_successfully(*command, sample_index).json["rows"]
    assert "k1 1.2, b 0.75" in tried["notes"]["system"]


def test_every_format_holds_the_same_figures(sample_index: Path) -> None:
    command = ("evaluate-ir", "--index", sample_index, "--data", sample_folder())
    figures = run_successfully(*command, "--format", "json").json["rows"][0]["figures"]
    cells_by_format = {}
    for form, sign in {"text": "  ", "markdown": "|", "latex": "&"}.items():
        outcome = run_successfully(*command, "--format", form)
        assert outcome.err == ""
        line = next(line for line in outcome.lines if line.strip("| ").startswith("bm25 "))
        cells = line.replace("{[}", "[").strip("| \\").split(sign)
        cells_by_format[form] = [cell.strip() for cell in cells if cell.strip()]
        assert "percentile bootstrap" in outcome.out
        assert "not a medical device" in outcome.out
    expected = [f"{f['value']:.4f} [{f['low']:.4f}, {f['high']:.4f}]" for f in figures.values()]
    assert list(cells_by_format.values()) == [["bm25", "40", *expected]] * 3
    assert run_successfully(*command).out == run_successfully(*command, "--format", "text").out
    assert (
        run_successfully(*command, "--json").out
        == run_successfully(*command, "--format", "json").out
    )


def test_measures_are_chosen_by_name(sample_index: Path) -> None:
    command = ("evaluate-ir", "--index", sample_index, "--data", sample_folder(), "--json")
    table = run_successfully(*command, "--measures", "nDCG@5,P@1 AP").json
    assert table["measures"] == ["nDCG@5", "P@1", "AP"]
    assert list(table["rows"][0]["figures"]) == ["nDCG@5", "P@1", "AP"]


def test_values_of_every_query_and_the_run_are_written(sample_index: Path, tmp_path: Path) -> None:
    run, values = tmp_path / "out.trec.gz", tmp_path / "values.csv"
    command = ("evaluate-ir", "--index", sample_index, "--queries", QUERIES, "--qrels", QRELS)
    table = run_successfully(
        *command, "--json", "--write-run", run, "--per-query", values, "--depth", "1000"
    ).json
    with values.open(newline="", encoding="utf-8") as stream:
        values_by_query = list(csv.DictReader(stream))
    for name, figure in table["rows"][0]["figures"].items():
        column = {
            row["query_id"]: float(row["value"])
            for row in values_by_query
            if row["measure"] == name
        }
        assert column.keys() == {query["_id"] for query in sample("queries.jsonl")}
        assert sum(column.values()) / len(column) == pytest.approx(figure["value"])
    searched = tmp_path / "searched.trec"
    run_successfully(
        "search", "--queries", QUERIES, "--index", sample_index, "-k", 1000, "--write-run", searched
    )
    assert read_run(run) == read_run(searched)


def test_queries_without_text_or_judgement_are_reported(sample_index: Path, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "queries.tsv", tmp_path / "qrels.tsv"
    queries.write_text("a\tfever\nb\trash\nc\tcough\n", encoding="utf-8")
    qrels.write_text("a 0 demo-001 1\nz 0 demo-001 1\n", encoding="utf-8")
    command = ("evaluate-ir", "--index", sample_index, "--queries", queries, "--qrels", qrels)
    outcome = run_successfully(*command)
    assert outcome.err.splitlines() == [
        "2 queries without judgements: left out",
        "1 judged query without a text: score 0",
    ]
    assert run_successfully(*command, "--quiet").err == ""


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        ((), "give --data FOLDER, or both --queries and --qrels", "--data ReCDS --split dev"),
        (("--data", "{sample}", "--qrels", "x"), "give --data FOLDER", "--data ReCDS --split dev"),
        (("--queries", "x"), "give --data FOLDER", "--data ReCDS --split dev"),
        (("--data", "{sample}/no"), "{sample}/no: there is no such folder", "check the path"),
        (
            ("--data", "{sample}", "--split", "dev"),
            "{sample}: there are no judgements of a split `dev`",
            "splits found: test",
        ),
        (
            ("--data", "{sample}", "--measures", "niceness"),
            "`niceness` is not the name of a measure",
            "",
        ),
        (("--data", "{sample}", "--measures", ""), "no measure was named", ""),
        (
            ("--data", "{sample}", "--depth", "10"),
            "1000 hits a query are needed for these measures, not 10",
            "use a depth of 1000",
        ),
        (
            ("--data", "{sample}", "--format", "pdf"),
            "`pdf` is not a format of tables",
            "formats are text, markdown, latex, json",
        ),
    ],
)
def test_what_cannot_be_measured(
    args: tuple[str, ...], message: str, hint: str, sample_index: Path
) -> None:
    sample_path = str(sample_folder())
    arguments = [arg.replace("{sample}", sample_path) for arg in args]
    outcome = patientdx("evaluate-ir", "--index", sample_index, *arguments)
    usage = message.startswith("give --data") or "not a format" in message
    assert (outcome.code, outcome.out) == (2 if usage else 1, "")
    assert outcome.err.startswith(f"error: {message.replace('{sample}', sample_path)}")
    assert hint in outcome.err.partition("hint: ")[2]


def test_nothing_is_written_where_nothing_could_be_measured(
    sample_index: Path, tmp_path: Path
) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nother\tdemo-001\t1\n", encoding="utf-8")
    run = tmp_path / "out.trec"
    run.write_text("kept", encoding="utf-8")
    outcome = patientdx(
        *("evaluate-ir", "--index", sample_index, "--queries", QUERIES, "--qrels", qrels),
        *("--write-run", run, "--per-query", tmp_path / "values.csv", "--force"),
    )
    assert outcome.code == 1
    assert "none of the queries has a relevance judgement" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.trec", "qrels.tsv"]
    assert run.read_text(encoding="utf-8") == "kept"


def test_a_recds_folder_is_measured_in_its_own_spelling(sample_index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ReCDS"
    for path in ("PPR", "queries"):
        (folder / path).mkdir(parents=True)
    shutil.copy(QUERIES, folder / "queries" / "dev_queries.jsonl")
    shutil.copy(QRELS, folder / "PPR" / "PPR_dev_qrels.tsv")
    command = ("evaluate-ir", "--index", sample_index, "--json", "--data")
    table = run_successfully(*command, folder, "--split", "dev").json
    assert table["rows"] == run_successfully(*command, sample_folder()).json["rows"]
    assert json.dumps(table["notes"]).count("ReCDS") == 2
