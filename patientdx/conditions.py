"""Conditions on the fields of notes: one grammar of comparisons, lists, ranges and dates.

    los>=3            a number is compared as a number: 3, 3.0 and 03 are the same
    ward=ICU,HDU      any of these; "ICU, north" in quotes is one value
    ward!=ICU         another value
    los=3..7          a range, both ends within; 3.. and ..7 are open
    charttime>=2180-05    an ISO date, to the precision given: May 2180 or later
    charttime=2180-05..2180-07    from the first of May to the last of July

Texts are compared for equality only. A note without the field passes no condition on it, nor does
one whose value a comparison cannot read (`unknown` for los>=3).
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Literal, get_args

from .errors import UsageError

Operator = Literal["=", "!=", ">=", "<=", ">", "<", ".."]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

_CONDITION = re.compile(r"\s*([^=<>!]+?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_RANGE = re.compile(r"(.*?)\s*\.\.\s*(.*)", re.DOTALL)
# Python writes large and small numbers of JSON with a signed exponent; E10 is a code, not one.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-][0-9]{1,4})?")
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2})(?::([0-9]{2})"
    r"(?::([0-9]{2}(?:\.[0-9]+)?))?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_LONGEST_COMPARED = 100
_FORMS = "FIELD=VALUE, FIELD!=VALUE, FIELD>=3, FIELD=A,B, FIELD=3..7 or FIELD>=2180-05"
_QUOTES = "in quotes, as < and > mean something to the shell: --where 'los>=3'"

Date = tuple[str, ...]
"""The parts of a date from the year on, as far as they are given; they compare as texts."""


@dataclass(frozen=True)
class Operand:
    """A value of a comparison: its text, and the number or date that the text is, if any."""

    text: str

    @cached_property
    def number(self) -> Decimal | None:
        """The number that the text is."""
        return read_number(self.text)

    @cached_property
    def date(self) -> Date | None:
        """The date that the text is; a year is one too."""
        return read_date(self.text)

    @property
    def is_text(self) -> bool:
        """True for what is neither a number nor a date."""
        return self.number is None and self.date is None

    def compare(self, value: "Operand") -> int | None:
        """-1, 0 or 1 where a value is below, within or above this; None if they do not compare.

        A date is within a month or a year that holds it.
        """
        if self.number is not None and value.number is not None:
            return (value.number > self.number) - (value.number < self.number)
        if self.date is None or value.date is None or len(value.text) == len("2180"):
            return None
        ours, theirs = self.date, value.date[: len(self.date)]
        if theirs != ours[: len(theirs)]:
            return 1 if theirs > ours[: len(theirs)] else -1
        return 0 if len(theirs) == len(ours) else None


@dataclass(frozen=True)
class Condition:
    """A condition on a field of notes: an operator and its values, as texts.

    `=` and `!=` take one value or more, a range (`..`) its ends (empty: open), others one.
    Raises UsageError for values that the operator does not compare.
    """

    field: str
    operator: Operator
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise UsageError(f"`{self.operator}` is no comparison", hint=f"one of {OPERATORS}")
        if self.operator in {"=", "!="}:
            return
        wanted = [operand for operand in self._operands if operand.text]
        if not wanted:
            raise UsageError(f"nothing to compare `{self.field}` with", hint=_FORMS)
        for operand in wanted:
            if operand.is_text:
                raise UsageError(
                    f"{self.operator} compares numbers and dates, not `{operand.text}`",
                    hint="texts are compared by = and !=, dates are written like 2180-05-31",
                )
        if self.operator == ".." and len(wanted) == 2 and wanted[0].compare(wanted[1]) == -1:
            low, high = self.values
            raise UsageError(f"no value lies within {low}..{high}", hint=f"{high}..{low}")

    @property
    def equal_texts(self) -> tuple[str, ...] | None:
        """The texts of which a value must be equal to any; None for all other comparisons."""
        if self.operator == "=" and all(operand.is_text for operand in self._operands):
            return self.values
        return None

    @property
    def compared(self) -> str:
        """What a value must be for the comparison to read it."""
        ends = [operand for operand in self._operands if operand.text]
        if all(operand.date is None for operand in ends):
            return "a number"
        if all(operand.number is not None for operand in ends):
            return "a number or a date"
        return f"a date as precise as {max(ends, key=lambda end: len(end.date or ())).text}"

    def of_field(self, field: str) -> "Condition":
        """The same condition on another field."""
        return replace(self, field=field)

    @cached_property
    def _operands(self) -> tuple[Operand, ...]:
        return tuple(map(Operand, self.values))

    def matches(self, value: str) -> bool | None:
        """Whether a value passes; None where the comparison cannot read it."""
        held = Operand(value)
        if self.operator in {"=", "!="}:
            equal = any(value == o.text or o.compare(held) == 0 for o in self._operands)
            return equal == (self.operator == "=")
        signs = [operand.compare(held) if operand.text else 0 for operand in self._operands]
        if None in signs:
            return None
        if self.operator == "..":
            low = self._operands[0].text == "" or (signs[0] or 0) >= 0
            high = self._operands[1].text == "" or (signs[1] or 0) <= 0
            return low and high
        sign = signs[0] or 0
        return {">=": sign >= 0, "<=": sign <= 0, ">": sign > 0, "<": sign < 0}[self.operator]


def parse_condition(text: str) -> Condition:
    """The condition that a text such as `los>=3` spells. Raises UsageError."""
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise UsageError(f"a condition is like {_FORMS}, not `{text}`", hint=_QUOTES)
    field, sign, wanted = match.groups()
    operator = next(known for known in OPERATORS if known == sign)
    if wanted[0] in "=<>":
        raise UsageError(
            f"`{sign}{wanted[0]}` is no comparison: {', '.join(OPERATORS[:-1])} are",
            hint=f'for a text that begins with {wanted[0]}: {field}{sign}"{wanted}"',
        )
    span = _RANGE.fullmatch(wanted)
    if span and _are_ends(span.groups()):
        if operator != "=":
            raise UsageError(f"a range goes with =, not with {sign}", hint=f"{field}={wanted}")
        return Condition(field, "..", tuple(end.strip() for end in span.groups()))
    if operator in {"=", "!="}:
        return Condition(field, operator, _alternatives(wanted))
    return Condition(field, operator, (wanted,))


def _are_ends(ends: Sequence[str]) -> bool:
    """Whether these are the ends of a range, and not parts of a text with two dots."""
    return any(ends) and not any(end and Operand(end.strip()).is_text for end in ends)


def _alternatives(wanted: str) -> tuple[str, ...]:
    """The values between commas; a value that holds commas itself matches as a whole too."""
    try:
        parts = next(csv.reader([wanted], skipinitialspace=True), [])
    except csv.Error:
        return (wanted,)
    if len(parts) == 1:
        return (parts[0].strip() or wanted,)
    alternatives = [part.strip() for part in parts if part.strip()]
    return tuple(dict.fromkeys([*alternatives, wanted]))


def read_number(text: str) -> Decimal | None:
    """The number that a text is; None for other texts."""
    text = text.strip()
    is_number = len(text) <= _LONGEST_COMPARED and _NUMBER.fullmatch(text)
    return Decimal(text) if is_number else None


def read_date(text: str) -> Date | None:
    """The parts of an ISO date, or of a date and time by its own clock; None for other texts."""
    text = text.strip()
    match = _DATE.fullmatch(text) if len(text) <= _LONGEST_COMPARED else None
    if match is None:
        return None
    parts = tuple(part for part in match.groups() if part is not None)
    limits = ("9999", "12", "31", "24", "59", "60.")
    if any(part > limit for part, limit in zip(parts, limits, strict=False)) or "00" in parts[1:3]:
        return None
    return (*parts[:5], parts[5].rstrip("0").rstrip(".") or "0") if "." in parts[-1] else parts
