"""The values of fields: ages, sexes and dates as tables of several languages have them.

What a value may mean in one language and not in another is None: `h` and `v` are men in Spanish,
and `v` is a woman in Dutch.
"""

import math
import re
from datetime import datetime
from typing import Any, NamedTuple

from patientdx.records import Sex

from .columns import plain_name

OLDEST = 120.0  # years
YEARS_IN = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25, "h": 1 / 8766}
_LONGEST = 200  # characters of a value that is looked at


class Age(NamedTuple):
    """An age in years; of a range the youngest, and in `until` the oldest in completed years.

    Ages without an upper end ("90+") end where human life does, at 120.
    """

    years: float
    until: float | None = None


def possible_age(years: float) -> float | None:
    """The age, unless nobody has it."""
    return years if math.isfinite(years) and 0 <= years <= OLDEST else None


# --- ages ---------------------------------------------------------------------------------------

_UNITS = {
    "y": "y/o|y\\.\\s?o|yo|yrs?|years?|y|jahre?n?|j|ans?|años?|anos?|anni|anno|jaar|jaren",
    "m": "mos?|mths?|mnths?|mons?|months?|monate?n?|mois|mes|meses|mese|mesi|maand|maanden",
    "w": "wks?|weeks?|w|wochen?|semaines?|semanas?|settiman[ae]|weken",
    "d": "d|days?|tage?n?|jours?|días?|dias?|giorn[oi]|dag|dagen",
    "h": "h|hrs?|hours?|stunden?|heures?|horas?|or[ae]|uur|uren",
}
_N = r"\d{1,7}(?:[.,]\d{1,12})?"
_NUMBER = re.compile(_N)
_PAIR = re.compile(
    rf"[\s\[(,]*(?P<n>{_N})[\s,'\"-]*(?:"
    + "|".join(f"(?P<{letter}>{units})" for letter, units in _UNITS.items())
    + r"|(?P<months>m))(?![^\W\d_])\.?['\"]?[\s\])]*",
    re.IGNORECASE,
)
_AFTER_UNITS = re.compile(r"(?:\s*(?:and|und|et|y|e|en)\s+)?")
_OF_AGE = re.compile(r"[\s-]*(?:old|of\s+age|alt|de\s+edad|d'âge|oud)?\s*\.?", re.IGNORECASE)
_ISO_DURATION = re.compile(
    rf"P(?:(?P<y>{_N})Y)?(?:(?P<m>{_N})M)?(?:(?P<w>{_N})W)?(?:(?P<d>{_N})D)?(?:T(?P<h>{_N})H)?",
    re.IGNORECASE,
)
_DICOM_AGE = re.compile(r"(?P<n>\d{3})(?P<unit>[dwmy])")
_PARTS_OF_A_YEAR = {"12": "m", "52": "w", "7": "d", "365": "d"}
_FRACTION = re.compile(r"(?:(?P<years>\d{1,3})\s+)?(?P<n>\d{1,3})/(?P<of>12|52|7|365)")
_YEARS = r"\s*(?:y|yrs?|years?|jahre?|ans|años|anni|jaar)?\s*"
_OVER = re.compile(
    rf"(?:(?P<over>>|over|above|older\s+than|über|ueber|älter\s+als|plus\s+de)"
    rf"|(?P<least>>=|=>|≥|at\s+least|ab|mindestens|from))\s*(?P<n>\d{{1,3}}){_YEARS}"
)
_AND_OVER = re.compile(
    rf"(?P<n>\d{{1,3}}){_YEARS}(?:\+|(?:and|or|und|oder|et|y|ou|o)\s+(?:over|older|above|up|more"
    rf"|älter|mehr|plus|más|mayor))(?:{_YEARS})"
)
_UNDER = re.compile(
    rf"(?:(?P<under><|under|below|younger\s+than|unter)|(?P<most><=|=<|≤))\s*(?P<n>\d{{1,3}}){_YEARS}"
)
_RANGE = re.compile(
    rf"[\[(]?\s*(?P<n>\d{{1,3}})\s*(?:-|–|—|to|bis|à|a)\s*(?P<to>\d{{1,3}})\s*(?P<end>[\])])?{_YEARS}"
)
_NEWBORN = frozenset({"newborn", "neonate", "neugeboren", "neugeborenes"})


def age_from_field(value: Any) -> Age | None:
    """The age in a field, or None.

    Understands numbers of years; texts such as "44,5", "3 months", "17 Jahre", "68 yo", "3/12",
    ISO 8601's "P3M" and DICOM's "012M"; the open "90+" and ">89", and ranges such as "60-69"; and
    PMC-Patients' pairs `[[1.0, 'year'], [3.0, 'month']]`, as a list or as the text of it, which
    add up.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _exact(float(value)) if abs(value) <= OLDEST else None
    if isinstance(value, list):
        value = str(value[:8])
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return _exact(_number(text))
    if text in _NEWBORN:
        return Age(0.0)
    return _range(text) or _fraction(text) or _duration(text) or _sum_of_pairs(text)


def _exact(years: float) -> Age | None:
    possible = possible_age(years)
    return None if possible is None else Age(possible)


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _range(text: str) -> Age | None:
    """The age of a text that gives its ends, or one of them."""
    low, high = 0.0, OLDEST
    if match := _OVER.fullmatch(text):
        low = float(match["n"]) + (match["over"] is not None)
    elif match := _AND_OVER.fullmatch(text):
        low = float(match["n"])
    elif match := _UNDER.fullmatch(text):
        high = float(match["n"]) - (match["under"] is not None)
    elif match := _RANGE.fullmatch(text):
        low, high = float(match["n"]), float(match["to"]) - (match["end"] == ")")
    else:
        return None
    return Age(low, high) if 0 <= low <= high <= OLDEST else None


def _fraction(text: str) -> Age | None:
    """The age of the ward's "3/12" (months), "2/52" (weeks) and "5/7" (days)."""
    match = _FRACTION.fullmatch(text)
    if match is None:
        return None
    part = float(match["n"]) * YEARS_IN[_PARTS_OF_A_YEAR[match["of"]]]
    return _exact(float(match["years"] or 0) + part)


def _duration(text: str) -> Age | None:
    """The age of ISO 8601's "P1Y6M" or DICOM's "018M"."""
    if dicom := _DICOM_AGE.fullmatch(text):
        return _exact(int(dicom["n"]) * YEARS_IN[dicom["unit"]])
    match = _ISO_DURATION.fullmatch(text)
    parts = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not parts:
        return None
    return _exact(sum(_number(number) * YEARS_IN[unit] for unit, number in parts.items()))


def _sum_of_pairs(text: str) -> Age | None:
    """The sum of numbers with their units; a lone `m` may be a man's, so it follows years."""
    total, end, units = 0.0, 0, ""
    while pair := _PAIR.match(text, end):
        unit = next(letter for letter in (*YEARS_IN, "months") if pair[letter] is not None)
        if unit == "months" and units != "y":
            return None
        total += _number(pair["n"]) * YEARS_IN[unit[0]]
        units, end = units + unit[0], pair.end()
        joined = _AFTER_UNITS.match(text, end)
        end = joined.end() if joined else end
    rest = _OF_AGE.fullmatch(text, end)
    return _exact(total) if units and rest else None


# --- sexes --------------------------------------------------------------------------------------

_WOMEN = (
    "f female fem feminine woman girl lady w weiblich weibl frau madchen maedchen femme feminin "
    "fille femenino femenina mujer hembra nina femmina femminile donna ragazza vrouw vrouwelijk "
    "meisje"
)
_MEN = (
    "m male masc masculine man boy gentleman mannlich maennlich mannl mann junge herr homme "
    "masculin garcon masculino varon hombre nino maschio maschile uomo ragazzo mannelijk jongen"
)
_SEXES: dict[str, Sex] = {
    **dict.fromkeys(_WOMEN.split(), "F"),
    **dict.fromkeys(_MEN.split(), "M"),
}
DOUBTFUL_BESIDE_M = frozenset({"h", "v"})
"""Values beside which `m` is a woman in Spanish (mujer) and a man in French or Dutch."""


def sex_from_field(value: Any) -> Sex | None:
    """The sex in a field, by words of English, German, French, Spanish, Italian and Dutch.

    Case, accents and separators do not matter. What numbers mean is for the user to say.
    """
    if not isinstance(value, str) or len(value) > 40:
        return None
    return _SEXES.get(plain_name(value))


# --- dates --------------------------------------------------------------------------------------

_PARTIAL_DATE = re.compile(r"\d{4}-\d{2}")
_DOTTED_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:,?\s+(\d{1,2}:\d{2}(?::\d{2})?))?")
_ISO_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}(?:[T ]\d{2}:?\d{2}.*)?")


def date_from_field(value: Any) -> str | None:
    """The date, or date and time, of a field in ISO 8601; None if it is not one of the calendar.

    Understands ISO 8601 with a T or a blank, to the month at least, and 31.12.2024. In 03/04/2024
    the month is not clear.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = value.strip() if isinstance(value, str) else ""
    if not 7 <= len(text) <= 40:
        return None
    if _PARTIAL_DATE.fullmatch(text):
        return text if _parsed_date(f"{text}-01") else None
    dotted = _DOTTED_DATE.fullmatch(text)
    if dotted:
        text = f"{dotted[3]}-{int(dotted[2]):02}-{int(dotted[1]):02}"
        text += f"T{dotted[4]:0>5}" if dotted[4] else ""
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
