"""`evaluate-ir --run`: existing runs against judgements, without an index."""

import csv
import io
from pathlib import Path

import ir_measures
import pytest
from command_line import patientdx, run_successfully

from patientdx.sample import sample_folder

QRELS = sample_folder() / "qrels" / "test.tsv"
QUERIES = sample_folder() / "queries.jsonl"
MEASURES = "nDCG@10 P@5 R@50 AP"


@pytest.fixture(scope="module")
def runs(sample_index: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Runs of plain BM25 and of RM3, 100 hits a query."""
    folder = tmp_path_factory.mktemp("runs")
    plain, expanded = folder / "plain.trec", folder / "rm3.trec"
    search = ("search", "--queries", QUERIES, "--index", sample_index, "-k", 100)
    run_successfully(*search, "--write-run", plain)
    run_successfully(*search, "--expand", "rm3", "--write-run", expanded)
    return plain, expanded


def reference(run: Path) -> dict[str, float]:
    """Means by ir_measures itself."""
    names = [ir_measures.parse_measure(name) for name in MEASURES.split()]
    rows = [line.split("\t") for line in QRELS.read_text("utf-8").splitlines()[1:]]
    qrels = [ir_measures.Qrel(query, doc, int(grade)) for query, doc, grade in rows]
    hits = [
        ir_measures.ScoredDoc(query, doc, float(score))
        for query, _, doc, _, score, _ in map(str.split, run.read_text("utf-8").splitlines())
        if query != doc
    ]
    means = ir_measures.calc_aggregate(names, qrels, hits)
    return {str(measure): value for measure, value in means.items()}


def test_a_run_needs_no_index_and_gives_the_values_of_ir_measures(runs: tuple[Path, Path]) -> None:
    outcome = run_successfully(
        "evaluate-ir", "--run", runs[0], "--qrels", QRELS, "--measures", MEASURES, "--json"
    )
    row = outcome.json["rows"][0]
    values = {name: figure["value"] for name, figure in row["figures"].items()}
    assert values == pytest.approx(reference(runs[0]), abs=1e-9)
    assert outcome.json["notes"]["qrels"] == str(QRELS)


def test_measures_are_tab_separated_for_pipes(runs: tuple[Path, Path]) -> None:
    outcome = run_successfully(
        *("evaluate-ir", "--run", runs[0], "--qrels", QRELS, "--measures", MEASURES),
        *("--format", "tsv"),
    )
    values = dict(line.split("\t") for line in outcome.lines)
    assert {name: float(value) for name, value in values.items()} == pytest.approx(
        reference(runs[0]), abs=1e-6
    )


def test_several_runs_are_compared_with_the_first(runs: tuple[Path, Path]) -> None:
    outcome = run_successfully(
        "evaluate-ir", "--run", runs[0], "--run", runs[1], "--qrels", QRELS, "--json"
    )
    names = [row["system"] for row in outcome.json["rows"]]
    assert names == ["plain.trec", "rm3.trec"]
    assert outcome.json["comparisons"]
    lines = run_successfully(
        *("evaluate-ir", "--run", runs[0], "--run", runs[1], "--qrels", QRELS),
        *("--measures", "nDCG@10", "--format", "tsv"),
    ).lines
    assert [line.split("\t")[:2] for line in lines] == [
        ["plain.trec", "nDCG@10"],
        ["rm3.trec", "nDCG@10"],
    ]


def test_values_of_every_query_go_to_standard_output(runs: tuple[Path, Path]) -> None:
    outcome = run_successfully(
        *("evaluate-ir", "--run", runs[0], "--qrels", QRELS, "--measures", "nDCG@10"),
        *("--per-query", "-"),
    )
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    values = [float(row["value"]) for row in rows]
    assert sum(values) / len(values) == pytest.approx(reference(runs[0])["nDCG@10"])


def test_a_shallow_run_and_missing_queries_are_reported(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.trec"
    lines = runs[0].read_text("utf-8").splitlines(keepends=True)
    first = lines[0].split()[0]
    cut.write_text("".join(line for line in lines if line.split()[0] != first), encoding="utf-8")
    outcome = run_successfully(
        "evaluate-ir", "--run", cut, "--qrels", QRELS, "--measures", "R@1000"
    )
    assert "1 judged query not in this run: score 0" in outcome.err
    assert "at most 100 hits a query, and these measures read 1,000" in outcome.err


def test_judgements_may_come_from_a_folder(runs: tuple[Path, Path]) -> None:
    by_folder = run_successfully(
        "evaluate-ir", "--run", runs[0], "--data", sample_folder(), "--json"
    ).json
    by_file = run_successfully("evaluate-ir", "--run", runs[0], "--qrels", QRELS, "--json").json
    assert by_folder["rows"] == by_file["rows"]


def test_runs_without_judgements_or_of_one_name_are_refused(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    outcome = patientdx("evaluate-ir", "--run", runs[0])
    assert outcome.code == 2
    assert "give the judgements by --qrels FILE" in outcome.err
    other = tmp_path / runs[0].name
    other.write_bytes(runs[0].read_bytes())
    outcome = patientdx("evaluate-ir", "--run", runs[0], "--run", other, "--qrels", QRELS)
    assert outcome.code == 2
    assert "two runs have the same file name" in outcome.err
