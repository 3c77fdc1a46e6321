"""`tune-ir`, the settings it writes, and what uses them."""

import json
import math
from pathlib import Path

import pytest
from command_line import NOTE, patientdx, run_successfully

from patientdx.sample import sample_folder

SAMPLE = sample_folder()
JUDGED = ("--queries", SAMPLE / "queries.jsonl", "--qrels", SAMPLE / "qrels" / "test.tsv")


@pytest.fixture
def tuned(sample_index: Path, tmp_path: Path) -> Path:
    into = tmp_path / "tuned.json"
    grid = ("--grid", "k1=0.9,2", "--grid", "b=0.4,0.75", "--grid", "rm3.terms=10,20")
    options = ("--system", "rrf(bm25,rm3)", "--grid", "rrf_k=60,5", *grid)
    outcome = run_successfully(
        "tune-ir", "--index", sample_index, *JUDGED, *options, "--into", into
    )
    assert f"written to {into}" in outcome.err
    return into


def means(index: Path, *args: object) -> dict[str, float]:
    measured = run_successfully("evaluate-ir", "--index", index, *JUDGED, *args, "--json").json
    return {row["system"]: row["figures"]["nDCG@10"]["value"] for row in measured["rows"]}


def test_the_best_of_the_grid_is_chosen(sample_index: Path, tuned: Path) -> None:
    written = json.loads(tuned.read_text())
    assert written["measure"] == "nDCG@10"
    assert len(written["candidates"]) == 2 * 2 * 2 * 3 * 2  # weights of a fusion: three by default
    best = max(candidate["mean"] for candidate in written["candidates"])
    assert written["candidates"][written["chosen"]]["mean"] == pytest.approx(best, abs=1e-12)
    assert written["settings"]["system"] == "rrf(bm25,rm3)"
    for position in (0, written["chosen"], -1):
        candidate = written["candidates"][position]["settings"]
        weight = float(candidate["weights"].split(":")[1])
        fused = "rrf(bm25,rm3)" if weight == 1 else f"rrf(bm25,{weight:g}*rm3)"
        if candidate["rm3.terms"] != 10:
            continue  # no option of evaluate-ir sets it
        k = ("--k1", candidate["k1"], "--b", candidate["b"], "--rrf-k", candidate["rrf_k"])
        expected = means(sample_index, "--system", fused, *k)[fused]
        assert math.isclose(written["candidates"][position]["mean"], expected, rel_tol=1e-12)


def test_the_file_says_what_evaluation_then_measures(sample_index: Path, tuned: Path) -> None:
    written = json.loads(tuned.read_text())
    outcome = run_successfully(
        "evaluate-ir", "--index", sample_index, *JUDGED, "--settings", tuned, "--json"
    )
    (row,) = outcome.json["rows"]
    assert row["system"].endswith(" [tuned]")
    assert row["figures"]["nDCG@10"]["value"] == pytest.approx(written["mean"], abs=1e-12)
    message = "tuned.json: tuned on these judgements, so its figures flatter it"
    assert message in outcome.err
    assert outcome.json["notes"]["tuning"] == message


def test_other_judgements_are_no_cause_for_a_warning(
    sample_index: Path, tuned: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.tsv"
    lines = (SAMPLE / "queries.jsonl").read_text().splitlines()[:3]
    ids = [json.loads(line)["_id"] for line in lines]
    other.write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"{doc_id}\tdemo-001\t1\n" for doc_id in ids)
    )
    options = ("--queries", SAMPLE / "queries.jsonl", "--qrels", other)
    outcome = run_successfully(
        "evaluate-ir", "--index", sample_index, *options, "--settings", tuned, "--json"
    )
    assert "flatter" not in outcome.err
    assert "tuning" not in outcome.json["notes"]


def test_tuned_and_default_are_compared_on_values_out_of_fold(sample_index: Path) -> None:
    table = run_successfully(
        "tune-ir", "--index", sample_index, *JUDGED, "--system", "bm25", "--seed", 3, "--json"
    ).json
    default, tuned = table["rows"]
    assert [default["system"], tuned["system"]] == ["bm25, default", "bm25, tuned"]
    own = means(sample_index)["bm25"]
    assert default["figures"]["nDCG@10"]["value"] == pytest.approx(own, abs=1e-12)
    (difference,) = table["comparisons"]
    assert difference["difference"]["value"] == pytest.approx(
        tuned["figures"]["nDCG@10"]["value"] - own, abs=1e-9
    )
    assert "24 candidates" in table["notes"]["of"]
    assert "seed 3" in table["notes"]["tuned"]


def test_searches_use_the_settings(sample_index: Path, tuned: Path, tmp_path: Path) -> None:
    content = json.loads(tuned.read_text())
    chosen = content["settings"]
    options = ("search", NOTE, "--index", sample_index, "--json")
    result = run_successfully(*options, "--settings", tuned).json
    weight = float(chosen["weights"].split(":")[1])
    part = "rm3" if weight == 1 else f"{weight:g}*rm3"
    assert result["system"] == f"rrf(bm25,{part})"
    low = run_successfully(*options, "--settings", tuned, "--k1", "0", "--b", "0").json
    assert low["system"] == result["system"]
    assert low["hits"] != result["hits"]
    similar = run_successfully(
        "similar", "demo-001", "--index", sample_index, "--settings", tuned, "--json"
    )
    assert similar.json["system"] == result["system"]
    run = tmp_path / "run.trec"
    many = ("search", "--queries", SAMPLE / "queries.jsonl", "--write-run", run, "-k", 5)
    run_successfully(*many, "--index", sample_index, "--settings", tuned)
    assert f"patientdx-rrf(bm25,{part})" in run.read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("args", "message", "code"),
    [
        (("--data", SAMPLE, "--split", "test"), "tuning does not look at the test split", 2),
        (("--data", SAMPLE), "there are no judgements of a split `dev`", 1),
        ((*JUDGED, "--system", "nothing"), "unknown system", 2),
        ((*JUDGED, "--grid", "k1"), "--grid is NAME=VALUE,VALUE, not `k1`", 2),
        ((*JUDGED, "--grid", "rm3.terms=5"), "has no setting `rm3.terms`", 2),
        ((*JUDGED, "--grid", "k1=-1"), "k1 must lie between", 1),
        ((*JUDGED, "--grid", "k1=x"), "`k1` is a number, not `x`", 2),
        ((*JUDGED, "--folds", "1000"), "40 queries or groups for 1000 folds", 1),
        ((*JUDGED, "--format", "pdf"), "`pdf` is not a format of tables", 2),
        ((*JUDGED, "--measures", "good"), "good", 1),
    ],
)
def test_what_cannot_be_tuned(
    sample_index: Path, tmp_path: Path, args: tuple[object, ...], message: str, code: int
) -> None:
    into = tmp_path / "tuned.json"
    outcome = patientdx("tune-ir", "--index", sample_index, *args, "--into", into)
    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert outcome.out == ""
    assert not into.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "this is not JSON"),
        ('{"format": "other"}', "this is no file of tuned settings"),
    ],
)
def test_files_that_hold_no_settings(
    sample_index: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    for command in (("search", NOTE), ("evaluate-ir", *JUDGED)):
        outcome = patientdx(*command, "--index", sample_index, "--settings", path)
        assert outcome.code == 1
        assert message in outcome.err


def test_settings_name_the_system_themselves(sample_index: Path, tuned: Path) -> None:
    outcome = patientdx(
        "search", NOTE, "--index", sample_index, "--settings", tuned, "--expand", "rm3"
    )
    assert (outcome.code, outcome.out) == (2, "")
    assert "--settings names the system itself" in outcome.err
