"""The options of `search` and `similar`: who passes a filter, and values that cannot be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import NOTE, hits, patientdx, run_successfully, sample, scored

ROWS = sample("corpus.jsonl")

Passes = Callable[[dict[str, Any]], bool]
FILTERS: list[tuple[tuple[str, ...], Passes]] = [
    (("--sex", "F"), lambda row: row["sex"] == "F"),
    (("--sex", "male"), lambda row: row["sex"] == "M"),
    (("--age", "60-80"), lambda row: row["age"] is not None and 60 <= int(row["age"]) <= 80),
    (("--age", "60-"), lambda row: row["age"] is not None and int(row["age"]) >= 60),
    (("--age", "-2"), lambda row: row["age"] is not None and int(row["age"]) <= 2),
    (("--age=-2",), lambda row: row["age"] is not None and int(row["age"]) <= 2),
    (("--age", "44-44"), lambda row: row["age"] is not None and int(row["age"]) == 44),
    (("--age", "44"), lambda row: row["age"] is not None and int(row["age"]) == 44),
    (("--where", "specialty=neurology"), lambda row: row["specialty"] == "neurology"),
    (("--where", "specialty=neurology", "--where", "specialty=surgery"), lambda _: False),
    (
        ("--sex", "F", "--age", "20-70", "--where", "specialty=infectious disease"),
        lambda row: (
            row["sex"] == "F"
            and 20 <= row["age"] <= 70
            and row["specialty"] == "infectious disease"
        ),
    ),
]


@pytest.mark.parametrize(("options", "passes"), FILTERS)
@pytest.mark.parametrize("command", [("search", NOTE), ("similar", "demo-001")])
def test_filters_leave_who_passes_in_the_same_order(
    options: tuple[str, ...], passes: Passes, command: tuple[str, str], sample_index: Path
) -> None:
    everyone = hits(*command, "--index", sample_index, "-k", 999)
    rows_by_id = {row["_id"]: row for row in ROWS}
    expected = [pair for pair in scored(everyone) if passes(rows_by_id[pair[0]])]
    assert len(expected) < len(everyone)
    if len(options) < 4 or "--sex" in options:
        assert expected, "a filter that nobody passes shows nothing"
    assert scored(hits(*command, "--index", sample_index, "-k", 999, *options)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sex", "x"), "--sex must be F or M, not `x`"),
        (("--age", "old"), "--age must be like 60-80, 60-, -2 or 44, not `old`"),
        (("--age", "80-60"), "--age must be like"),
        (("--age", "-"), "--age must be like"),
        (("--age", "nan"), "--age must be like"),
        (("--age", "inf-"), "--age must be like"),
        (("--age", "1-2-3"), "--age must be like"),
        (("--age", "1e1"), "--age must be like"),
        (("--age", "٤٤"), "--age must be like"),
        (("--where", "neurology"), "--where must be FIELD=VALUE, not `neurology`"),
        (("--where", "town=Bree"), "no note has a field `town`"),
        (("--k1", "-1"), "k1 must lie between 0 and 1000"),
        (("--k1", "nan"), "k1 must lie between 0 and 1000"),
        (("--b", "1.5"), "b must lie between 0 and 1"),
        (("--write-run", "out.trec"), "--write-run has no effect here"),
        (("--file", "note.txt"), "give the note as TEXT or with --file"),
        (("--queries", "q.jsonl"), "--queries goes without TEXT and --file"),
    ],
)
def test_values_that_cannot_be_used(
    options: tuple[str, ...], message: str, sample_index: Path
) -> None:
    outcome = patientdx("search", "fever", "--index", sample_index, *options)
    # What the index or BM25 refuses is a failure, what cannot be understood is wrong usage.
    code = 1 if message.startswith(("no note", "k1", "b must")) else 2
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    "args",
    [
        ("search", "fever", "-k", "0"),
        ("search", "fever", "-k", "many"),
        ("search", "fever", "--nonsense"),
        ("search", "two", "words"),
        ("similar",),
        ("serach", "fever"),
        ("index",),
        ("index", "build", "notes.jsonl"),
        (),
    ],
)
def test_wrong_usage_exits_with_2(args: tuple[str, ...]) -> None:
    outcome = patientdx(*args)
    assert outcome.code == 2
    assert "Usage: " in outcome.out + outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("value", "code"), [("2", 0), ("0", 1), ("two", 1), ("", 0)])
def test_the_number_of_threads_is_a_variable(value: str, code: int, sample_index: Path) -> None:
    outcome = patientdx(
        "search", NOTE, "-q", "--index", sample_index, env={"PATIENTDX_THREADS": value}
    )
    assert outcome.code == code
    if code:
        assert "PATIENTDX_THREADS must be a whole number above zero" in outcome.err
    else:
        assert (
            outcome.lines == run_successfully("search", NOTE, "-q", "--index", sample_index).lines
        )
