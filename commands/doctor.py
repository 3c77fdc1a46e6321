"""`doctor`: what is installed, and what else could be."""

import os
from dataclasses import asdict

from . import options, output

NOT_COMPILED = "no; install a C compiler and install again, searches are many times slower without"


def doctor(as_json: options.Json = False) -> None:
    """Tell what is installed here and what each extra would add.

    Example:
        patientdx doctor --json
    """
    from indexer.compiled import load_native
    from patientdx.capabilities import capabilities, machine

    found = capabilities()
    compiled = load_native() is not None
    here = machine(options.settings().cache, os.environ)
    if as_json:
        extras = [
            {
                **asdict(one),
                "packages": [package._asdict() for package in one.packages],
                "installed": one.installed,
                "install": one.install,
            }
            for one in found
        ]
        output.json_data(
            {
                "machine": {**asdict(here), "folder": str(here.folder)},
                "compiled_engine": compiled,
                "extras": extras,
            }
        )
        return
    output.data(f"Python {here.python}, {here.platform}, {here.cores} cores")
    output.data(
        f"memory {_gib(here.memory_bytes)}, {_gib(here.free_disk_bytes)} free in {here.folder}, "
        f"GPU {'seen' if here.gpu else 'not seen'}"
    )
    output.data(f"compiled engine: {'yes' if compiled else NOT_COMPILED}")
    for one in found:
        mark = "yes" if one.installed else "no "
        output.data(f"\n{mark}  {one.extra:<10} {one.enables}")
        packages = ", ".join(f"{p.name} {p.version or '(missing)'}" for p in one.packages)
        output.data(f"     {packages}")
        if not one.installed:
            output.data(f"     {one.install_in_checkout}")


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
