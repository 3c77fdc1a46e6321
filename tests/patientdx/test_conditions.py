"""The grammar of conditions: what is read, who passes, what is refused."""

import math
from datetime import date, datetime

import pytest
from field_conditions import DATES, PREDICATES, VALUES
from hypothesis import assume, given
from hypothesis import strategies as st

from patientdx.conditions import OPERATORS, Condition, parse_condition, read_date, read_number
from patientdx.errors import UsageError

COMPARE = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


@pytest.mark.parametrize("condition", PREDICATES)
def test_conditions_pass_who_should(condition: Condition) -> None:
    field, passes = PREDICATES[condition]
    for value in map(str, VALUES if field == "los" else DATES):
        assert bool(condition.matches(value)) == passes(value), value


@given(
    st.sampled_from(sorted(COMPARE)),
    st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_numbers_are_compared_as_numbers(sign: str, held: float, wanted: float) -> None:
    condition = parse_condition(f"los{sign}{wanted}")
    assert condition.matches(str(held)) == COMPARE[sign](held, wanted)
    assert condition.matches(f" {held} ") == COMPARE[sign](held, wanted)


@given(st.sampled_from(sorted(COMPARE)), st.datetimes(), st.dates())
def test_a_time_is_compared_by_its_day(sign: str, held: datetime, wanted: date) -> None:
    condition = parse_condition(f"seen{sign}{wanted.isoformat()}")
    for text in (held.isoformat(), held.isoformat(" "), f"{held.isoformat()}Z"):
        assert condition.matches(text) == COMPARE[sign](held.date(), wanted)


@given(st.sampled_from(sorted(COMPARE)), st.dates(), st.dates())
def test_a_day_is_compared_by_its_month(sign: str, held: date, wanted: date) -> None:
    condition = parse_condition(f"seen{sign}{wanted.isoformat()[:7]}")
    months = (held.year, held.month), (wanted.year, wanted.month)
    assert condition.matches(held.isoformat()) == COMPARE[sign](*months)


@given(st.datetimes())
def test_the_precision_of_seconds_does_not_matter(when: datetime) -> None:
    whole = when.replace(microsecond=0).isoformat()
    assert parse_condition(f"seen={whole}").matches(f"{whole}.000") is True
    assert parse_condition(f"seen={when.isoformat()}").matches(when.isoformat(" ")) is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("los>=3", "unknown"),
        ("los>=3", ""),
        ("los>=3", "3 days"),
        ("los>=3", "2180-05-06"),
        ("los>=3", "inf"),
        ("los>=3", "٣"),
        ("los=3..7", "many"),
        ("seen>=2180-05", "06.05.2180"),
        ("seen>=2180-05", "2180"),
        ("seen>=2180-05-06", "2180-05"),
        ("seen>=2180-05", "2180-13-01"),
    ],
)
def test_what_cannot_be_compared_neither_passes_nor_fails(text: str, value: str) -> None:
    assert parse_condition(text).matches(value) is None


@pytest.mark.parametrize(
    ("text", "field", "operator", "values"),
    [
        ("ward=ICU", "ward", "=", ("ICU",)),
        (" ward = ICU , HDU", "ward", "=", ("ICU", "HDU", "ICU , HDU")),
        ('ward="ICU, north",HDU', "ward", "=", ("ICU, north", "HDU", '"ICU, north",HDU')),
        ('ward="3..7"', "ward", "=", ("3..7",)),
        ("text=wait..what", "text", "=", ("wait..what",)),
        ("text=..", "text", "=", ("..",)),
        ("los=3..7", "los", "..", ("3", "7")),
        ("los=3..", "los", "..", ("3", "")),
        ("a b.c>=-1.5", "a b.c", ">=", ("-1.5",)),
        ('age=">89"', "age", "=", (">89",)),
        ("note=a=b", "note", "=", ("a=b",)),
    ],
)
def test_the_parts_of_a_condition(
    text: str, field: str, operator: str, values: tuple[str, ...]
) -> None:
    parsed = parse_condition(text)
    assert (parsed.field, parsed.operator, parsed.values) == (field, operator, values)


@pytest.mark.parametrize(
    "text",
    ["", "ward", "=ICU", "ward=", "ward>=ICU", "los>=1,2", "los=>3", "los=9..1", "los!=1..2"],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_condition(text)
    assert refusal.value.hint


def test_conditions_made_in_python_are_checked() -> None:
    assert Condition("los", ">=", ("3",)) == parse_condition("los>=3")
    with pytest.raises(UsageError, match="is no comparison"):
        Condition("los", "~", ("3",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nothing to compare"):
        Condition("los", "..", ("", ""))


@given(st.text(), st.text())
def test_any_text_is_parsed_or_refused(text: str, value: str) -> None:
    try:
        condition = parse_condition(text)
    except UsageError:
        return
    assert condition.operator in OPERATORS
    assert condition.matches(value) in {True, False, None}


@given(st.text(min_size=1), st.text())
def test_a_value_equals_itself(value: str, other: str) -> None:
    condition = Condition("field", "=", (value,))
    assert condition.matches(value) is True
    assume(read_number(value) is None and read_date(value) is None)
    assert condition.matches(other) is (value == other)


@given(st.one_of(st.text(), st.floats().map(str), st.integers().map(str)))
def test_numbers_are_those_of_python(text: str) -> None:
    number = read_number(text)
    if number is not None:
        assert float(number) == float(text)
        assert math.isfinite(number)
