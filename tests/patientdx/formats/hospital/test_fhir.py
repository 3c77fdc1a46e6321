"""Patients out of FHIR R4: NDJSON, Bundles, folders; drafts, references and hostile attachments."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_fhir as fhir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import InputError, PatientDxError
from patientdx.formats import LeftOut, SkippedRows, read_patients
from patientdx.formats.hospital import fhir_references, fhir_text
from patientdx.formats.hospital.fhir_resources import is_fhir
from patientdx.records import Patient

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes resources as the lines of a file."""

    def write(*resources: Any, name: str = "x") -> Path:
        path = tmp_path / name
        path.write_text(fhir.ndjson(*resources), "utf-8")
        return path

    return write


def texts(source: Path, left_out: LeftOut | None = None) -> dict[str, str]:
    return {note.document_id: note.text for note in read_patients(source, left_out=left_out)}


def test_the_case_of_the_issue(make: Make) -> None:
    note = "52-year-old woman with cirrhosis and ascites."
    (patient,) = read_patients(make(fhir.document("doc-1", "p1", fhir.attachment(note))))
    assert (patient.patient_id, patient.note_id, patient.text) == ("p1", "doc-1", note)
    assert (patient.date, patient.age_years, patient.sex) == ("2024-03-01T10:00:00Z", 52.0, "F")
    assert patient.metadata["note_type_code"] == "18842-5"


def test_a_folder_joins_patients_binaries_and_files(tmp_path: Path) -> None:
    left_out = LeftOut()
    notes = {
        note.note_id: note
        for note in read_patients(fhir.write_export(tmp_path / "export"), left_out=left_out)
    }
    assert {key: (note.patient_id, note.text) for key, note in notes.items()} == {
        "Composition/c1": ("p3", "Complaint\nFever & cough\nfor days\nPlan"),
        "DiagnosticReport/r1": ("p3", "No pneumonia."),
        "d1": ("p1", "Cirrhosis with ascites."),
        "d2": ("p1", "Gout of the toe"),
        "d3": ("p2", "A fractured wrist."),
    }
    assert notes["d1"].sex == "F"
    # From 2 March 2023 to 2 March 2024 are 366 days, of which 365 have passed.
    assert notes["d1"].age_years == pytest.approx(52 + 365 / 366)
    assert (notes["d3"].age_years, notes["d3"].sex, notes["d3"].derived) == (None, "M", ())
    assert notes["Composition/c1"].sex is None
    assert notes["DiagnosticReport/r1"].date == "2024-05"
    assert notes["Composition/c1"].metadata["note_type"] == "History and physical"
    assert left_out.counts == {
        "drafts of notes": 1,
        "notes entered in error": 1,
        "attachments of the type application/pdf": 1,
    }


def _resources(bundle: dict[str, Any]) -> list[Any]:
    return [entry["resource"] for entry in bundle["entry"]]


FORMS: dict[str, Callable[[dict[str, Any]], str]] = {
    "one line": json.dumps,
    "indented": lambda bundle: json.dumps(bundle, indent=2),
    "type last": lambda bundle: json.dumps(dict(reversed(bundle.items())), indent=1),
    "two": lambda bundle: "\n".join(
        json.dumps(bundle | {"entry": part}) for part in (bundle["entry"][:1], bundle["entry"][1:])
    ),
    "within": lambda bundle: json.dumps(fhir.bundle(bundle)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bundles(tmp_path: Path, form: str, pack: Callable[[bytes], bytes]) -> None:
    document = fhir.document("d1", "p1", fhir.attachment("fever"))
    # By the address in the Bundle; the patient comes after the note.
    document["subject"] = {"reference": "urn:uuid:p1"}
    bundle = fhir.bundle(document, fhir.patient("p1", "male", "2024-02-01"), {"resourceType": "X"})
    path = tmp_path / "bundle"
    path.write_bytes(pack(FORMS[form](bundle).encode()))
    left_out = LeftOut()
    (note,) = read_patients(path, left_out=left_out)
    assert (note.patient_id, note.note_id, note.sex, note.text) == ("p1", "d1", "M", "fever")
    assert note.age_years == pytest.approx(29 / 366)
    assert left_out.counts == {"resources that are no notes (X)": 1}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_resources(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "list"
    notes = [fhir.document("d1", "p1", fhir.attachment("fever")), fhir.patient("p1", "male")]
    path.write_text(json.dumps(notes, indent=indent))
    (note,) = read_patients(path)
    assert (note.patient_id, note.sex) == ("p1", "M")


def test_large_bundles_are_read_entry_by_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patientdx.formats.rows._LARGEST", 2_000)
    documents = [fhir.document(f"d{i}", "p", fhir.attachment("x" * 300)) for i in range(40)]
    path = tmp_path / "bundle"
    for indent in (None, 1):
        path.write_text(json.dumps(fhir.bundle(*documents), indent=indent))
        assert len(texts(path)) == 40


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = fhir.ndjson(fhir.document("d1", "p1", fhir.attachment("fever")), fhir.patient("p1"), 5)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data.encode())))
    notes = read_patients("-")
    assert next(notes).text == "fever"
    with pytest.raises(InputError, match=r"^stdin:3: this is no FHIR resource"):
        next(notes)


def test_only_objects_with_a_type_of_their_own_are_fhir() -> None:
    assert is_fhir(' {"id": {"a": [1]}, "resourceType" : "Patient"}')
    assert is_fhir('[{"resourceType":"Patient"}]')
    assert not is_fhir('{"_id": "1", "text": "\\"resourceType\\": \\"Patient\\""}')
    assert not is_fhir('{"_id": "1", "raw": {"resourceType": "Patient"}}')
    assert not is_fhir('{"_id": "1"}\n{"resourceType": "Patient"}')
    assert not is_fhir('{"kind": "resourceType", "text": "x"}')
    assert not is_fhir("id,text\n")


@pytest.mark.parametrize(
    ("reference", "patient_id"),
    [
        ("Patient/p1", "p1"),
        ("https://ehr.example/fhir/Patient/p1", "p1"),
        ("Patient/p1/_history/3", "p1"),
        ("urn:uuid:6f1e", "6f1e"),
        ("Group/g1", None),
        ("#contained", None),
        (None, None),
        (5, None),
    ],
)
def test_subjects(make: Make, reference: Any, patient_id: str | None) -> None:
    document = fhir.document("d", "", fhir.attachment("x"), subject={"reference": reference})
    left_out = LeftOut()
    patient_ids = [note.patient_id for note in read_patients(make(document), left_out=left_out)]
    assert patient_ids == ([] if patient_id is None else [patient_id])
    assert sum(left_out.counts.values()) == (patient_id is None)


def test_the_best_form_of_a_document_is_taken(make: Make) -> None:
    pdf = fhir.attachment("%PDF", "application/pdf")
    html = fhir.attachment("<style>p {}</style><p>a&nbsp;&lt;b&gt;<td>c", "text/HTML; charset=utf8")
    plain = fhir.attachment("Ménière", "text/plain;charset=ISO-8859-1", "latin-1")
    bare = fhir.attachment("no type", None)
    assert texts(make(fhir.document("d", "p", pdf, html, plain))) == {"d": "Ménière"}
    assert texts(make(fhir.document("d", "p", pdf, html))) == {"d": "a <b> c"}
    assert texts(make(fhir.document("d", "p", pdf, bare))) == {"d": "no type"}
    left_out = LeftOut()
    rtf = fhir.attachment("{\\rtf", "application/rtf")
    empty = fhir.document("e", "p", fhir.attachment(" "))
    without = fhir.document("n", "p")
    assert texts(make(fhir.document("d", "p", rtf, pdf), empty, without), left_out) == {}
    assert left_out.counts == {
        "attachments of the type application/rtf": 1,
        "notes without text": 2,
    }


@pytest.mark.parametrize(
    ("resource", "status", "reason"),
    [
        ("DocumentReference", "superseded", "notes that others supersede"),
        ("DiagnosticReport", "partial", "drafts of notes"),
        ("DiagnosticReport", "cancelled", "cancelled reports"),
        ("Composition", "preliminary", "drafts of notes"),
        ("Composition", "entered-in-error", "notes entered in error"),
    ],
)
def test_each_status_that_is_left_out(make: Make, resource: str, status: str, reason: str) -> None:
    value = fhir.document("d", "p", fhir.attachment("x"), status=status, resourceType=resource)
    left_out = LeftOut()
    assert texts(make(value), left_out) == {}
    assert left_out.counts == {reason: 1}


def test_a_report_has_its_form_and_what_the_form_lacks(make: Make) -> None:
    report = fhir.document("r", "p", resourceType="DiagnosticReport", status="final")
    form = {"presentedForm": [fhir.attachment("Lungs clear.")["attachment"]]}
    assert texts(make(report | form | {"conclusion": "No pneumonia."})) == {
        "DiagnosticReport/r": "Lungs clear.\nNo pneumonia."
    }
    assert texts(make(report | form | {"conclusion": "clear."})) == {
        "DiagnosticReport/r": "Lungs clear."
    }


@pytest.mark.parametrize(
    "url",
    [
        "../secret.txt", "notes/../../secret.txt", "%2e%2e/secret.txt", "/etc/passwd",
        "file:///etc/passwd", "http://127.0.0.1/secret.txt", "//host/secret.txt", "link.txt",
        "folder/secret.txt", "\0", "notes", "missing.txt", "Binary/none", "a" * 5000, "http://[",
    ],
)  # fmt: skip
def test_urls_never_lead_outside_of_the_folder(tmp_path: Path, url: str) -> None:
    (tmp_path / "secret.txt").write_text("Zaphodine")
    folder = tmp_path / "export"
    (folder / "notes").mkdir(parents=True)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "d.ndjson").write_text(
        fhir.ndjson(fhir.document("d", "p", {"attachment": {"url": url}}))
    )
    left_out = LeftOut()
    assert texts(folder, left_out) == {}
    assert left_out.counts == {"attachments by a url that leads outside of the source": 1}


def test_a_single_file_opens_no_other(tmp_path: Path) -> None:
    folder = fhir.write_export(tmp_path / "export")
    left_out = LeftOut()
    assert set(texts(folder / "DocumentReference.ndjson", left_out)) == {"d1"}
    assert left_out.counts["attachments by a url that leads outside of the source"] == 2


BAD = [
    ({"data": "!!!!"}, "is no base64"),
    ({"data": "YWJ"}, "is no base64"),
    ({"data": 5}, "is no text"),
    ({"data": fhir.packed("x" * 4000)}, "has more than"),
    ({"data": fhir.packed("é", "latin-1"), "contentType": "text/plain"}, "not in its encoding"),
    ({"data": fhir.packed("é"), "contentType": "text/plain; charset=zip"}, "unknown charset"),
    ({"data": fhir.packed("a\0b"), "contentType": "text/plain"}, "holds binary data"),
    ({"url": "Binary/huge"}, "has more than"),
    ({"url": "huge.txt"}, "has more than"),
]


@pytest.mark.parametrize(("attachment", "problem"), BAD)
def test_defective_attachments_are_named_or_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attachment: Any, problem: str
) -> None:
    for module in (fhir_text, fhir_references):
        monkeypatch.setattr(module, "MOST_BYTES", 3000)
    good = fhir.document("g", "p", fhir.attachment("fever"))
    huge = {"resourceType": "Binary", "id": "huge", "data": fhir.packed("x" * 4000)}
    bad = fhir.document("b", "p", {"attachment": attachment})
    (tmp_path / "n.ndjson").write_text(fhir.ndjson(good, bad, huge, good | {"id": "h"}))
    (tmp_path / "huge.txt").write_text("x" * 3001)
    with pytest.raises(InputError, match=r"n\.ndjson:2: .*" + problem) as caught:
        texts(tmp_path)
    skip = SkippedRows()
    assert [note.note_id for note in read_patients(tmp_path, skip_bad=skip)] == ["g", "h"]
    assert skip.messages == [caught.value.message]


def test_lines_that_are_no_resources(make: Make) -> None:
    path = make(fhir.document("g", "p", fhir.attachment("fever")), {"a": 1}, name="n.ndjson")
    with path.open("a") as opened:
        opened.write('{oops\n[[[\n{"resourceType": "Bundle", "entry": [{"request": {}}, 7]}\n')
    skip = SkippedRows()
    assert [note.note_id for note in read_patients(path, skip_bad=skip)] == ["g"]
    assert [message.rpartition(": ")[2] for message in skip.messages] == [
        "this is no FHIR resource", "malformed JSON", "malformed JSON", "this is no FHIR resource",
    ]  # fmt: skip


def test_notes_of_one_id_in_two_files(tmp_path: Path) -> None:
    for name in ("a.ndjson", "b.ndjson"):
        note = fhir.document("d", "p", fhir.attachment(name))
        (tmp_path / name).write_text(fhir.ndjson(note))
    with pytest.raises(InputError, match=r"b\.ndjson:1: id `d` appeared on line 1 already"):
        texts(tmp_path)


def test_deep_sections_do_not_exhaust_the_stack(make: Make) -> None:
    section: dict[str, Any] = {"title": "deepest"}
    for _ in range(300):
        section = {"section": [section]}
    value = {"resourceType": "Composition", "id": "c", "subject": {"reference": "Patient/p"}}
    assert texts(make(value | section)) == {"Composition/c": "deepest"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=8,
)
KEYS = [
    *("id", "status", "docStatus", "type", "code", "subject", "date", "context", "content"),
    *("section", "presentedForm", "conclusion", "text", "gender", "birthDate", "data"),
    *("contentType", "effectivePeriod", "encounter", "entry", "reference", "attachment", "url"),
]
KINDS = ["DocumentReference", "Composition", "DiagnosticReport", "Patient", "Binary", "Bundle"]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    skips=st.booleans(),
)
def test_any_values_give_patients_or_a_sentence(
    tmp_path: Path, kind: str, changes: dict[str, Any], skips: bool
) -> None:
    base = fhir.document("d", "p", fhir.attachment("fever"), conclusion="x", resourceType=kind)
    path = tmp_path / "f"
    path.write_text(fhir.ndjson(base | changes, fhir.patient("p", "female", "1970")), "utf-8")
    try:
        patients = list(read_patients(path, skip_bad=SkippedRows() if skips else None))
        fine = all(isinstance(note, Patient) and note.text.strip() for note in patients)
    except PatientDxError as error:
        fine = error.message.startswith(str(path))
    assert fine


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.binary(max_size=100) | st.text('[]{}",:\\ entry\n1', max_size=60).map(str.encode),
    prefix=st.sampled_from(
        [
            b'{"resourceType":"Bundle"',
            b'{"resourceType":"Bundle","entry":[',
            b'{"resourceType":"Patient"}\n',
            b'[{"resourceType":"X"},',
            b'{\n"resourceType":"DocumentReference",',
        ]
    ),
    skips=st.booleans(),
)
def test_any_bytes_give_patients_or_a_sentence(
    tmp_path: Path, data: bytes, prefix: bytes, skips: bool
) -> None:
    path = tmp_path / "f"
    path.write_bytes(prefix + data)
    try:
        fine = list(read_patients(path, skip_bad=SkippedRows() if skips else None)) == []
    except PatientDxError as error:
        fine = error.message.startswith(str(path))
    assert fine
