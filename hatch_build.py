"""Builds the compiled engines, where a C compiler is at hand; without one, installing goes on.

They (`indexer/native/*.c`, `merger/native/*.c`) use Python's limited API: one wheel serves all
versions.
"""

import logging
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS = ("indexer", "merger")
FLAGS = {
    "unix": ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"],
    # Strict floating point everywhere: sums of the canonical order must round as NumPy's do.
    "msvc": ["/std:c11", "/O2", "/fp:precise"],
}


class NativeBuildHook(BuildHookInterface[Any]):
    """Compiles before a wheel (or an editable install) is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Makes the modules and says for which machines the wheel is."""
        if self.target_name != "wheel":
            return
        del version
        if not _compiled(Path(self.root)):
            self.app.display_warning("no C compiler: installing without the compiled engines")
            return
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"


def _compiled(root: Path) -> bool:
    """Makes the modules in place, where the wheel takes them from; False where that failed."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):
        def build_extension(self, ext: Extension) -> None:
            ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
            super().build_extension(ext)

    def extension(room: str) -> Extension:
        folder = root / room / "native"
        return Extension(
            f"{room}._native",
            sorted(str(path.relative_to(root)) for path in folder.glob("*.c")),
            depends=sorted(str(path.relative_to(root)) for path in folder.glob("*.h")),
            py_limited_api=True,
        )

    extensions = [extension(room) for room in ROOMS]
    command = Build(Distribution({"name": "patientdx", "ext_modules": extensions}))
    command.inplace = True
    command.build_temp = str(root / "build" / "native")
    try:
        command.ensure_finalized()
        command.run()
    except Exception as error:  # noqa: BLE001 - whatever a compiler may do, installing goes on
        logging.getLogger(__name__).warning("the compiled engines were not built: %s", error)
        return False
    return True
