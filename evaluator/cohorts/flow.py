"""The flow table: from all rows of the tables down to those that a cohort is made of."""

from collections.abc import Iterable, Mapping, Sequence

from patientdx.errors import InputError

from .cohort import FlowStep
from .duckdb_engine import Engine

ZONED = "has a time zone"

STAYS = (
    "has no known outcome",
    "has no prediction time",
    "had ended in death before the prediction",
    "has no stay id",
    "repeats the id of another stay",
    "lacks the time of arrival or of leaving",
    "ends before it begins",
    "belongs to no known patient",
    "belongs to no known admission",
    "is of unknown or impossible age",
    "is younger than the least age",
    "is shorter than window and gap",
)
CHARTS = (
    ZONED,
    "is marked as an error",
    "has no number",
    "has an unreadable number",
    "describes the patient",
    "is told as a procedure",
    "is marked as missing",
    "belongs to no stay of an adult",
    "belongs to no stay",
    "has no readable time or item",
    "is repeated",
    "is in a minority unit",
    "is an outlier",
    "belongs to a stay that is too short",
    "lies outside its stay",
    "lies after the window",
)
MEDICATIONS = (
    ZONED,
    "belongs to no stay of an adult",
    "belongs to a stay that is too short",
    "lacks item, order, time, amount or rate",
    "ends within the hour it begins in",
    "begins outside its stay",
    "begins after the window",
)
PRESENCE = (
    ZONED,
    "belongs to no stay of an adult",
    "belongs to a stay that is too short",
    "has no readable time or item",
    "lies outside its stay",
    "lies after the window",
)


def counted(engine: Engine, query: str) -> dict[str, int]:
    """Rows by fate out of a query that gives both; those that stay are under the empty name."""
    return {fate or "": int(count) for fate, count in engine.rows(query)}


def steps(of: str, reasons: Sequence[str], counts: Mapping[str, int]) -> list[FlowStep]:
    """All rows, then a line for each reason in order that took any out."""
    left = sum(counts.values())
    lines = [FlowStep(of, "all", 0, left)]
    for reason in reasons:
        if counts.get(reason):
            left -= counts[reason]
            lines.append(FlowStep(of, reason, counts[reason], left))
    return lines


def refuse_zones(table: object, counts: Mapping[str, int]) -> None:
    """Raises InputError where times carry a zone: mixing them shifts events."""
    if counts.get(ZONED):
        raise InputError(
            f"{table}: {counts[ZONED]:,} times carry a time zone",
            hint="MIMIC's times have none; write all tables in one local time without it",
        )


def flow_table(flow: Iterable[FlowStep]) -> list[tuple[str, str, str, str]]:
    """The lines of a flow as text, the name of what is counted on its first line only."""
    lines, before = [], ""
    for step in flow:
        dropped = f"-{step.dropped:,}" if step.dropped else ""
        lines.append((step.of if step.of != before else "", step.step, dropped, f"{step.left:,}"))
        before = step.of
    return lines
