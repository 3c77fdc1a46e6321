"""Ages between dates, of which parts may be unknown."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patientdx.formats.hospital.ages import age_at


@pytest.mark.parametrize(
    ("birth", "when", "age"),
    [
        ("1970-03-02", "2030-03-02", 60.0),
        ("1970-03-02", "2030-03-01T23:59:00Z", 59 + 364 / 365),
        ("2024-02-29", "2025-03-01", 1.0),
        ("2024-02-29", "2025-02-28", 365 / 366),
        ("1970", "2030-01-01", 60.0),
        ("1970-06", "2030-05-31", 59 + 11 / 12),
        ("1970-06-01", "2030", 60.0),
        ("2030-01-02", "2030-01-01", None),
        ("2031", "2030-01-01", None),
        ("", "2030", None),
        ("1970-02-30", "2030", None),
        ("1970-13", "2030", None),
        ("0000", "2030", None),
        ("unknown", "2030", None),
        ("1970-03-02", "", None),
    ],
)
def test_ages(birth: str, when: str, age: float | None) -> None:
    age = age_at(birth, when)
    assert age == (None if age is None else pytest.approx(age))


@given(st.dates(date(1900, 1, 1), date(2000, 1, 1)), st.integers(0, 40_000))
def test_completed_years_are_those_of_the_calendar(birth: date, days: int) -> None:
    when = birth + timedelta(days)
    age = age_at(birth.isoformat(), when.isoformat())
    assert age is not None
    before = (when.month, when.day) < (birth.month, birth.day)
    assert int(age) == when.year - birth.year - before
