"""The options of `search` and `similar`: who passes a filter, and values that cannot be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import NOTE, hits, patientdx, rows, run_successfully, sample, scored

from indexer.writer import build_index
from patientdx.records import Patient

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
        ("--where", "specialty=neurology,surgery"),
        lambda row: row["specialty"] in {"neurology", "surgery"},
    ),
    (("--where", "Specialty!=neurology"), lambda row: row["specialty"] != "neurology"),
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
        (("--where", "neurology"), "a condition is like FIELD=VALUE"),
        (("--where", "specialty="), "a condition is like FIELD=VALUE"),
        (("--where", "specialty>=a"), ">= compares numbers and dates, not `a`"),
        (("--where", "los=>3"), "`=>` is no comparison"),
        (("--where", "los==3"), "`==` is no comparison"),
        (("--where", "los=7..3"), "no value lies within 7..3"),
        (("--where", "los!=3..7"), "a range goes with =, not with !="),
        (("--note-type", "DS"), "no note has a field `note_type`"),
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
        ("similar", "1", "2"),
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


WARDS = rows(
    {"_id": "1", "text": "fever", "ward": "ICU", "los": 3, "note_type": "DS"},
    {"_id": "2", "text": "fever", "ward": "HDU", "los": "12.5", "note_type": "RR"},
    {"_id": "3", "text": "fever", "ward": "ICU", "los": "unknown", "charttime": "2180-05-06 21:19"},
    {"_id": "4", "text": "fever", "charttime": "2180-04-30"},
)


@pytest.fixture(scope="module")
def wards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters") / "wards"
    run_successfully("index", "build", "-", "--into", folder, stdin=WARDS)
    return folder


@pytest.mark.parametrize(
    ("options", "ids", "left_out"),
    [
        (("--where", "los>=3"), "12", "1 note whose `los` is not a number"),
        (("--where", "los>3"), "2", "1 note whose `los` is not a number"),
        (("--where", "los=3.0"), "1", ""),
        (("--where", "los!=3"), "23", ""),
        (("--where", "los=3..7"), "1", "1 note whose `los` is not a number"),
        (("--where", "ward=ICU", "--where", "los>=3"), "1", "1 note whose `los` is not a number"),
        (("--where", "ward=ICU,HDU"), "123", ""),
        (("--where", "charttime>=2180-05"), "3", ""),
        (("--where", "date>=2180-05"), "3", ""),
        (("--where", "charttime=2180"), "34", ""),
        (("--note-type", "DS"), "1", ""),
        (("--note-type", "DS,RR"), "12", ""),
    ],
)
def test_conditions_compare_numbers_dates_and_lists(
    options: tuple[str, ...], ids: str, left_out: str, wards: Path
) -> None:
    outcome = run_successfully("search", "fever", "--index", wards, "--json", *options)
    assert sorted(hit["patient_id"] for hit in outcome.json["hits"]) == list(ids)
    assert outcome.err == (f"left out {left_out}\n" if left_out else "")


def test_facets_list_values_with_their_numbers(wards: Path) -> None:
    outcome = run_successfully("index", "facets", "ward", "--index", wards)
    assert [line.split() for line in outcome.lines] == [
        ["value", "patients", "notes"],
        ["ICU", "2", "2"],
        ["HDU", "1", "1"],
    ]
    shown = run_successfully(
        *("index", "facets", "Ward", "--index", wards, "--json", "--top", 1),
        *("--where", "los>=3"),
    )
    assert shown.json["values"] == [{"value": "HDU", "patients": 1, "notes": 1}]
    assert shown.err == "1 more value: --top 2\n"
    assert patientdx("index", "facets", "town", "--index", wards).err.startswith(
        "error: no note has a field `town`"
    )


def test_an_open_ended_age_passes_a_lower_bound(tmp_path: Path) -> None:
    build_index(tmp_path / "index", [Patient("1", "fever", age_years=90.0)])
    shown = hits("search", "fever", "--index", tmp_path / "index", "--age", "80-")
    assert [hit["patient_id"] for hit in shown] == ["1"]


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("sex", "--sex F"),
        ("age", "--age 60-80"),
        ("Age_Years", "--age 60-80"),
        ("patient_id", "index info --ids"),
        ("note_id", "--by note"),
    ],
)
def test_facts_that_are_no_fields_are_refused_with_what_does_it(
    field: str, option: str, wards: Path
) -> None:
    for command in (("index", "facets", field), ("search", "fever", "--where", f"{field}=F")):
        outcome = patientdx(*command, "--index", wards)
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith(f"error: `{field}` is not among the fields of notes\n")
        assert option in outcome.err
