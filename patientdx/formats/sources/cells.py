"""Values of typed tables as the values that rows of text and JSON hold."""

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


def plain_value(value: Any) -> Any:
    """A cell as a value of JSON: dates in ISO 8601, whole decimals as int, no NaN; else as it is.

    Bytes become text where they are UTF-8, and None elsewhere.
    """
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _number(value)
        case bytes():
            return _text(value)
    return value


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _text(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None
