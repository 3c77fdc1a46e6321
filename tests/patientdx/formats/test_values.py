"""Values of fields: ages, sexes and dates of tables in several languages, and maps of them."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patientdx.errors import UsageError
from patientdx.formats.value_maps import ValueMaps
from patientdx.formats.values import age_from_field, date_from_field, sex_from_field


def parts(value: str) -> Any:
    """The youngest and the oldest age of a value; empty where it is not understood."""
    return tuple(age_from_field(value) or ())


AGES = [
    ("17 Jahre", 17),
    ("45 ans", 45),
    ("45 años", 45),
    ("30 anni", 30),
    ("30 jaar", 30),
    ("68 yo", 68),
    ("68 y/o", 68),
    ("68 y.o.", 68),
    ("44,5", 44.5),
    ("0,5", 0.5),
    ("3 mths", 0.25),
    ("3 Monate", 0.25),
    ("6 mois", 0.5),
    ("3/12", 0.25),
    ("1 6/12", 1.5),
    ("2/52", 14 / 365.25),
    ("5/7", 5 / 365.25),
    ("P3M", 0.25),
    ("P1Y6M", 1.5),
    ("p45y", 45),
    ("PT12H", 12 / 8766),
    ("3y 4m", 3 + 4 / 12),
    ("1 year and 3 months", 1.25),
    ("2 Jahre und 6 Monate", 2.5),
    ("12 Stunden", 12 / 8766),
    ("newborn", 0),
]


@pytest.mark.parametrize(("value", "years"), AGES)
def test_ages_of_many_spellings(value: str, years: float) -> None:
    assert parts(value) == (pytest.approx(years), None)


RANGES = [
    ("90+", 90, 120),
    ("90 +", 90, 120),
    (">89", 90, 120),
    ("> 89 years", 90, 120),
    (">=90", 90, 120),
    ("≥ 65", 65, 120),
    ("over 89", 90, 120),
    ("90 and over", 90, 120),
    ("90 years or older", 90, 120),
    ("80 Jahre und älter", 80, 120),
    ("<18", 0, 17),
    ("<1", 0, 0),
    ("60-69", 60, 69),
    ("[70-80)", 70, 79),
    ("60 to 69 years", 60, 69),
]


@pytest.mark.parametrize(("value", "youngest", "oldest"), RANGES)
def test_ranges_of_ages(value: str, youngest: float, oldest: float) -> None:
    assert age_from_field(value) == (youngest, oldest)


@pytest.mark.parametrize(
    "value", ["44M", "P", "PT", "3 m", "<0", "70-60", ">120", "121+", "3/13", "y", "1.2.3", "44f"]
)
def test_ages_in_doubt_are_none(value: str) -> None:
    assert age_from_field(value) is None


@given(st.text("0123456789.,/+-<>=[]() ymwdhPTjahresmonth'", max_size=24) | st.text(max_size=12))
def test_any_text_gives_a_possible_age(text: str) -> None:
    age = age_from_field(text)
    assert age is None or 0 <= age.years <= (120 if age.until is None else age.until) <= 120


@given(st.integers(0, 120), st.integers(0, 11), st.sampled_from(["{} years {} months", "P{}Y{}M"]))
def test_years_and_months_add_up(years: int, months: int, form: str) -> None:
    total = years + months / 12
    expected = (pytest.approx(total), None) if total <= 120 else ()
    assert parts(form.format(years, months)) == expected


WOMEN = (
    "weiblich,Weibl.,F emale, FEMALE ,Frau,femme,Féminin,mujer,Niña,donna,Femminile,vrouw,Mädchen"
)
MEN = "Mann,männlich,maennlich,M ale,Homme,masculin,varón,Hombre,niño,uomo,maschio,jongen,masc."


@pytest.mark.parametrize("value", WOMEN.split(","))
def test_women_of_many_languages(value: str) -> None:
    assert sex_from_field(value) == "F"


@pytest.mark.parametrize("value", MEN.split(","))
def test_men_of_many_languages(value: str) -> None:
    assert sex_from_field(value) == "M"


@pytest.mark.parametrize("value", ["h", "V", "0", "x", "divers", "femalemale", "f" * 50, 2])
def test_sexes_in_doubt_are_none(value: Any) -> None:
    assert sex_from_field(value) is None


DATES = [
    ("2180-05-07 00:00:00", "2180-05-07T00:00:00"),
    ("2150-01-01", "2150-01-01"),
    ("2024-03-01T10:00:00Z", "2024-03-01T10:00:00Z"),
    ("20240301", "2024-03-01"),
    (20240301, "2024-03-01"),
    ("31.12.2024", "2024-12-31"),
    ("1.3.2024 8:05", "2024-03-01T08:05:00"),
    ("2024-03", "2024-03"),
]


@pytest.mark.parametrize(("value", "iso"), DATES)
def test_dates(value: Any, iso: str) -> None:
    assert date_from_field(value) == iso


@pytest.mark.parametrize(
    "value", ["03/04/2024", "2024-13-01", "2024-02-30", "yesterday", 1.5, True, None, "32.1.2024"]
)
def test_dates_in_doubt_are_none(value: Any) -> None:
    assert date_from_field(value) is None


@given(st.dates(date(1000, 1, 1)))
def test_dates_of_both_orders_are_the_same(day: date) -> None:
    assert date_from_field(day.isoformat()) == day.isoformat()
    assert date_from_field(f"{day.day}.{day.month}.{day.year}") == day.isoformat()


@given(st.datetimes(datetime(1000, 1, 1), timezones=st.sampled_from([None, UTC])))  # noqa: DTZ001
def test_times_stay_the_same(moment: datetime) -> None:
    read = date_from_field(moment.isoformat(" "))
    assert read is not None
    assert datetime.fromisoformat(read) == moment


@given(st.text(max_size=30))
def test_any_text_gives_a_date_or_none(text: str) -> None:
    read = date_from_field(text)
    assert read is None or read[:4].isdecimal()


def test_maps_say_what_values_mean() -> None:
    maps = ValueMaps.parse(["sex:0=M,1=F,x=", "age:adult=18+,999=", "date:heute=2024-03-01"])
    assert maps.understand("sex", 0) == (True, "M")
    assert maps.understand("sex", " 1.0 ") == (True, "F")
    assert maps.understand("sex", "X") == (True, None)
    assert maps.understand("sex", "w") == (True, "F")
    assert maps.understand("sex", "2") == (False, None)
    assert maps.understand("age", "Adult") == (True, (18, 120))
    assert maps.understand("age", 999) == (True, None)
    assert maps.understand("date", "heute") == (True, "2024-03-01")


@pytest.mark.parametrize(
    "text",
    ["0=M", "race:0=M", "sex:0", "sex:=M", "sex:0=Q", "age:a=b", "sex:0=M,0=F", "sex:", "sex:1=M,"],
)
def test_maps_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        ValueMaps.parse([text])
