"""Sections of notes whose content is past or about relatives: "Past Medical History:"."""

import re
from collections.abc import Iterator
from typing import Literal

_HEADER = re.compile(r"^[ \t#*]*(?P<name>[A-Za-z][A-Za-z /&'()-]{0,50}?)[ \t]*:", re.MULTILINE)
_PAST = re.compile(
    r"(past|prior|previous) (medical |surgical |ocular |obstetric |oncologic )?(history|hx)"
    r"|past medical (and|/|&) surgical history|medical history|surgical history|pmhx?|pshx?"
    r"|past illness(es)?|history of past illness"
)
_FAMILY = re.compile(r"family (medical )?(history|hx)|fhx?|fam hx")
# Titles that end a section although text follows them on their line.
_TITLES = frozenset(
    """
    allergies; medications; meds; social history; sh; shx; physical exam; physical examination;
    exam; review of systems; ros; chief complaint; hpi; history of present illness; assessment;
    plan; assessment and plan; labs; imaging; hospital course; brief hospital course; impression;
    findings; discharge diagnosis; discharge medications; discharge condition;
    discharge instructions; followup instructions; pertinent results; vital signs; vitals;
    medications on admission; major surgical or invasive procedure; procedures; diagnosis;
    occupational history; developmental history; birth history; immunizations; habits; service;
    course in ed; ed course; attending; disposition; home medications; current medications
    """.replace("\n", " ")
    .strip()
    .split("; ")
)

SectionKind = Literal["historical", "family"]


def find_sections(text: str) -> Iterator[tuple[int, int, SectionKind]]:
    """(start, end, kind) of the contents of sections of past and family history, in order.

    A section ends at the next known title, at a line that is only a title ("Plan:"), or at the end.
    """
    start, kind = 0, None
    for match in _HEADER.finditer(text):
        name = re.sub(r"\s+", " ", match["name"].lower())
        new = _kind_of(name)
        if new is None and name not in _TITLES and not _is_alone(text, match.end()):
            continue
        if kind is not None:
            yield start, match.start(), kind
        start, kind = match.end(), new
    if kind is not None:
        yield start, len(text), kind


def _kind_of(name: str) -> SectionKind | None:
    if _FAMILY.fullmatch(name.strip()):
        return "family"
    return "historical" if _PAST.fullmatch(name.strip()) else None


def _is_alone(text: str, end: int) -> bool:
    """Whether nothing follows a title on its line."""
    line_end = text.find("\n", end)
    return not text[end : line_end if line_end >= 0 else len(text)].strip()
