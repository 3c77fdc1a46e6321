"""Notes out of FHIR R4's DocumentReference, Composition and DiagnosticReport."""

from collections.abc import Iterator, Mapping
from typing import Any

from patientdx.formats.fields import RowProblemError
from patientdx.formats.rows import Row

from .fhir_references import References
from .fhir_resources import Resource
from .fhir_text import BadAttachmentError, NoTextError, media_type, text_of_bytes, text_of_html

_IN_ERROR, _DRAFT = "notes entered in error", "drafts of notes"
# By kind: the status of what is no note (any more), and the reason to leave it out.
_REASONS: Mapping[str, Mapping[str, str]] = {
    "DocumentReference": {
        "entered-in-error": _IN_ERROR,
        "superseded": "notes that others supersede",
        "preliminary": _DRAFT,
    },
    "Composition": {"entered-in-error": _IN_ERROR, "preliminary": _DRAFT},
    "DiagnosticReport": {
        "entered-in-error": _IN_ERROR,
        **dict.fromkeys(("registered", "partial", "preliminary"), _DRAFT),
        "cancelled": "cancelled reports",
    },
}
_REFERENCED = frozenset({"Patient", "Binary"})
_TYPES = ("text/plain", "text/html", "application/xhtml+xml", "")


class LeftOutError(ValueError):
    """A resource that is left out by FHIR's rules; the message is the reason, in the plural."""


def note_row(resource: Resource, references: References) -> Row | None:
    """The note of a resource as a row, None for a Patient or a Binary.

    Raises LeftOutError for what is no note, and RowProblemError for a note with a defect.
    """
    if resource.kind in _REFERENCED:
        return None
    value = resource.value
    if resource.kind not in _REASONS:
        kind = resource.kind if resource.kind.isalpha() and len(resource.kind) < 40 else "unknown"
        raise LeftOutError(f"resources that are no notes ({kind})")
    for status in (value.get("status"), value.get("docStatus")):
        if isinstance(status, str) and status in _REASONS[resource.kind]:
            raise LeftOutError(_REASONS[resource.kind][status])
    patient_id = references.patient_id(value.get("subject"))
    if patient_id is None:
        raise LeftOutError("notes of no patient (by their subject)")
    date = next(_dates(value), "")
    person = references.people.get(patient_id)
    return {
        "note_id": _id(resource),
        "patient_id": patient_id,
        "text": _text(resource, references),
        "date": date,
        "age": person.age_on(date) if person else None,
        "sex": person.gender if person and person.gender in {"male", "female"} else None,
        "deceased": person.deceased if person else None,
        "note_type": _concept(value.get("type") or value.get("code")),
        "note_type_code": _code(value.get("type") or value.get("code")),
        "encounter": _encounter(value),
    }


def _id(resource: Resource) -> str:
    """The id of a note: bare for DocumentReference; ids are unique within a kind only."""
    identifier = resource.value.get("id")
    if not isinstance(identifier, str) or not identifier:
        identifier = resource.address.rpartition(":")[2]
    if not identifier:
        raise RowProblemError(f"this {resource.kind} has no id")
    return identifier if resource.kind == "DocumentReference" else f"{resource.kind}/{identifier}"


def _text(resource: Resource, references: References) -> str:
    try:
        match resource.kind:
            case "DocumentReference":
                contents = _objects(resource.value.get("content"))
                attachments = [content.get("attachment") for content in contents]
                text = _attached_text(attachments, references)
            case "Composition":
                text = _text_of_sections(resource.value)
            case _:
                text = _text_of_report(resource.value, references)
    except NoTextError as error:
        raise LeftOutError(str(error)) from error
    except BadAttachmentError as error:
        raise RowProblemError(str(error)) from error
    if not text.strip():
        raise LeftOutError("notes without text")
    return text


def _attached_text(attachments: list[Any], references: References) -> str:
    """The text of the best attachment: they are forms of the same document, plain text first."""
    reasons = []
    for attachment in sorted(_objects(attachments), key=_preference):
        try:
            return text_of_bytes(*references.attachment(attachment))
        except NoTextError as error:
            reasons.append(error)
    raise reasons[0] if reasons else NoTextError("notes without text")


def _preference(attachment: dict[str, Any]) -> int:
    kind, _ = media_type(attachment.get("contentType"))
    return _TYPES.index(kind) if kind in _TYPES else len(_TYPES)


def _text_of_sections(composition: dict[str, Any]) -> str:
    """Titles and texts of all sections, those within sections after their own; else the whole's."""
    parts: list[str] = []
    waiting = _objects(composition.get("section"))[::-1]
    while waiting:
        section = waiting.pop()
        title = section.get("title")
        text = _narrative(section)
        if isinstance(title, str) and title.strip():
            parts.append(title.strip())
        if text:
            parts.append(text)
        waiting += _objects(section.get("section"))[::-1]
    return "\n".join(parts) or _narrative(composition)


def _text_of_report(report: dict[str, Any], references: References) -> str:
    """The presented form, and the conclusion where it does not hold it."""
    conclusion = report.get("conclusion")
    conclusion = conclusion.strip() if isinstance(conclusion, str) else ""
    forms = _objects(report.get("presentedForm"))
    try:
        text = _attached_text(list(forms), references)
    except NoTextError:
        if not conclusion:
            raise
        return conclusion
    return text if conclusion in text else f"{text}\n{conclusion}"


def _narrative(resource: dict[str, Any]) -> str:
    text = resource.get("text")
    html = text.get("div") if isinstance(text, dict) else None
    return text_of_html(html) if isinstance(html, str) else ""


def _dates(value: dict[str, Any]) -> Iterator[str]:
    """The dates of a note, the one that says best when it was written first."""
    context, period = value.get("context"), value.get("effectivePeriod")
    during = context.get("period") if isinstance(context, dict) else None
    dates = [
        *(value.get(name) for name in ("date", "effectiveDateTime")),
        *(span.get("start") for span in (period, during) if isinstance(span, dict)),
        value.get("issued"),
    ]
    return (date for date in dates if isinstance(date, str) and date)


def _concept(concept: Any) -> str:
    """The words of a CodeableConcept, else its code."""
    if not isinstance(concept, dict):
        return ""
    codings = _objects(concept.get("coding"))
    words = [concept.get("text"), *(c.get("display") for c in codings), _code(concept)]
    return next((word for word in words if isinstance(word, str) and word), "")


def _code(concept: Any) -> str:
    codings = _objects(concept.get("coding")) if isinstance(concept, dict) else []
    codes = (coding.get("code") for coding in codings)
    return next((code for code in codes if isinstance(code, str) and code), "")


def _encounter(value: dict[str, Any]) -> str:
    """The reference to the encounter of a note."""
    context = value.get("context")
    listed = _objects(context.get("encounter")) if isinstance(context, dict) else []
    references = (each.get("reference") for each in [*listed, *_objects([value.get("encounter")])])
    return next((text for text in references if isinstance(text, str)), "")


def _objects(values: Any) -> list[dict[str, Any]]:
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )
