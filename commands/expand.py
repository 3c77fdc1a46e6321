"""`expand`: a whole file of queries, expanded once and kept."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from console.option_groups import Mode, Needs, command
from console.output import Notices
from console.output_files import NewFiles
from patientdx.errors import UsageError

from . import options
from .model_options import GeneratorOptions
from .query_options import (
    MODEL_OPTIONS,
    QueryFieldOptions,
    Vocabulary,
    asks_a_model,
    generator_settings,
    uses_vocabulary,
)


@command(
    Mode("clear", frozenset({"quiet"})),
    Mode("show_prompt", frozenset({"strategy"})),
    Needs(
        (*MODEL_OPTIONS, "with_replies"),
        asks_a_model("strategy"),
        "model options go with keywords, query2doc and grounded",
    ),
    Needs(("vocabulary",), uses_vocabulary("strategy"), "--vocabulary goes with synonyms"),
    NewFiles("out"),
)
def expand(
    strategy: Annotated[
        str, typer.Argument(help="keywords, query2doc, grounded, rm3, rocchio, synonyms, reduce.")
    ] = "keywords",
    queries: Annotated[
        str | None,
        typer.Option("--queries", help="The queries: a JSONL, TSV or CSV file, TREC topics, or -."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to this file, not to stdout.")
    ] = None,
    index: options.IndexFolder = None,
    vocabulary: Vocabulary = None,
    with_replies: Annotated[
        bool, typer.Option("--with-replies", help="Also write the model's replies.")
    ] = False,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Print the prompt of the strategy and stop.")
    ] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all kept replies of language models and stop.")
    ] = False,
    *,
    fields: QueryFieldOptions,
    model: GeneratorOptions,
    output: Notices,
) -> None:
    """Expand a file of queries into JSONL: ids and what was added, never the notes.

    Replies are kept as each batch completes: a command that was killed resumes where it stopped.

    Example:
        patientdx expand rm3 --queries queries.jsonl --index my-index -o expanded.jsonl
    """
    if clear:
        _clear_replies(output)
        return
    if show_prompt:
        _show_prompt(strategy, output)
        return
    if queries is None:
        raise UsageError("no queries named", hint="give --queries FILE, or - for stdin")
    from workflows.expansion import expand_query_file
    from workflows.query_files import read_query_file

    file = read_query_file(queries, fields.query_fields())
    file.report(output)
    rows = expand_query_file(
        file.queries,
        strategy,
        index=options.open_index(index) if index is not None else None,
        generator=generator_settings(model),
        vocabularies=tuple(vocabulary or ()),
        with_replies=with_replies,
        monitor=output,
    )
    _write(rows, out)


def _write(rows: list[dict[str, Any]], out: Path | None) -> None:
    from patientdx.formats import atomic_writer

    with atomic_writer("-" if out is None else out) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _clear_replies(output: Notices) -> None:
    from expander import clear_cache
    from workflows.generators import reply_cache_path

    path = reply_cache_path(options.settings().cache)
    removed = clear_cache(path)
    output.notice(f"removed {path}" if removed else f"there was no cache at {path}")


def _show_prompt(strategy: str, output: Notices) -> None:
    from expander import PROMPTED_STRATEGIES, read_prompt
    from workflows.systems import KEYWORDS_NOTE

    if strategy not in PROMPTED_STRATEGIES:
        hint = f"strategies with one: {', '.join(PROMPTED_STRATEGIES)}"
        raise UsageError(f"`{strategy}` has no prompt", hint=hint)
    typer.echo(read_prompt(strategy))
    if strategy == "keywords":
        output.notice(KEYWORDS_NOTE)
