"""A patient's age when a note was written, from dates of which parts may be unknown."""

import re
from calendar import isleap
from datetime import date

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?!\d))?)?")


def age_at(birth: str, when: str) -> float | None:
    """Years from a birth to a date, both in ISO 8601 (a year, year and month, or more), or None.

    Between full dates these are the completed years and the share of the year since the last
    birthday, so that nobody is older before their birthday. Of parts that one of them lacks, both
    are taken without: between a year of birth and a date lie whole years. None for dates that are
    none, and for a birth after the note.
    """
    born, written = _parts(birth), _parts(when)
    known = min(len(born), len(written))
    if known == 0 or written[:known] < born[:known]:
        return None
    if known == 1:
        return float(written[0] - born[0])
    if known == 2:
        return (12 * (written[0] - born[0]) + written[1] - born[1]) / 12
    return _between(date(*born), date(*written))


def _parts(text: str) -> tuple[int, ...]:
    """Year, month and day, as far as there are any; () for what is no date."""
    match = _DATE.match(text.strip())
    if match is None:
        return ()
    parts = tuple(int(part) for part in match.groups() if part)
    try:
        date(*parts, *(1, 1)[len(parts) - 1 :])
    except ValueError:
        return ()
    return parts


def _between(born: date, written: date) -> float:
    last = _birthday(born, written.year)
    if last > written:
        last = _birthday(born, written.year - 1)
    years = last.year - born.year
    following = _birthday(born, last.year + 1)
    return years + (written - last).days / (following - last).days


def _birthday(born: date, year: int) -> date:
    """The birthday in a year: those born on 29 February have it on 1 March of most years."""
    if (born.month, born.day) == (2, 29) and not isleap(year):
        return date(year, 3, 1)
    return date(year, born.month, born.day)
