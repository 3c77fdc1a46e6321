"""The command line: the Typer application and the one place where errors become sentences."""

import inspect
import io
import os
import sys
from typing import Annotated, Any

import typer

from commands import (
    cohort,
    data,
    demo,
    doctor,
    evaluate,
    expand,
    index,
    merge,
    model,
    mortality,
    search,
    tune,
    tune_merge,
)
from console.command_names import CommandGroup
from console.terminal import without_controls
from patientdx import __version__
from patientdx.errors import PatientDxError, UsageError

EPILOG = (
    "Exit codes: 0 done, 1 failed with a sentence, 2 wrong usage, 130 interrupted. "
    "PATIENTDX_INDEX names the index, PATIENTDX_CACHE the cache folder, PATIENTDX_THREADS the "
    "number of threads; NO_COLOR turns colour off. For research use; not a medical device."
)


class Boundary(CommandGroup):
    """Turns errors of the tree into two lines on stderr; patient text is never among them."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except PatientDxError as error:
            typer.echo(without_controls(f"error: {error.message}"), err=True)
            if error.hint:
                typer.echo(without_controls(f"\nhint: {error.hint}"), err=True)
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None
        except OSError as error:
            # The reader went away (`| head`), the disk under `> file` is full: keep Python from
            # complaining when it flushes what is left. About a reader nothing is said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                place = error.filename or "standard output"
                typer.echo(f"error: {place}: {error.strerror or type(error).__name__}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Boundary,
    name="patientdx",
    help="Find the patients like this one. Nothing leaves the machine.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},  # groups and commands inherit them
    # A local variable here may be a patient's note: tracebacks must never print them.
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"patientdx {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options that stand before the name of a command."""


app.command("demo")(demo.demo)
app.add_typer(index.app, name="index")
app.command("search")(search.search)
app.command("similar")(search.similar)
app.command("expand")(expand.expand)
app.command("evaluate-ir")(evaluate.evaluate_ir)
app.command("tune-ir")(tune.tune_ir)
app.command("merge")(merge.merge)
app.command("tune-merge")(tune_merge.tune_merge)
app.add_typer(cohort.app, name="cohort")
app.command("evaluate-mortality")(mortality.evaluate_mortality)
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")
app.command("doctor")(doctor.doctor)


def _keep_examples(application: typer.Typer) -> None:
    """Lets examples stand in the help as they are written; a backspace tells Typer to."""
    for command in application.registered_commands:
        text = inspect.getdoc(command.callback) or ""
        command.help = text.replace("Example:", "\b\nExample:")
    for group in application.registered_groups:
        if group.typer_instance is not None:
            _keep_examples(group.typer_instance)


_keep_examples(app)


def main() -> None:
    """Entry point of `patientdx` and of `python cli.py`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that is not UTF-8 shows an escape where it lacks a character.
        sys.stdout.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()
