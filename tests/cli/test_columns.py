"""Columns and values by the command line: what is named, what is understood and what is said."""

from pathlib import Path

import pytest
from command_line import Outcome, check_refusal, patientdx, run_successfully

NAMED = "id,text,Alter (Jahre),Anrede\n1,fever and chills,50,weibl\n2,fever and a rash,61,x\n"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


def built(content: str, index: Path, *options: str) -> Outcome:
    corpus = index.parent / "notes.csv"
    corpus.write_text(content, encoding="utf-8")
    return patientdx("index", "build", corpus, "--into", index, *options)


def find_ids(index: Path, *options: str) -> list[str]:
    return sorted(run_successfully("search", "fever", "-q", "--index", index, *options).lines)


def test_columns_and_values_may_be_named(index: Path) -> None:
    options = ("--age-field", "alter_jahre", "--sex-field", "anrede", "--map", "sex:x=M")
    outcome = built(NAMED, index, *options)
    assert outcome.code == 0
    assert find_ids(index, "--age", "50") == ["1"]
    assert find_ids(index, "--sex", "F") == ["1"]
    assert find_ids(index, "--sex", "M") == ["2"]
    assert outcome.err.splitlines()[:2] == [
        "columns: id `id`, note `text`, age `Alter (Jahre)`, sex `Anrede`; separated by commas",
        "of 2 patients: age of 100 % (2 from fields), sex of 100 % (2 from fields), date of none",
    ]


def test_values_that_are_not_understood_are_said(index: Path) -> None:
    outcome = built("id;note;SEX\n1;fever;0\n2;fever;0\n3;fever;Frau\n", index)
    assert outcome.err.splitlines()[:3] == [
        "columns: id `id`, note `note`, sex `SEX`; separated by semicolons",
        "of 3 patients: age of none, sex of 33 % (1 from fields), date of none",
        "values of sex not understood: `0` 2",
    ]
    assert find_ids(index, "--sex", "F") == ["3"]


def test_empty_notes_are_counted(index: Path) -> None:
    outcome = built("id,title,text\n1,,fever\n2,fever,\n3,,\n", index)
    assert "left out notes without a text: 1" in outcome.err
    assert find_ids(index) == ["1", "2"]


def test_columns_in_doubt_are_refused(index: Path) -> None:
    outcome = built("id,text,note\n1,fever,fever\n", index)
    check_refusal(outcome, f"{index.parent / 'notes.csv'}:1: which field is the note")
    assert "--text-field text or --text-field note" in outcome.err
    assert not index.exists()


def test_a_bad_map_is_refused(index: Path) -> None:
    outcome = built("id,text,sex\n1,fever,0\n", index, "--map", "sex:0")
    assert (outcome.code, outcome.out) == (2, "")
    assert "is no value=meaning" in outcome.err


def test_a_byte_order_mark_is_no_part_of_an_id(index: Path) -> None:
    assert built("id,text\nd1,fever\nd2,fever\n", index).code == 0
    outcome = patientdx("index", "delete", "-", "--index", index, stdin=b"\xef\xbb\xbfd1\r\n")
    assert outcome.code == 0
    assert find_ids(index) == ["d2"]
