"""Files that commands write: one that exists is never written over without `--force`."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from patientdx.errors import UsageError

from .option_groups import Invocation, Values

_FORCE = "force"
_Force = Annotated[bool, typer.Option("--force", help="Write over files that exist.")]

FilesOf = Callable[[Values], Iterable[Path]]
"""The files that an option leads to, by the values of all options."""


class NewFiles:
    """These options name files to write; the rule brings the option --force.

    A file that exists is refused without it, before any work is done, and so are two options that
    name one file. Devices, pipes and "-" (standard output) have no content to lose. An option
    whose files have names derived from its value comes as NAME=FUNCTION.
    """

    def __init__(self, *options: str, **derived: FilesOf) -> None:
        self._options = options
        self._derived = derived

    @property
    def own_option(self) -> inspect.Parameter:
        """See OptionRule: --force."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(_FORCE, keyword, default=False, annotation=_Force)

    def check(self, call: Invocation) -> None:
        """See Rule."""
        named = dict(self._named_files(call.values))
        flags = " or ".join(call.flag(name) for name in (*self._options, *self._derived))
        if call.values[_FORCE] and not any(named.values()):
            raise UsageError("--force has no effect here", hint=f"it goes with {flags}")
        options_of = defaultdict(list)
        for name, paths in named.items():
            for path in paths:
                options_of[path].append(call.flag(name))
        for path, options in options_of.items():
            if len(options) > 1:
                raise UsageError(
                    f"{options[0]} and {options[1]} write the same file: {path}",
                    hint="give each file a name of its own",
                )
            if not call.values[_FORCE] and _exists(path):
                raise UsageError(
                    f"{path}: this file exists",
                    hint=f"name another with {options[0]}, or write over it with --force",
                )

    def _named_files(self, values: Values) -> Iterator[tuple[str, list[Path]]]:
        for name in self._options:
            value = values[name]
            paths = value if isinstance(value, list) else [value]
            yield name, [path for path in paths if path is not None and str(path) != "-"]
        for name, files_of in self._derived.items():
            yield name, list(files_of(values)) if values[name] else []


def _exists(path: Path) -> bool:
    """True for a file with content of its own; false where the system cannot check."""
    try:
        return path.is_file()
    except OSError:
        return False
