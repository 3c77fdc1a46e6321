"""Cohorts: stays of a source as a cohort file, and a description of such a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.cohorts import builder, description
from evaluator.cohorts.cohort import read_cohort
from evaluator.cohorts.database import DatabaseOptions
from evaluator.cohorts.description import CohortDescription, load_token_counter
from evaluator.cohorts.metadata import CohortMeta
from evaluator.cohorts.redaction import make_redactor
from evaluator.cohorts.sections import read_templates
from evaluator.cohorts.settings import CohortSettings
from evaluator.cohorts.sources.registry import COHORT_SOURCES, CohortSource
from patientdx.errors import UsageError

from .monitor import LOG, Monitor
from .stays import PAPER_TASKS, parse_tasks


@dataclass(frozen=True)
class CohortSummary:
    """How a cohort was made, and what its records hold by record set.

    `counted_by` says what a token is.
    """

    meta: CohortMeta
    records: Mapping[str, CohortDescription]
    counted_by: str


def build_cohort(
    source: str,
    folder: Path | str,
    into: Path | str,
    *,
    settings: CohortSettings | None = None,
    database: DatabaseOptions | None = None,
    redact_ids: bool = False,
    key_file: Path | None = None,
    monitor: Monitor = LOG,
    **inputs: object,
) -> CohortMeta:
    """Write the cohort file `into` from the tables in `folder`, and return how it was made.

    `source` is mimic-iv, mimic-iii, physionet2012 or meds. `inputs` are what its reader takes
    beside the folder: `icd_map` (MIMIC; a file of ICD-9 and ICD-10 codes), `subset` (PhysioNet;
    a, b or c), `labels` and `codes` (MEDS). Where ids are redacted, the key of their hashes comes
    from `key_file`, by default a new one that is stored nowhere. Raises UsageError for an unknown
    source, InputError for tables that cannot be used; then nothing is written.
    """
    row = cohort_source(source)
    if key_file is not None and not redact_ids:
        raise UsageError("a key file has no effect where ids are not redacted")
    return builder.build_cohort(
        row.reader(Path(folder), **inputs),
        Path(into),
        settings or row.defaults,
        database_options=database,
        redactor=make_redactor(key_file) if redact_ids else None,
        on_step=monitor.notice,
    )


def cohort_source(name: str) -> CohortSource:
    """A source of cohorts and its default settings. Raises UsageError for an unknown name."""
    if name not in COHORT_SOURCES:
        raise UsageError(
            f"`{name}` is no source of cohorts", hint=f"sources are {', '.join(COHORT_SOURCES)}"
        )
    return COHORT_SOURCES[name]


def describe_cohort(
    path: Path | str,
    sections: Sequence[str] = PAPER_TASKS,
    *,
    templates: Path | None = None,
    tokenizer: Path | None = None,
) -> CohortSummary:
    """Count stays, deaths, tokens and characters of a cohort file, for each set of sections.

    Each entry of `sections` is mortality, mortality-hard, or section names between commas. Tokens
    are those of a `tokenizer` (tokenizer.json), by default words and marks. Raises InputError for
    files that cannot be read, UsageError for unknown sections.
    """
    cohort, wording = read_cohort(Path(path)), read_templates(templates)
    count_tokens = load_token_counter(tokenizer) if tokenizer else None
    counted_by = f"tokens of {tokenizer.name}" if tokenizer else "words and marks"
    records = {
        name: description.describe_cohort(
            cohort, chosen, templates=wording, count_tokens=count_tokens, counted_by=counted_by
        )
        for name, chosen in parse_tasks(sections).items()
    }
    return CohortSummary(cohort.meta, records, counted_by)
