"""Faulty and oddly laid out rows: which are skipped, which raise, and what is said of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import InputError, PatientDxError
from patientdx.formats import SkippedRows, read_patients

Make = Callable[[str, str], Path]


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = {"_id": "a", "text": "He fell."}
BAD_LINES = [
    ("{oops", "malformed JSON"),
    ("[1]", "no JSON object"),
    ("[" * 100_000, "nested too deeply"),
    ("1" * 5000, "a number is too long"),
    ('{"text": "x"}', "field `_id` is missing"),
    ('{"_id": " ", "text": "x"}', "is empty"),
    ('{"_id": 1.5, "text": "x"}', "neither a string nor"),
    ('{"_id": true, "text": "x"}', "neither a string nor"),
    ('{"_id": "a\\nb", "text": "x"}', "control character"),
    ('{"_id": "b"}', "field `text` is missing"),
    ('{"_id": "b", "text": 5}', "is no text"),
    ('{"_id": "a", "text": "x"}', "appeared on line 1 already"),
]


@pytest.mark.parametrize(("line", "problem"), BAD_LINES)
def test_bad_rows_raise_or_are_counted(make: Make, line: str, problem: str) -> None:
    path = make("c.jsonl", jsonl(GOOD) + "\n" + line + "\n" + jsonl({"_id": "z", "text": "x"}))
    with pytest.raises(InputError) as caught:
        list(read_patients(path))
    assert caught.value.message.startswith(f"{path}:3: ")
    assert problem in caught.value.message
    skip = SkippedRows()
    assert [patient.patient_id for patient in read_patients(path, skip_bad=skip)] == ["a", "z"]
    assert skip.count == 1
    assert skip.messages == [caught.value.message]


def test_a_bad_first_row_is_skipped_too(make: Make) -> None:
    path = make("c.jsonl", '{"x": 1}\n' + jsonl(GOOD))
    skip = SkippedRows()
    assert [patient.patient_id for patient in read_patients(path, skip_bad=skip)] == ["a"]
    assert skip.messages == [f"{path}:1: which field is the id?"]


def test_skipped_rows_keep_the_first_messages() -> None:
    skip = SkippedRows(most_messages=2)
    for number in range(9):
        skip.add(str(number))
    assert (skip.count, skip.messages) == (9, ["0", "1"])


def test_csv_rows_of_the_wrong_length(make: Make) -> None:
    path = make("c.csv", 'id,text\n1,"two\nlines"\n\n2,x,y\n3,z\n')
    skip = SkippedRows()
    assert [patient.patient_id for patient in read_patients(path, skip_bad=skip)] == ["1", "3"]
    assert skip.messages == [f"{path}:5: 3 fields where the header names 2"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            'id,text\n1,x\n2,"open\nto the end\n',
            ":4: malformed CSV in the row that begins on line 3",
        ),
        ("id,text,id\n1,x,y\n", ":1: columns 1 and 3 have the same name"),
        ("id,text\n1,a\rb\n", ":2: malformed CSV"),
    ],
)
def test_malformed_csv_is_never_skipped(make: Make, content: str, problem: str) -> None:
    path = make("c.csv", content)
    with pytest.raises(InputError) as caught:
        list(read_patients(path, skip_bad=SkippedRows()))
    assert caught.value.message.startswith(f"{path}{problem}")


LISTS = [
    ('[\n{"_id": "a", "text": "x"}\n{"_id": "b"}]', 3, "comma"),
    ('[\n{"_id": "a", "text": "x"},\n\n{oops}]', 4, "malformed JSON list"),
    ('[\n{"_id": "a", "text": "x"},\n]', 3, "malformed JSON list"),
    ('[\n{"_id": "a", "text": "x', 2, "Unterminated"),
    ('[\n{"_id": "a", "text": "x"}', 2, "comma or the closing bracket"),
    ('[{"_id": "a", "text": "x"}]\n[]', 2, "after the closing bracket"),
    ("[", 1, "malformed JSON list"),
    ("[" * 100_000, 1, "nested too deeply"),
    ("[" + "1" * 5000 + "]", 1, "a number is too long"),
]


@pytest.mark.parametrize(("content", "line", "problem"), LISTS)
def test_malformed_lists(make: Make, content: str, line: int, problem: str) -> None:
    path = make("list.json", content)
    with pytest.raises(InputError) as caught:
        list(read_patients(path))
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert problem in caught.value.message


def test_bad_elements_of_a_list_carry_their_line(make: Make) -> None:
    path = make("list.json", '[\n5,\n{"_id": "a",\n "text": "x"},\n{"_id": "a", "text": "y"}\n]\n')
    skip = SkippedRows()
    assert [patient.text for patient in read_patients(path, skip_bad=skip)] == ["x"]
    assert skip.messages == [
        f"{path}:2: this is no JSON object",
        f"{path}:5: id `a` appeared on line 3 already",
    ]


@pytest.mark.parametrize("blank", [4, 300_000])
def test_leading_blank_lines_count(make: Make, blank: int) -> None:
    for content in ("[5]", "5\n", 'id,text\n"1,x\n'):
        name = {"[": "a.json", "5": "a.jsonl", "i": "a.csv"}[content[0]]
        path = make(name, "\n" * blank + content)
        with pytest.raises(InputError) as caught:
            list(read_patients(path))
        line = blank + (2 if name == "a.csv" else 1)
        assert caught.value.message.startswith(f"{path}:{line}: ")


def test_lists_are_read_across_buffers(make: Make) -> None:
    rows = [
        {"_id": str(number), "text": f'naïve \\ " {number} ' * (1 + number % 999)}
        for number in range(400)
    ]
    rows[200]["text"] *= 100
    path = make("list.json", json.dumps(rows, indent=1, ensure_ascii=False))
    assert path.stat().st_size > 3 * 2**18
    assert [{"_id": p.patient_id, "text": p.text} for p in read_patients(path)] == rows


def test_half_a_surrogate_pair_does_not_reach_the_text(make: Make) -> None:
    (patient,) = read_patients(make("c.jsonl", '{"_id": "a", "text": "x\\ud800y"}\n'))
    assert patient.text == "x?y"


def test_messages_never_hold_the_note(make: Make) -> None:
    secret = "Zebrafish"
    for name, content in [
        ("a.jsonl", f'{{"_id": "a", "text": "{secret}}}\n'),
        ("a.json", f'[{{"_id": "a", "text": "{secret}"'),
        ("a.csv", f'id,text\n1,"{secret}\n'),
        ("b.csv", f"id,text\n1,{secret},{secret}\n"),
    ]:
        with pytest.raises(InputError) as caught:
            list(read_patients(make(name, content)))
        assert secret not in str(caught.value)
        assert secret not in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.csv", "empty.json", "empty"])
def test_empty_files_hold_no_patients(make: Make, name: str) -> None:
    for content in ("", "\n \n", "\u00a0\n"):
        if content != "\u00a0\n" or name in {"empty.csv", "empty"}:
            assert list(read_patients(make(name, content))) == []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.binary(max_size=200) | st.text('[]{}",:\\_idtex\n\r 1-e.', max_size=60).map(str.encode),
    name=st.sampled_from(["f.json", "f.jsonl", "f.csv", "f.tsv", "f"]),
    prefix=st.sampled_from(
        [
            b"",
            b"[",
            b"{",
            b'{"_id":"1","text":"x"}\n',
            b"id,text\n",
            b"\x1f\x8b",
            b"\x28\xb5\x2f\xfd",
        ]
    ),
    skips=st.booleans(),
)
def test_any_bytes_give_patients_or_a_sentence(
    tmp_path: Path, data: bytes, name: str, prefix: bytes, skips: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(prefix + data)
    try:
        patients = list(read_patients(path, skip_bad=SkippedRows() if skips else None))
        fine = all(patient.patient_id and patient.text for patient in patients)
    except PatientDxError as error:
        fine = error.message.startswith(str(path))
    assert fine
