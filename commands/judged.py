"""Options that name queries and their judgements, which measuring and tuning share."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from patientdx.errors import UsageError

DataFolder = Annotated[
    Path | None, typer.Option("--data", help="A BEIR or ReCDS folder with queries and qrels.")
]
Split = Annotated[str, typer.Option("--split", help="Which judgements of --data.")]
QueriesFile = Annotated[str | None, typer.Option("--queries", help="A queries file.")]
QrelsFile = Annotated[str | None, typer.Option("--qrels", help="A judgements file.")]
Depth = Annotated[int, typer.Option("--depth", min=1, help="Hits taken a query.")]


class Sources(NamedTuple):
    """Where queries and judgements are read from."""

    queries: Path | str
    qrels: Path | str


def sources(data: Path | None, split: str, queries: str | None, qrels: str | None) -> Sources:
    """The files of queries and judgements. Raises UsageError unless one way is named."""
    from patientdx.formats import evaluation_files

    if data is not None and queries is None and qrels is None:
        files = evaluation_files(data, split)
        return Sources(files.queries, files.qrels)
    if data is None and queries is not None and qrels is not None:
        return Sources(queries, qrels)
    raise UsageError(
        "give --data FOLDER, or both --queries and --qrels",
        hint="--data ReCDS --split dev",
    )


def check_format(form: str) -> None:
    """Raises UsageError for a form of tables that there is not."""
    from evaluator import FORMATS

    if form not in FORMATS:
        raise UsageError(
            f"`{form}` is not a format of tables", hint=f"formats are {', '.join(FORMATS)}"
        )
