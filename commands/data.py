"""`data get`: published corpora, fetched only when that is allowed."""

from pathlib import Path
from typing import Annotated

import typer

from console.command_names import CommandGroup
from console.option_groups import command
from console.output import Notices
from patientdx.wording import count_noun

from . import options

app = typer.Typer(cls=CommandGroup, help="Fetch published data.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Fetch published data."""


@app.command()
@command()
def get(
    name: Annotated[str, typer.Argument(help="pmc-patients or recds.")],
    into: Annotated[Path, typer.Option("--into", help="Folder to fetch into.")],
    allow_fetch: Annotated[
        bool, typer.Option("--allow-fetch", help="Allow this command to use the network.")
    ] = False,
    hub: Annotated[str | None, typer.Option("--hub", help="Address of the hub.")] = None,
    revision: Annotated[str, typer.Option("--revision", help="Revision of the data.")] = "main",
    *,
    output: Notices,
) -> None:
    """Fetch PMC-Patients or ReCDS from the Hugging Face hub; resumes, checks every file.

    Example:
        patientdx data get recds --into ReCDS --allow-fetch
    """
    from patientdx.fetching.hub import fetch_dataset

    settings = options.settings()
    with output.progress("fetching") as report_bytes:
        report = fetch_dataset(
            name,
            into,
            hub=hub or settings.hub,
            allowed=allow_fetch or settings.allow_fetch,
            revision=revision,
            on_progress=lambda _path, done, _size: report_bytes(done),
        )
    fetched = sum(1 for file in report.files if file.fetched)
    output.notice(
        f"{count_noun(len(report.files), 'file')} of {report.repo}@{report.revision[:12]} in "
        f"{into} ({fetched} fetched now); licence {report.licence}",
    )
    output.hint(f"patientdx index build {into} --into my-index")
