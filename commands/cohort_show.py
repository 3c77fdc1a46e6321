"""`cohort show`, and what the commands that make a cohort say of it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, output

if TYPE_CHECKING:
    from evaluator.cohorts import Cohort, CohortMeta
    from evaluator.cohorts.description import CohortDescription

SectionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sections",
        help="mortality, mortality-hard, or names between commas; may be given several times.",
    ),
]
TemplatesOption = Annotated[
    Path | None, typer.Option("--templates", help="File of the records' wording (TOML).")
]


def show(
    cohort: Annotated[Path, typer.Argument(help="A cohort file.")],
    sections: SectionsOption = None,
    templates: TemplatesOption = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", help="A tokenizer.json to count tokens by (default: words)."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show what a cohort holds: stays, deaths, tokens, characters, and how it was made.

    Example:
        patientdx cohort show cohort.parquet
    """
    from evaluator.cohorts import parse_sections, read_cohort, read_templates
    from evaluator.cohorts.description import describe_cohort, load_token_counter

    opened, wording = read_cohort(cohort), read_templates(templates)
    count = load_token_counter(tokenizer) if tokenizer else None
    by = f"tokens of {tokenizer.name}" if tokenizer else "words and marks"
    told = {
        name: describe_cohort(
            opened, parse_sections(name), templates=wording, count_tokens=count, counted_by=by
        )
        for name in sections or ["mortality", "mortality-hard"]
    }
    if as_json:
        made = made_json(opened.meta)
        output.json_data({"records": {k: asdict(v) for k, v in told.items()}, **made})
        return
    for line in _columns(_table(told)):
        output.data(line)
    output.data("")
    _how(opened, by)


def _how(cohort: "Cohort", by: str) -> None:
    meta = cohort.meta
    output.data(f"tokens: {by}; source: {meta.source}, written by patientdx {meta.version}")
    output.data("; ".join(f"{name} {value}" for name, value in meta.settings.items()))
    output.data("")
    for line in flow_lines(meta):
        output.data(line)
    for note in meta.notes:
        output.data(f"note: {note}")
    output.data(output.RESEARCH)


def _table(told: "dict[str, CohortDescription]") -> list[Sequence[str]]:
    head = ("records", "stays", "deaths", "tokens", "characters", "digits", "letters", "spaces")
    rows: list[Sequence[str]] = [head]
    for name, one in told.items():
        deaths = f"{one.deaths:,} ({one.prevalence:.1%})"
        means = (f"{one.tokens:,.0f}", f"{one.characters:,.0f}")
        shares = (f"{share:.2%}" for share in (one.digits, one.letters, one.spaces))
        rows.append((name, f"{one.stays:,}", deaths, *means, *shares))
    return rows


def tell(meta: "CohortMeta", into: Path, *, as_json: bool, quiet: bool) -> None:
    """The flow table on stdout, warnings and the next command on stderr."""
    if as_json:
        output.json_data(made_json(meta))
    elif not quiet:
        for line in flow_lines(meta):
            output.data(line)
    for note in meta.notes:
        output.say(f"note: {note}")
    output.say(f"{into}: for your eyes alone (mode 0600)", quiet=quiet)
    output.hint(f"patientdx cohort show {into}", quiet=quiet)


def made_json(meta: "CohortMeta") -> dict[str, Any]:
    """How a cohort was made, for JSON."""
    value = asdict(meta)
    return value | {"flow": [step._asdict() for step in meta.flow]}


def flow_lines(meta: "CohortMeta") -> list[str]:
    """The flow table as text."""
    from evaluator.cohorts.flow import flow_table

    head = ("of", "rule: left out is what …", "dropped", "left")
    return _columns([head, *flow_table(meta.flow)], left=2)


def _columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
