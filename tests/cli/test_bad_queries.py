"""Queries, judgements and outputs that cannot be used: one sentence, a hint, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import check_refusal, digests, hits, patientdx, run_successfully, scored
from exact_run import Collection
from oracle import tokens_by
from paths import ROOT

from patientdx.sample import sample_folder

QUERY = b'{"_id": "q-1", "text": "Zaphodine fever"}\n'
QRELS = b"query-id\tcorpus-id\tscore\nq-1\tdemo-001\t1\n"

BAD_QUERIES: list[tuple[bytes, str]] = [
    (QUERY + b'{"_id": "q-2", "text": "Zaph', ":2: malformed JSON"),
    (QUERY + QUERY, ":2: query `q-1` appeared on line 1 already"),
    (QUERY + b'{"_id": "q-2"}\n', ":2: field `text` is missing"),
    (QUERY + b'{"_id": "q-2", "text": 7}\n', ":2: field `text` is no text"),
    (QUERY + b"[7]\n", ":2: this is no JSON object"),
    (b"q-1\tZaphodine\tfever\n", ":1: 3 columns where a query has 2"),
    (b"Zaphodine fever\n", ":1: 1 column where a query has 2"),
    (b"q-1\t \n", ": no query in it has a text"),
    (b'<t><topic number="1">Zaphodine</t>', ":1: malformed XML"),
    (b'<!DOCTYPE t [<!ENTITY z "Zaphodine">]><t><topic number="1">&z;</topic></t>', ":1: entities"),
    (b"<t><topic>Zaphodine</topic></t>", ":1: a topic without a number"),
    (b"<t>\n<c>Zaphodine</c></t>", ":1: there are no topics in it"),
    (b"<top>\n<title> Zaphodine\n</top>", ":1: a topic without a number"),
    (b'qid,query\nq-1,"Zaphodine', ":2: malformed CSV"),
    (b"qid,query\nq-1,Zaphodine,fever\n", ":2: 3 columns where the header has 2"),
    (b'{"_id": "q-1", "words": "Zaphodine", "more": ""}', ":1: field `text` is missing"),
    (b"\0\0\0\0", ":1: this is binary data, not text"),
    ("q-1\tZaphodine caf\u00e9\n".encode("latin-1"), ":1: this is not UTF-8 text"),
    (b"", ": there are no queries in it"),
    (b"\n \n", ": there are no queries in it"),
]
BAD_QRELS: list[tuple[bytes, str]] = [
    (QRELS + b"q-1\tdemo-001\t0\n", ":3: `demo-001` was judged for query `q-1` already"),
    (QRELS + b"q-2\tdemo-001\n", ":3: 2 columns instead of 3"),
    (QRELS + b"q-2\tdemo-001\tyes\n", ":3: the relevance in the last column is no whole number"),
    (QRELS + b"q-2\t\t1\n", ":3: an empty id"),
    (b"\0", ":1: this is binary data, not text"),
    (b"q-1 0 demo-001\xe9 1\n", ":1: this is not UTF-8 text"),
]


@pytest.mark.parametrize(("data", "message"), BAD_QUERIES)
def test_bad_queries_are_named(
    data: bytes, message: str, sample_index: Path, tmp_path: Path
) -> None:
    bad, qrels, run = tmp_path / "queries", tmp_path / "qrels", tmp_path / "out.trec"
    bad.write_bytes(data)
    qrels.write_bytes(QRELS)
    before = digests(tmp_path)
    search = ("search", "--queries", bad, "--index", sample_index, "--write-run", run)
    check_refusal(patientdx(*search), f"{bad}{message}")
    if "no queries" not in message:
        measure = ("evaluate-ir", "--index", sample_index, "--qrels", qrels, "--queries", bad)
        check_refusal(patientdx(*measure, "--write-run", run), f"{bad}{message}")
    assert digests(tmp_path) == before


@pytest.mark.parametrize(("data", "message"), BAD_QRELS)
def test_bad_judgements_are_named(
    data: bytes, message: str, sample_index: Path, tmp_path: Path
) -> None:
    queries, bad = tmp_path / "queries", tmp_path / "qrels"
    queries.write_bytes(QUERY)
    bad.write_bytes(data)
    before = digests(tmp_path)
    command = ("evaluate-ir", "--index", sample_index, "--qrels", bad, "--queries", queries)
    check_refusal(patientdx(*command, "--write-run", tmp_path / "out.trec"), f"{bad}{message}")
    assert digests(tmp_path) == before


@pytest.mark.parametrize("words", [("",), (" \n",), ("-",), ("--file", "-"), ("--file", "{empty}")])
def test_an_empty_query_is_reported(
    words: tuple[str, ...], sample_index: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_bytes(b"\n")
    arguments = [arg.format(empty=tmp_path / "empty") for arg in words]
    check_refusal(patientdx("search", *arguments, "--index", sample_index), "the query is empty")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"Zaphodine\0", ":1: this is binary data"), (b"Zaphodine\n\xe9", ":2: this is not UTF-8")],
)
def test_a_note_that_is_no_text_is_named(
    data: bytes, message: str, sample_index: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "note.txt"
    bad.write_bytes(data)
    check_refusal(patientdx("search", "--file", bad, "--index", sample_index), f"{bad}{message}")
    outcome = patientdx("search", "-", "--index", sample_index, stdin=data)
    check_refusal(outcome, f"stdin{message}")


@pytest.mark.parametrize("missing", ["nothing", "x" * 300, "."])
def test_files_that_are_not_there_are_named(
    missing: str, sample_index: Path, tmp_path: Path
) -> None:
    bad = tmp_path / missing
    index = ("--index", sample_index)
    check_refusal(patientdx("search", "--file", bad, *index), f"{bad}: ")
    check_refusal(patientdx("search", "--queries", bad, *index), f"{bad}: ")
    check_refusal(patientdx("evaluate-ir", "--data", bad, *index), f"{bad}: ")
    qrels = ("--queries", sample_folder() / "queries.jsonl", "--qrels", bad)
    check_refusal(patientdx("evaluate-ir", *index, *qrels), f"{bad}: ")
    split = ("--data", sample_folder(), "--split", missing)
    check_refusal(patientdx("evaluate-ir", *index, *split), f"{sample_folder()}: there are no judg")


def test_a_query_of_twenty_thousand_words_is_answered(sample_index: Path, tmp_path: Path) -> None:
    texts = [row["text"] for row in hits("search", "woman man", "--index", sample_index, "-k", 249)]
    note = tmp_path / "note.txt"
    words = " ".join(texts * 20).split()[:20_000]
    assert len(words) == 20_000
    note.write_text(" ".join(words), encoding="utf-8")
    ranking = scored(hits("search", "--file", note, "--index", sample_index, "-k", 25))
    brute = Collection.of(sample_folder(), tokens_by("english", "english"), 0.9, 0.4)
    assert ranking == brute.ranking(" ".join(words))[:25]
    assert run_successfully("search", "--file", note, "--index", sample_index).lines


@pytest.mark.parametrize("bad", ["no/folder/out.trec", ".", "x" * 300])
@pytest.mark.parametrize("command", ["search", "evaluate-ir"])
def test_outputs_that_cannot_be_written_are_named(
    command: str, bad: str, sample_index: Path, tmp_path: Path
) -> None:
    out = tmp_path / bad
    options: dict[str, tuple[object, ...]] = {
        "search": ("--queries", sample_folder() / "queries.jsonl", "-k", 1, "--write-run", out),
        "evaluate-ir": ("--data", sample_folder(), "--per-query", out),
    }
    check_refusal(patientdx(command, *options[command], "--index", sample_index), f"{out}: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["search", "evaluate-ir"])
def test_a_full_disk_is_reported(command: str, sample_index: Path) -> None:
    options = {
        "search": ("--queries", sample_folder() / "queries.jsonl", "--write-run", "/dev/full"),
        "evaluate-ir": ("--data", sample_folder(), "--write-run", "/dev/full"),
    }
    outcome = patientdx(command, *options[command], "--index", sample_index)
    check_refusal(outcome, "/dev/full: cannot be written: No space left on device")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "command",
    [
        ("search", "fever and a murmur"),
        ("search", "fever", "--json"),
        ("search", "--queries", str(sample_folder() / "queries.jsonl")),
        ("evaluate-ir", "--data", str(sample_folder())),
    ],
)
def test_a_full_standard_output_gives_no_traceback(
    command: tuple[str, ...], sample_index: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        outcome = subprocess.run(
            [sys.executable, "cli.py", *command, "--index", str(sample_index)],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "default"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert "error: " in outcome.stderr
    assert "No space left on device" in outcome.stderr
