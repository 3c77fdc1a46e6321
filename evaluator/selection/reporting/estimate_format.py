"""Estimates as plain values and as text."""

from evaluator.selection.estimates import Estimate


def estimate_data(estimate: Estimate) -> dict[str, float | None]:
    """An estimate as plain values."""
    low, high = estimate.interval or (None, None)
    return {"value": estimate.value, "low": low, "high": high}


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """An estimate as text, such as `0.5123 [0.4012, 0.6234]`."""
    sign = "+" if signed else ""
    value = f"{estimate.value:{sign}.4f}"
    if estimate.interval is None:
        return value
    low, high = estimate.interval
    return f"{value} [{low:{sign}.4f}, {high:{sign}.4f}]"
