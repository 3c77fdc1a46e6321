"""`doctor`: what is installed, and what else could be."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from console.option_groups import command
from console.output import TableOutput
from patientdx.wording import count_noun

from . import options

if TYPE_CHECKING:
    from patientdx.capabilities import Capability, Machine

NOT_COMPILED = "no; install a C compiler and install again, searches are many times slower without"


@command()
def doctor(*, output: TableOutput) -> None:
    """Show what is installed here and what each extra would add.

    Example:
        patientdx doctor --json
    """
    from indexer.compiled import load_native
    from patientdx.capabilities import capabilities, machine

    extras = capabilities()
    compiled = load_native() is not None
    here = machine(options.settings().cache, os.environ)
    output.show_table(
        lambda: _data(extras, here, compiled=compiled),
        lambda: _lines(extras, here, compiled=compiled),
        lambda: [
            ("extra", "installed", "enables", "install"),
            *((e.extra, e.installed, e.enables, e.install) for e in extras),
        ],
        lambda: (extra.extra for extra in extras if extra.installed),
    )


def _data(extras: "Sequence[Capability]", here: "Machine", *, compiled: bool) -> dict[str, Any]:
    return {
        "machine": {**asdict(here), "folder": str(here.folder)},
        "compiled_engine": compiled,
        "extras": [
            {
                **asdict(extra),
                "packages": [package._asdict() for package in extra.packages],
                "installed": extra.installed,
                "install": extra.install,
            }
            for extra in extras
        ],
    }


def _lines(extras: "Sequence[Capability]", here: "Machine", *, compiled: bool) -> Iterator[str]:
    yield f"Python {here.python}, {here.platform}, {count_noun(here.cores, 'core')}"
    yield (
        f"memory {_gib(here.memory_bytes)}, {_gib(here.free_disk_bytes)} free in {here.folder}, "
        f"GPU {'seen' if here.gpu else 'not seen'}"
    )
    yield f"compiled engine: {'yes' if compiled else NOT_COMPILED}"
    for extra in extras:
        mark = "yes" if extra.installed else "no "
        yield f"\n{mark}  {extra.extra:<10} {extra.enables}"
        packages = ", ".join(f"{p.name} {p.version or '(missing)'}" for p in extra.packages)
        yield f"     {packages}"
        if not extra.installed:
            yield f"     {extra.install_in_checkout}"


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
