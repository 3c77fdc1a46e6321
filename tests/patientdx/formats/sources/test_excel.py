"""Patients out of Excel workbooks."""

import datetime
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import ExtraMissingError, InputError, PatientDxError
from patientdx.formats import LeftOut, SkippedRows, read_patients
from patientdx.formats.sources import excel
from patientdx.records import Patient

openpyxl: Any = pytest.importorskip("openpyxl", reason="the extra `excel` is not installed")
pytest.importorskip("defusedxml", reason="the extra `excel` is not installed")

HEADER = ("id", "text", "age", "sex", "seen")


def write(path: Path, *sheets: Sequence[Sequence[Any]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for number, rows in enumerate(sheets):
        sheet = workbook.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return path


def change_part(path: Path, part: str, change: Callable[[str], str]) -> None:
    """Changes the text of one file within a workbook."""
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts[part].decode()).encode()
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def test_the_rows_of_the_first_sheet(tmp_path: Path) -> None:
    seen = datetime.datetime.fromisoformat("2180-05-07T10:30:00")
    rows = [
        (),
        HEADER,
        (1, "a cough\nand a fever", 61.5, "F", seen),
        (),
        ("two", "b", None, None, None),
    ]
    path = write(tmp_path / "notes", rows, [("other", "sheet")])
    left_out = LeftOut()
    first, second = read_patients(path, left_out=left_out)
    assert first == Patient(
        "1", "a cough\nand a fever", age_years=61.5, sex="F",
        metadata=first.metadata, date=first.date,
    )  # fmt: skip
    assert "2180-05-07T10:30:00" in (first.date, first.metadata.get("seen"))
    assert (second.patient_id, second.text, second.age_years) == ("two", "b", None)
    assert left_out.counts == {"sheets after the first of the workbook": 1}


def test_bad_rows_are_named_by_their_number_in_the_sheet(tmp_path: Path) -> None:
    rows = [HEADER, ("a", "x"), (), (None, "x"), ("c", "x", 1, "F", None, "beside"), ("d", "x")]
    path = write(tmp_path / "n.xlsx", rows)
    with pytest.raises(InputError, match=r"n\.xlsx:4: field `id` is missing"):
        list(read_patients(path))
    skip = SkippedRows()
    assert [patient.patient_id for patient in read_patients(path, skip_bad=skip)] == ["a", "d"]
    assert [message.partition(": ")[0][-1] for message in skip.messages] == ["4", "5"]


def test_columns_without_a_name_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "n.xlsx", [(None, "id", "text"), (0, "a", "x")])
    left_out = LeftOut()
    (patient,) = read_patients(path, left_out=left_out)
    assert (patient.patient_id, patient.metadata) == ("a", {})
    assert left_out.counts == {"columns without a name": 1}


def test_columns_of_one_name_and_empty_sheets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x:2: columns 2 and 3 have the same name"):
        list(read_patients(write(tmp_path / "x", [(), ("id", "text", "text"), ("a", "b", "c")])))
    with pytest.raises(InputError, match="the first sheet is empty"):
        list(read_patients(write(tmp_path / "x", [])))


def test_a_wrong_dimension_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x"), ("b", "y")])
    change_part(
        path,
        "xl/worksheets/sheet1.xml",
        lambda xml: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1:A1"', xml),
    )
    assert [patient.text for patient in read_patients(path)] == ["x", "y"]


def test_a_row_far_below_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "_MOST_ROWS", 1000)
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x"), ("b", "y")])
    change_part(
        path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace('<row r="3"', '<row r="2000000"')
    )
    with pytest.raises(InputError, match="more rows than Excel allows"):
        list(read_patients(path))


def test_shared_texts_are_read_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x")])
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with ZipFile(path, "a") as archive:
        archive.writestr(
            "xl/sharedStrings.xml", f'<sst xmlns="{namespace}"><si><t>fever</t></si></sst>'
        )
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    change_part(path, "[Content_Types].xml", lambda xml: xml.replace("</Types>", override))
    cell = re.compile(r'<c r="B2"[^>]*>.*?</c>')
    shared = '<c r="B2" t="s"><v>0</v></c>'
    change_part(path, "xl/worksheets/sheet1.xml", lambda xml: cell.sub(shared, xml))
    assert [patient.text for patient in read_patients(path)] == ["fever"]
    monkeypatch.setattr(excel, "_MOST_SHARED", 20)
    with pytest.raises(InputError, match=r"unpacks to \d+ MB"):
        list(read_patients(path))


def test_entities_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x")])
    bomb = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY c "&a;&a;&a;&a;">]>'
    part = "xl/worksheets/sheet1.xml"
    change_part(path, part, lambda xml: bomb + re.sub(r"^<\?xml[^>]*>", "", xml))
    with pytest.raises(InputError, match="damaged"):
        list(read_patients(path))


def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x")])
    change_part(path, "xl/worksheets/sheet1.xml", lambda xml: xml + " " * (excel._SMALL + 1))
    with pytest.raises(InputError, match=r"unpacks to \d+ MB") as caught:
        list(read_patients(path))
    assert "CSV" in (caught.value.hint or "")


def test_without_the_extra_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x")])
    monkeypatch.setattr("patientdx.capabilities.find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError) as caught:
        list(read_patients(path))
    assert "patientdx[excel]" in (caught.value.hint or "")


def test_other_zip_archives_are_named_as_such(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "z.xlsx", "w") as archive:
        archive.writestr("notes.txt", "x")
    with pytest.raises(InputError, match="zip archive"):
        list(read_patients(tmp_path / "z.xlsx"))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    part=st.sampled_from(["xl/worksheets/sheet1.xml", "xl/styles.xml", "xl/workbook.xml"]),
    place=st.floats(0, 1),
    text=st.sampled_from(["", "<", ">", "99999999999", '"', "<row/>", "<c r='ZZZZ1'/>", "\0"]),
)
def test_damaged_workbooks_give_patients_or_a_sentence(
    tmp_path: Path, part: str, place: float, text: str
) -> None:
    path = write(tmp_path / "n.xlsx", [("id", "text"), ("a", "x"), ("b", "y")])

    def damage(xml: str) -> str:
        at = int(place * len(xml))
        return xml[:at] + text + xml[at + 4 :]

    change_part(path, part, damage)
    try:
        patients = read_patients(path, skip_bad=SkippedRows())
        fine = all(patient.patient_id and patient.text for patient in patients)
    except PatientDxError as error:
        fine = error.message.startswith(str(path))
    assert fine
