"""Conditions on fields as texts, each with who passes it, written without a look at the grammar."""

from collections.abc import Callable
from datetime import datetime

from patientdx.conditions import Condition, parse_condition

Passes = Callable[[str], bool]

VALUES = (1, 2, 2.5, "2.0", "17", "unknown", "a, b", "a")
DATES = ("2180-05-06", "2180-05-06 21:19:00", "2180-06", "2179-12-31T23:59:59", "soon")


def number(value: str) -> float:
    """The number of a value, NaN if it is none."""
    try:
        return float(value)
    except ValueError:
        return float("nan")


def day(value: str) -> datetime:
    """The day of a value; the year 1 if it is none."""
    for form, size in (("%Y-%m-%d", 10), ("%Y-%m", 7)):
        try:
            return datetime.strptime(value[:size], form)  # noqa: DTZ007 - notes have no zone
        except ValueError:
            continue
    return datetime(1, 1, 1)  # noqa: DTZ001


def is_date(value: str) -> bool:
    """Whether a value is a date."""
    return day(value).year > 1


ON_LOS: dict[str, Passes] = {
    "los>=2": lambda value: number(value) >= 2,
    "los>2": lambda value: number(value) > 2,
    "los<2.5": lambda value: number(value) < 2.5,
    "los<=2": lambda value: number(value) <= 2,
    "los=2": lambda value: number(value) == 2,
    "los!=2": lambda value: number(value) != 2,
    "los=2..3": lambda value: 2 <= number(value) <= 3,
    "los=..2": lambda value: number(value) <= 2,
    "los=17,unknown": lambda value: value in {"17", "unknown"},
    "los=a, b": lambda value: value in {"a", "a, b"},
    'los="a, b"': lambda value: value == "a, b",
    "LOS = 1": lambda value: number(value) == 1,
}
ON_SEEN: dict[str, Passes] = {
    "seen>=2180-05": lambda value: is_date(value) and day(value) >= datetime(2180, 5, 1),  # noqa: DTZ001
    "seen=2180-05": lambda value: value.startswith("2180-05"),
    "seen=2180": lambda value: value.startswith("2180"),
    "seen<2180": lambda value: is_date(value) and day(value).year < 2180,
    "seen=2179..2180-05": lambda value: value.startswith(("2179", "2180-05")),
    "seen!=2180-06": lambda value: value != "2180-06",
    "seen=2180-05-06T21": lambda value: value == "2180-05-06 21:19:00",
}
PREDICATES: dict[Condition, tuple[str, Passes]] = {
    parse_condition(text): (field, passes)
    for field, table in (("los", ON_LOS), ("seen", ON_SEEN))
    for text, passes in table.items()
}
