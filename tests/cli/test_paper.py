"""`evaluate-ir --preset paper`: the paper's experiment by a folder of weights, in NF4."""

import json
from pathlib import Path

import pytest
from command_line import patientdx

from patientdx.sample import sample_folder

SAMPLE = sample_folder()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--system", "bm25", "--model", "x"), "--preset names the systems itself"),
        (("--split", "dev", "--model", "x"), "the paper's experiment is on the test split"),
        ((), "the paper's experiment needs --model"),
    ],
)
def test_nothing_of_it_can_be_changed(
    sample_index: Path, args: tuple[object, ...], message: str
) -> None:
    command = ("evaluate-ir", "--preset", "paper", "--index", sample_index, "--data", SAMPLE)
    outcome = patientdx(*command, *args)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_it_runs_on_a_folder_of_weights(sample_index: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    tiny_models = pytest.importorskip("tiny_models")
    folder = tiny_models.save_folder(tmp_path / "tiny-8b")
    data = few_queries(tmp_path / "data", 2)
    command = ("evaluate-ir", "--preset", "paper", "--index", sample_index, "--data", data)
    cache = {"PATIENTDX_CACHE": str(tmp_path / "cache")}
    outcome = patientdx(*command, "--model", folder, "--json", env=cache)
    assert outcome.code == 0, outcome.err
    table = outcome.json
    systems = [row["system"] for row in table["rows"]]
    assert systems == ["bm25", "keywords", "rrf(bm25,keywords)"]
    assert table["rows"][0]["n"] == 2
    assert table["notes"]["model"] == f"{folder}, NF4, greedy, at most 200 new tokens"
    assert "reconstructed" in json.dumps(table)


def few_queries(folder: Path, count: int) -> Path:
    """The sample with its first queries only, as a ReCDS-like folder with a test split."""
    (folder / "qrels").mkdir(parents=True)
    lines = (SAMPLE / "queries.jsonl").read_text().splitlines()[:count]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    kept = {json.loads(line)["_id"] for line in lines}
    head, *rows = (SAMPLE / "qrels" / "test.tsv").read_text().splitlines()
    rows = [row for row in rows if row.split("\t")[0] in kept]
    (folder / "qrels" / "test.tsv").write_text("\n".join([head, *rows]) + "\n")
    return folder
