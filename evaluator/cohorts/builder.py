"""Builds a cohort file from any source: settings, the source's tables, notes, rows of the file."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from evaluator.cohorts.sources.reader import SourceReader
from patientdx.errors import InputError

from .database import Database, DatabaseOptions, open_database, read_script
from .file_format import ROW_GROUP
from .metadata import CohortMeta
from .redaction import IdRedactor, id_formatter
from .settings import PAPER_SETTINGS, CohortSettings
from .writer import open_cohort_writer

ONE_CLASS_NOTE = "every stay has the same outcome: AUROC and AUPRC are undefined on this cohort"


def build_cohort(
    reader: SourceReader,
    output: Path,
    settings: CohortSettings = PAPER_SETTINGS,
    *,
    database_options: DatabaseOptions | None = None,
    redactor: IdRedactor | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> CohortMeta:
    """Writes the cohort file `output` and returns its metadata.

    `on_step` is called with a few words as each step begins. Raises InputError for a source that
    cannot be used, or that has no stay for the cohort; then nothing is written.
    """
    with open_database(database_options or DatabaseOptions(), output) as database:
        set_parameters(database, settings)
        contents = reader.read(database, settings, on_step)
        on_step("writing")
        meta = CohortMeta(
            source=reader.source,
            settings=asdict(settings),
            flow=tuple(contents.flow),
            notes=(*contents.notes, *outcome_notes(database), *redaction_notes(redactor)),
            redacted=redactor is not None,
        )
        write_stays(database, output, meta, redactor)
    return meta


def set_parameters(database: Database, settings: CohortSettings) -> None:
    """Defines the variables and macros that all scripts use."""
    values = asdict(settings) | {"bins": settings.bins, "min_hours": settings.min_hours}
    values["low_quantile"] = settings.outlier_low_percentile / 100
    values["high_quantile"] = settings.outlier_percentile / 100
    database.set_variables(**values)
    database.run_script("macros")


def outcome_notes(database: Database) -> tuple[str, ...]:
    """Notes on a cohort with one outcome only, and on stays without any event."""
    ((stays, deaths),) = database.fetch_rows(
        "SELECT count(*), count_if(died) FROM stays WHERE chosen"
    )
    ((empty,),) = database.fetch_rows(
        "SELECT count(*) FROM stays WHERE chosen"
        " AND row NOT IN (SELECT row FROM chart_means)"
        " AND row NOT IN (SELECT row FROM medication_means)"
        " AND row NOT IN (SELECT row FROM presence)"
    )
    notes = [ONE_CLASS_NOTE] if stays and deaths in {0, stays} else []
    if empty:
        notes.append(f"{empty:,} of {stays:,} stays have no event in the window; they are kept")
    return tuple(notes)


def redaction_notes(redactor: IdRedactor | None) -> tuple[str, ...]:
    """A note on hashed ids and their key."""
    if redactor is None:
        return ()
    where = (
        "in a file that is not part of the cohort" if redactor.key_is_stored else "stored nowhere"
    )
    return (f"ids are keyed hashes (HMAC-SHA-256); the key is {where}",)


def write_stays(
    database: Database, output: Path, meta: CohortMeta, redactor: IdRedactor | None
) -> None:
    """Writes the chosen stays. Raises InputError where there are none."""
    size = _assign_file_positions(database, redactor)
    if not size:
        dropped = [step for step in meta.flow if step.of == "stays" and step.dropped]
        reasons = ", ".join(f"{step.dropped:,}: {step.step}" for step in dropped)
        raise InputError(f"no stay is left for the cohort ({reasons or 'there were none'})")
    query = read_script("records")
    with open_cohort_writer(output) as writer:
        for low in range(0, size, ROW_GROUP):
            writer.add(database.fetch_arrow(query, {"low": low, "high": low + ROW_GROUP}))
        writer.finish(meta)


def _assign_file_positions(database: Database, redactor: IdRedactor | None) -> int:
    """Gives each chosen stay its row in the file and its ids as written; the number of stays.

    Redacted stays are sorted by their hashes, so that their order reveals nothing of the source's.
    """
    rows = database.fetch_rows("SELECT row, stay, subject FROM stays WHERE chosen ORDER BY row")
    write_stay, write_subject = id_formatter("stay", redactor), id_formatter("subject", redactor)
    ids = [(write_stay(stay), write_subject(subject), row) for row, stay, subject in rows]
    if redactor is not None:
        ids.sort()
    database.connection.execute(
        "CREATE TABLE file_positions"
        " (position INTEGER, written_stay VARCHAR, written_subject VARCHAR, row INTEGER)"
    )
    database.insert_rows(
        "file_positions", [(position, *entry) for position, entry in enumerate(ids)]
    )
    return len(ids)
