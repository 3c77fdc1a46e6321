"""What all sources share: events of stays become bins and means, and these become a file."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from patientdx.errors import InputError

from .cohort import CohortMeta, FlowStep
from .cohort_file import ROWS, cohort_writer
from .duckdb_engine import Engine
from .flow import CHARTS, counted, steps
from .redaction import Redaction, shown
from .settings import CohortSettings, Work

Say = Callable[[str], None]
"""Is told what is being done."""

ONE_CLASS = "every stay has the same outcome: AUROC and AUPRC are undefined on this cohort"


def define(engine: Engine, settings: CohortSettings) -> None:
    """Gives the scripts every constant, and their macros."""
    values = asdict(settings) | {"bins": settings.bins, "min_hours": settings.min_hours}
    values["low_quantile"] = settings.outlier_low_percentile / 100
    values["high_quantile"] = settings.outlier_percentile / 100
    engine.define(**values)
    engine.run("macros")


def bin_charts(engine: Engine, work: Work, of: str = "chart events") -> list[FlowStep]:
    """`chart_rows` become `sorted_bins` and `chart_means`, a part of the quantities at a time."""
    staged = counted(engine, "SELECT fate, count(*) FROM chart_rows GROUP BY fate")
    parts = 1 + staged.get("", 0) // work.rows_at_once
    engine.connection.execute(
        "CREATE TABLE chart_bins (row INTEGER, item INTEGER, bin INTEGER, value DOUBLE);"
        "CREATE TABLE chart_fates (fate VARCHAR, n BIGINT)"
    )
    for part in range(parts):
        engine.define(parts=parts, part=part)
        engine.run("chart_part", "chart events")
    engine.connection.execute("DROP TABLE part; DROP TABLE part_judged; DROP TABLE chart_rows")
    engine.run("chart_means", "chart events")
    later = counted(engine, "SELECT fate, sum(n) FROM chart_fates GROUP BY fate")
    return steps(of, CHARTS, {**staged, "": 0} | later)


def place(engine: Engine, redact: Redaction | None) -> int:
    """Gives each chosen stay its place in the file and its ids as shown; the number of stays.

    Redacted stays stand in the order of their hashes, which tells nothing of the source's.
    """
    rows = engine.rows("SELECT row, stay, subject FROM stays WHERE chosen ORDER BY row")
    stay, subject = shown("stay", redact), shown("subject", redact)
    ids = [(stay(one), subject(two), row) for row, one, two in rows]
    if redact is not None:
        ids.sort()
    engine.connection.execute(
        "CREATE TABLE places"
        " (place INTEGER, shown_stay VARCHAR, shown_subject VARCHAR, row INTEGER)"
    )
    engine.fill("places", [(at, *entry) for at, entry in enumerate(ids)])
    return len(ids)


def write(
    engine: Engine,
    into: Path,
    meta: CohortMeta,
    redact: Redaction | None,
) -> CohortMeta:
    """Writes the chosen stays. Raises InputError where there are none."""
    size = place(engine, redact)
    if not size:
        dropped = [step for step in meta.flow if step.of == "stays" and step.dropped]
        reasons = ", ".join(f"{step.dropped:,}: {step.step}" for step in dropped)
        raise InputError(f"no stay is left for the cohort ({reasons or 'there were none'})")
    query = files(__package__).joinpath("sql", "records.sql").read_text(encoding="utf-8")
    with cohort_writer(into) as writer:
        for low in range(0, size, ROWS):
            writer.add(engine.arrow(query, {"low": low, "high": low + ROWS}))
        writer.finish(meta)
    return meta


def outcome_notes(engine: Engine) -> tuple[str, ...]:
    """What must be known of a cohort's outcomes and of records that hold nothing."""
    ((stays, deaths),) = engine.rows("SELECT count(*), count_if(died) FROM stays WHERE chosen")
    ((empty,),) = engine.rows(
        "SELECT count(*) FROM stays WHERE chosen"
        " AND row NOT IN (SELECT row FROM chart_means)"
        " AND row NOT IN (SELECT row FROM medication_means)"
        " AND row NOT IN (SELECT row FROM presence)"
    )
    notes = [ONE_CLASS] if stays and deaths in {0, stays} else []
    if empty:
        notes.append(f"{empty:,} of {stays:,} stays have no event in the window; they are kept")
    return tuple(notes)


def meta(
    source: str,
    settings: CohortSettings,
    flow: Sequence[FlowStep],
    notes: Sequence[str],
    redact: Redaction | None,
) -> CohortMeta:
    """How a cohort was made, from its parts."""
    if redact is not None:
        where = "in a file that is not part of the cohort" if redact.kept else "stored nowhere"
        notes = [*notes, f"ids are keyed hashes (HMAC-SHA-256); the key is {where}"]
    return CohortMeta(
        source=source,
        settings=asdict(settings),
        flow=tuple(flow),
        notes=tuple(notes),
        redacted=redact is not None,
    )
