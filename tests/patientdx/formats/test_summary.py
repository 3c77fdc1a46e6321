"""What is said of a corpus: columns, shares, values not understood, notes left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from patientdx.errors import InputError
from patientdx.formats import CorpusSummary, LeftOut, SkippedRows, read_patients

Make = Callable[[str], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(content: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text(content, encoding="utf-8")
        return path

    return write


def test_counts_are_of_patients(make: Make) -> None:
    path = make(
        "note_id,subject_id,charttime,age,text\n"
        "a,7,2180-05-07,,Sex: F. Fever\nb,7,,50,Cough\nc,8,soon,?,A 60-year-old man\nd,9,,?,x\n"
    )
    summary = CorpusSummary()
    assert len(list(read_patients(path, summary=summary))) == 4
    facts = summary.facts()
    assert (facts["patients"], facts["notes"]) == (3, 4)
    assert facts["age"] == {"fields": 1, "words": 1}
    assert facts["sex"] == {"fields": 0, "words": 2}
    assert facts["date"] == {"fields": 1, "words": 0}
    assert facts["columns"] == {
        "id": "note_id", "patient": "subject_id", "note": "text", "age": "age", "date": "charttime",
    }  # fmt: skip
    assert facts["not_understood"] == {"age": {"?": 2}, "date": {"soon": 1}}


def test_ten_values_are_shown_and_long_ones_never(make: Make) -> None:
    rows = "".join(f"{i},x,q{i % 15:02}\n" for i in range(40))
    path = make(f"id,text,age\n{rows}90,x,Zaphodine {'Z' * 20}\n")
    summary = CorpusSummary()
    list(read_patients(path, summary=summary))
    shown = summary.facts()["not_understood"]["age"]
    assert list(shown) == [f"q{i:02}" for i in range(10)] + [""]
    assert shown["q00"] == 3
    assert sum(shown.values()) == 41


def test_empty_notes_are_left_out_and_counted(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    path = make('id,title,text\n1,,fever\n2,," \n"\n3,Cystic fibrosis,\n4,,\n')
    left_out = LeftOut()
    patients = list(read_patients(path, left_out=left_out))
    assert [patient.full_text.strip() for patient in patients] == ["fever", "Cystic fibrosis"]
    assert left_out.counts == {"notes without a text": 2}
    list(read_patients(path))
    assert "left out notes without a text: 2" in caplog.text


def test_notes_marked_as_errors_are_left_out(make: Make) -> None:
    path = make("ROW_ID,SUBJECT_ID,ISERROR,TEXT\n1,7,,Fever\n2,7,1,Of somebody else\n")
    left_out = LeftOut()
    assert [p.note_id for p in read_patients(path, left_out=left_out)] == ["1"]
    assert left_out.counts == {"notes marked as errors in `ISERROR`": 1}


def test_maps_of_columns_that_are_missing_are_refused(make: Make) -> None:
    path = make("id,text\n1,Fever\n")
    with pytest.raises(InputError, match="no field holds the sex"):
        list(read_patients(path, value_maps=["sex:0=M"]))


@pytest.mark.parametrize("other", ["H", "h", "V"])
def test_m_beside_letters_of_other_languages_is_refused(make: Make, other: str) -> None:
    path = make(f"id,text,sexo\n1,Fever,M\n2,Cough,{other}\n")
    with pytest.raises(InputError) as caught:
        list(read_patients(path))
    assert f"--map sex:M=F,{other}=M" in (caught.value.hint or "")
    patients = read_patients(path, value_maps=[f"sex:M=F,{other}=M"])
    assert [patient.sex for patient in patients] == ["F", "M"]


def test_named_fields_that_no_row_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"_id": "1", "text": "x"}\n{"_id": "2", "text": "y"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="no row has a field `Alter`"):
        list(read_patients(path, age_field="Alter"))


def test_other_notes_of_a_patient_are_never_skipped(make: Make) -> None:
    path = make("patient_id,text\n17,Day 1\n17,Day 2\n18,Cough\n")
    for skip in (None, SkippedRows()):
        with pytest.raises(InputError, match=":3: id `17` appeared on line 2 already") as caught:
            list(read_patients(path, skip_bad=skip))
        assert "--patient-field" in (caught.value.hint or "")


def test_a_row_that_is_there_twice_may_be_skipped(make: Make) -> None:
    path = make("patient_id,text\n17,Day 1\n17,Day 1\n18,Cough\n")
    skip = SkippedRows()
    assert [p.patient_id for p in read_patients(path, skip_bad=skip)] == ["17", "18"]
    assert skip.count == 1


def test_ages_of_ranges_have_both_ends(make: Make) -> None:
    path = make('id,text,age\n1,x,90+\n2,x,"44,5"\n3,A man in his 60s,\n')
    ages = [(p.age_years, p.age_until) for p in read_patients(path)]
    assert ages == [(90, 120), (44.5, None), (60, 69)]
