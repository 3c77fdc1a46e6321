"""The flow table: how many rows of each source table each rule dropped."""

from collections.abc import Iterable, Mapping, Sequence

from patientdx.errors import InputError
from patientdx.wording import count_noun

from .database import Database
from .metadata import FlowStep

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
    "is told as a procedure",  # MechVent of PhysioNet 2012; the text stands in existing files
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


def count_drop_reasons(database: Database, query: str) -> dict[str, int]:
    """Number of rows by drop reason, from a query that returns both; "" counts the rows kept."""
    return {reason or "": int(count) for reason, count in database.fetch_rows(query)}


def count_stays(database: Database) -> dict[str, int]:
    """Number of the source's stays by drop reason."""
    return count_drop_reasons(
        database, "SELECT drop_reason, count(*) FROM candidate_stays GROUP BY drop_reason"
    )


def flow_steps(of: str, reasons: Sequence[str], counts: Mapping[str, int]) -> list[FlowStep]:
    """A line for all rows, then one for each reason, in order, that dropped any."""
    left = sum(counts.values())
    steps = [FlowStep(of, "all", 0, left)]
    for reason in reasons:
        if counts.get(reason):
            left -= counts[reason]
            steps.append(FlowStep(of, reason, counts[reason], left))
    return steps


def reject_time_zones(table: object, counts: Mapping[str, int]) -> None:
    """Raises InputError where times carry a zone: mixing them shifts events."""
    if counts.get(ZONED):
        raise InputError(
            f"{table}: {count_noun(counts[ZONED], 'time')} with a time zone",
            hint="MIMIC's times have none; write all tables in one local time without it",
        )


def flow_table(flow: Iterable[FlowStep]) -> list[tuple[str, str, str, str]]:
    """The lines of a flow as text; the kind of row stands on its first line only."""
    lines, previous = [], ""
    for step in flow:
        dropped = f"-{step.dropped:,}" if step.dropped else ""
        kind = step.of if step.of != previous else ""
        lines.append((kind, step.step, dropped, f"{step.left:,}"))
        previous = step.of
    return lines
