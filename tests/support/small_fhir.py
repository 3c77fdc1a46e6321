"""Miniature FHIR R4 exports: resources as servers write them, missing values too."""

import base64
import json
from pathlib import Path
from typing import Any


def packed(text: str, encoding: str = "utf-8") -> str:
    """A text as the `data` of an attachment."""
    return base64.b64encode(text.encode(encoding)).decode()


def attachment(text: str, kind: str | None = "text/plain", encoding: str = "utf-8") -> Any:
    """The `content` of a document in one form."""
    content = {"attachment": {"contentType": kind, "data": packed(text, encoding)}}
    return content if kind else {"attachment": {"data": packed(text, encoding)}}


def document(identifier: str, patient: str, *contents: Any, **more: Any) -> dict[str, Any]:
    """A DocumentReference, current unless `more` says otherwise."""
    return {
        "resourceType": "DocumentReference",
        "id": identifier,
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "18842-5"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "date": "2024-03-01T10:00:00Z",
        "content": list(contents),
        **more,
    }


def patient(identifier: str, gender: str | None = None, birth: str | None = None) -> dict[str, Any]:
    """A Patient; values that are None are absent."""
    values = {"gender": gender, "birthDate": birth}
    present = {name: value for name, value in values.items() if value is not None}
    return {"resourceType": "Patient", "id": identifier, **present}


def bundle(*resources: Any) -> dict[str, Any]:
    """A Bundle whose entries have addresses by UUID."""
    entries = [
        {"fullUrl": f"urn:uuid:{resource.get('id')}", "resource": resource}
        for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def ndjson(*resources: Any) -> str:
    """Resources as lines."""
    return "".join(json.dumps(resource) + "\n" for resource in resources)


def write_export(folder: Path) -> Path:
    """A bulk export: 5 notes of 3 patients, and others that are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    people = (patient("p1", "female", "1971-03-02"), patient("p2", "male"), patient("p3", "other"))
    (folder / "Patient.ndjson").write_text(ndjson(*people), "utf-8")
    binary = {
        "resourceType": "Binary",
        "id": "b1",
        "contentType": "text/html",
        "data": packed("<p>Gout of the <b>toe</b></p>"),
    }
    (folder / "Binary.ndjson").write_text(ndjson(binary), "utf-8")
    (folder / "notes").mkdir(exist_ok=True)
    (folder / "notes" / "d3.txt").write_text("A fractured wrist.", "utf-8")
    documents = (
        document("d1", "p1", attachment("Cirrhosis with ascites.")),
        document("d2", "p1", {"attachment": {"contentType": "text/html", "url": "Binary/b1"}}),
        document("d3", "p2", {"attachment": {"contentType": "text/plain", "url": "notes/d3.txt"}}),
        document("d4", "p2", attachment("Draft."), docStatus="preliminary"),
        document("d5", "p2", attachment("Wrong."), status="entered-in-error"),
        document("d6", "p2", attachment("%PDF-1.7", "application/pdf")),
    )
    (folder / "DocumentReference.ndjson").write_text(ndjson(*documents), "utf-8")
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"text": "Chest X-ray"},
        "subject": {"reference": "Patient/p3"},
        "effectiveDateTime": "2024-05",
        "conclusion": "No pneumonia.",
    }
    (folder / "DiagnosticReport.ndjson").write_text(ndjson(report), "utf-8")
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Fever &amp; cough<br/>for days</div>'
    composition = {
        "resourceType": "Composition",
        "id": "c1",
        "status": "final",
        "type": {"coding": [{"code": "34117-2", "display": "History and physical"}]},
        "subject": {"reference": "Patient/p3"},
        "date": "2024-06-01",
        "section": [{"title": "Complaint", "section": [{"text": {"div": div}}]}, {"title": "Plan"}],
    }
    (folder / "Composition.ndjson").write_text(ndjson(composition), "utf-8")
    return folder
