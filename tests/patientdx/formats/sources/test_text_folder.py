"""Patients out of a folder of text files."""

import gzip
from pathlib import Path

import pytest

from patientdx.errors import InputError
from patientdx.formats import LeftOut, SkippedRows, read_patients
from patientdx.formats.sources import text_folder


def test_each_file_is_a_note_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "p10.txt").write_text("A 30-year-old woman\nwith a cough.")
    (tmp_path / "p1.TXT").write_bytes("\N{BOM}Méniere".encode())
    (tmp_path / "p2.note.txt.gz").write_bytes(gzip.compress(b"fever"))
    (tmp_path / ".hidden.txt").write_text("x")
    (tmp_path / "readme.md").write_text("x")
    (tmp_path / "more.txt").mkdir()
    left_out = LeftOut()
    notes = list(read_patients(tmp_path, left_out=left_out))
    assert [note.document_id for note in notes] == ["p1", "p10", "p2.note"]
    assert [note.text for note in notes] == [
        "Méniere", "A 30-year-old woman\nwith a cough.", "fever",
    ]  # fmt: skip
    assert (notes[1].age_years, notes[1].sex) == (30.0, "F")
    assert left_out.counts == {"files that are no .txt files": 2}


def test_a_file_that_is_no_text_is_named_or_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fever")
    (tmp_path / "b.txt").write_bytes(b"one\nM\xe9niere")
    with pytest.raises(InputError, match=r"b\.txt:2: this is not UTF-8 text"):
        list(read_patients(tmp_path))
    skip = SkippedRows()
    assert [note.document_id for note in read_patients(tmp_path, skip_bad=skip)] == ["a"]
    assert skip.count == 1


def test_a_note_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_folder, "_LARGEST", 9)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"x" * 10))
    with pytest.raises(InputError, match=r"a\.txt\.gz: a note of more than 9 characters"):
        list(read_patients(tmp_path))


def test_a_corpus_beside_text_files_comes_first(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("about these data")
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "text": "fever"}\n')
    assert [note.text for note in read_patients(tmp_path)] == ["fever"]


def test_two_files_of_one_id(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fever")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"cough"))
    with pytest.raises(InputError, match="id `a` appeared on line 1 already"):
        list(read_patients(tmp_path))
