"""The values of fields: ages, sexes and dates as tables have them."""

import math
import re
from datetime import datetime
from typing import Any

from patientdx.records import Sex

_OLDEST = 120.0  # years
YEARS_IN = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25, "h": 1 / 8766}
_SEXES: dict[str, Sex] = {
    **dict.fromkeys(("f", "female", "woman", "girl", "w"), "F"),
    **dict.fromkeys(("m", "male", "man", "boy"), "M"),
}
_NUMBER = re.compile(r"\s*\d+(?:\.\d+)?\s*")
_PAIR = re.compile(
    r"[\s\[(,]*(\d+(?:\.\d+)?)[\s,'\"]*(year|yr|month|mo|week|wk|day|hour|y)"
    r"(?:s|rs)?['\"]?(?:\s+old)?[\s\])]*",
    re.IGNORECASE,
)


def age_from_field(value: Any) -> float | None:
    """The age in years in a field, or None.

    Understands plain numbers (years), texts such as "60", "3 months", and PMC-Patients' pairs
    `[[1.0, 'year'], [3.0, 'month']]`, as a list or as the text of one, which add up.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return possible_age(float(value)) if abs(value) <= _OLDEST else None
    if isinstance(value, list):
        value = str(value[:8])
    if not isinstance(value, str) or len(value) > 200:
        return None
    if _NUMBER.fullmatch(value):
        return possible_age(float(value))
    return _sum_of_pairs(value)


def _sum_of_pairs(value: str) -> float | None:
    total, end = 0.0, 0
    while end < len(value):
        pair = _PAIR.match(value, end)
        if pair is None:
            return None
        total += float(pair[1]) * YEARS_IN[pair[2][0].lower()]
        end = pair.end()
    return possible_age(total) if end else None


def possible_age(years: float) -> float | None:
    """The age, unless nobody has it."""
    return years if math.isfinite(years) and 0 <= years <= _OLDEST else None


def sex_from_field(value: Any) -> Sex | None:
    """The sex in a field: F or M, female or male, woman or man, girl or boy; else None."""
    return _SEXES.get(value.strip().lower()) if isinstance(value, str) else None


_PARTIAL_DATE = re.compile(r"\d{4}-\d{2}")
_GERMAN_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_ISO_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}(?:[T ]\d{2}:?\d{2}.*)?")


def date_from_field(value: Any) -> str | None:
    """The date, or date and time, of a field in ISO 8601; None if it is not one of the calendar.

    Understands ISO 8601 with a T or a blank, to the month at least, and 31.12.2024.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = value.strip() if isinstance(value, str) else ""
    if not 7 <= len(text) <= 40:
        return None
    if _PARTIAL_DATE.fullmatch(text):
        return text if _parsed_date(f"{text}-01") else None
    german = _GERMAN_DATE.fullmatch(text)
    if german:
        text = f"{german[3]}-{int(german[2]):02}-{int(german[1]):02}"
    parsed = _parsed_date(text) if _ISO_DATE.fullmatch(text) else None
    if parsed is None:
        return None
    iso = parsed.isoformat().replace("+00:00", "Z")
    return iso if len(text) > 10 else iso[:10]


def _parsed_date(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
