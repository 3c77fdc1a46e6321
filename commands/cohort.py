"""`cohort mimic-iv|mimic-iii|physionet2012|meds|show`: stays in intensive care as records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.command_names import CommandGroup
from console.option_groups import Excludes, command
from console.output import RESEARCH, Notices, Output, TableOutput, align_columns
from console.output_files import NewFiles

from . import options
from .cohort_options import (
    CODES_NEED_DIAGNOSES,
    KEY_NEEDS_REDACTION,
    MAP_NEEDS_CONVERSION,
    BuildOptions,
    Folder,
    IcdMap,
    Into,
    MedsCodeOptions,
    MimicOptions,
    MinAge,
    WindowOptions,
)

if TYPE_CHECKING:
    from evaluator.cohorts import CohortMeta
    from workflows.cohorts import CohortSummary

HEADER = ("records", "stays", "deaths", "tokens", "characters", "digits", "letters", "spaces")

NEW_COHORT = NewFiles("into")

app = typer.Typer(
    cls=CommandGroup,
    help="Make and describe cohorts for mortality prediction.",
    no_args_is_help=True,
)


@app.callback()
def main() -> None:
    """Make and describe cohorts for mortality prediction."""


def _mimic_command(source: str) -> Callable[..., None]:
    """The command of a version of MIMIC; both have the same options."""

    @command(KEY_NEEDS_REDACTION, MAP_NEEDS_CONVERSION, CODES_NEED_DIAGNOSES, NEW_COHORT)
    def build(
        folder: Folder,
        into: Into,
        icd_map: IcdMap = None,
        *,
        mimic: MimicOptions,
        window: WindowOptions,
        resources: BuildOptions,
        output: Output,
    ) -> None:
        settings = asdict(window) | asdict(mimic)
        _build(source, folder, into, settings, resources, output, icd_map=icd_map)

    return build


mimic_iv = _mimic_command("mimic-iv")
mimic_iv.__doc__ = """Make a cohort of MIMIC-IV (1.0 to 3.x) as Mimic4Dataset does.

Adults whose stay in intensive care lasted 54 hours or longer, described by its first 48; the label
is death within the stay. Results hold every constant, and a table of what was dropped and why.

Example:
    patientdx cohort mimic-iv mimic-iv-demo --into cohort.parquet
"""
app.command("mimic-iv")(mimic_iv)

mimic_iii = _mimic_command("mimic-iii")
mimic_iii.__doc__ = """Make a cohort of MIMIC-III's tables, by the rules of `cohort mimic-iv`.

Example:
    patientdx cohort mimic-iii mimic-iii-demo --into cohort.parquet
"""
app.command("mimic-iii")(mimic_iii)


@app.command("physionet2012")
@command(KEY_NEEDS_REDACTION, NEW_COHORT)
def physionet2012(
    folder: Folder,
    into: Into,
    subset: Annotated[str, typer.Option("--set", help="Set of the challenge: a, b or c.")] = "a",
    *,
    window: WindowOptions,
    resources: BuildOptions,
    output: Output,
) -> None:
    """Make a cohort of the open PhysioNet challenge of 2012 (in-hospital death, 48 hours).

    Example:
        patientdx cohort physionet2012 physionet2012 --into cohort.parquet
    """
    settings = asdict(window)
    _build("physionet2012", folder, into, settings, resources, output, subset=subset.lower())


@app.command("meds")
@command(KEY_NEEDS_REDACTION, NEW_COHORT)
def meds(
    folder: Folder,
    into: Into,
    labels: Annotated[
        Path, typer.Option("--labels", help="File or folder of MEDS labels (boolean_value).")
    ],
    min_age: MinAge = 18,
    *,
    codes: MedsCodeOptions,
    window: WindowOptions,
    resources: BuildOptions,
    output: Output,
) -> None:
    """Make a cohort of any MEDS 0.4 folder and its labels; the window ends at the prediction.

    Example:
        patientdx cohort meds meds --labels labels.parquet --into cohort.parquet
    """
    from evaluator.cohorts.sources.meds import MedsCodes

    settings = {"min_age": min_age, **asdict(window)}
    inputs = {"labels": labels, "codes": MedsCodes(**asdict(codes))}
    _build("meds", folder, into, settings, resources, output, **inputs)


@app.command("show")
@command(Excludes(("as_json", "as_tsv")))
def show(
    cohort: Annotated[Path, typer.Argument(help="A cohort file.")],
    sections: options.Sections = None,
    templates: options.TemplatesFile = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", help="A tokenizer.json to count tokens by (default: words)."),
    ] = None,
    *,
    output: TableOutput,
) -> None:
    """Show what a cohort holds: stays, deaths, tokens, characters, and how it was made.

    Example:
        patientdx cohort show cohort.parquet
    """
    from workflows.cohorts import describe_cohort
    from workflows.stays import PAPER_TASKS

    summary = describe_cohort(
        cohort, sections or PAPER_TASKS, templates=templates, tokenizer=tokenizer
    )
    output.show_table(
        lambda: {
            "records": {name: asdict(records) for name, records in summary.records.items()},
            **_meta_json(summary.meta),
        },
        lambda: [*_records_table(summary), "", *_provenance_lines(summary)],
        lambda: [HEADER, *_record_rows(summary)],
        lambda: _records_table(summary),
    )


def _build(
    source: str,
    folder: Path,
    into: Path,
    settings: Mapping[str, Any],
    resources: BuildOptions,
    output: Output,
    **inputs: object,
) -> None:
    """Make a cohort file, and print its flow table, warnings and the next command."""
    from evaluator.cohorts.database import DatabaseOptions
    from workflows.cohorts import build_cohort, cohort_source

    threads = resources.threads or options.threads()
    meta = build_cohort(
        source,
        folder,
        into,
        settings=replace(cohort_source(source).defaults, **settings),
        database=DatabaseOptions(resources.memory, threads, resources.spill),
        redact_ids=resources.redact_ids,
        key_file=resources.key_file,
        monitor=output,
        **inputs,
    )
    output.show(lambda: _meta_json(meta), lambda: _flow_lines(meta))
    for note in meta.notes:
        Notices().notice(f"note: {note}")  # even with --quiet: one of them warns of a leak
    output.notice(f"{into}: for your eyes alone (mode 0600)")
    output.hint(f"patientdx cohort show {into}")


def _meta_json(meta: "CohortMeta") -> dict[str, Any]:
    return asdict(meta) | {"flow": [step._asdict() for step in meta.flow]}


def _record_rows(summary: "CohortSummary") -> Iterator[list[object]]:
    """The numbers that the header names, unrounded."""
    for name, records in summary.records.items():
        yield [name, *(getattr(records, column) for column in HEADER[1:])]


def _records_table(summary: "CohortSummary") -> list[str]:
    rows: list[Sequence[str]] = [HEADER]
    for name, records in summary.records.items():
        deaths = f"{records.deaths:,} ({records.prevalence:.1%})"
        means = (f"{records.tokens:,.0f}", f"{records.characters:,.0f}")
        shares = (f"{share:.2%}" for share in (records.digits, records.letters, records.spaces))
        rows.append((name, f"{records.stays:,}", deaths, *means, *shares))
    return align_columns(rows)


def _provenance_lines(summary: "CohortSummary") -> Iterator[str]:
    meta = summary.meta
    source = f"source: {meta.source}, written by patientdx {meta.version}"
    yield f"tokens: {summary.counted_by}; {source}"
    yield "; ".join(f"{name} {value}" for name, value in meta.settings.items())
    yield ""
    yield from _flow_lines(meta)
    yield from (f"note: {note}" for note in meta.notes)
    yield RESEARCH


def _flow_lines(meta: "CohortMeta") -> list[str]:
    from evaluator.cohorts.flow import flow_table

    header = ("of", "rule: left out is what …", "dropped", "left")
    return align_columns([header, *flow_table(meta.flow)], left=2)
