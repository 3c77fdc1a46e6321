"""Builds the wheel: compiles the C extensions, and moves all packages into `patientdx`.

In a checkout the packages lie side by side (`indexer`, `merger` ...). A wheel must not install
such general names, so there they become `patientdx.indexer` and so on, and the build rewrites
the imports between them. Each module therefore has exactly one name in either place.

The extensions (`indexer/native/*.c`, `merger/kernels/native/*.c`) use Python's limited API: one
wheel serves all versions. Without a C compiler the build goes on, and NumPy does the same work;
with PATIENTDX_REQUIRE_COMPILER=1 (releases) it fails instead.
"""

import logging
import os
import re
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MOVED = ("indexer", "expander", "merger", "evaluator", "workflows", "console", "commands", "cli")
"""Top-level packages and modules that lie inside `patientdx` in a wheel."""

EXTENSIONS = {
    "indexer._native": "indexer/native",
    "merger.kernels._native": "merger/kernels/native",
}
"""C extensions: the module, and the folder of its sources."""

FLAGS = {
    "unix": ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"],
    # Strict floating point everywhere: sums of the canonical order must round as NumPy's do.
    "msvc": ["/std:c11", "/O2", "/fp:precise"],
}

_IMPORT = re.compile(rf"^(\s*)(from|import) (?=(?:{'|'.join(MOVED)})\b)", re.MULTILINE)


class WheelBuildHook(BuildHookInterface[Any]):
    """Prepares what a wheel (or an editable install) is put together from."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles the extensions, and lays out the files of a wheel."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        if _compile_extensions(root):
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"
        elif os.environ.get("PATIENTDX_REQUIRE_COMPILER") == "1":
            raise RuntimeError(
                "the C extensions were not built, and PATIENTDX_REQUIRE_COMPILER=1 requires them"
            )
        else:
            self.app.display_warning("no C compiler: installing without the compiled engines")
        if version != "editable":
            staging = root / "build" / "wheel"
            _stage_package(root, staging)
            build_data["force_include"][str(staging / "patientdx")] = "patientdx"


def _stage_package(root: Path, staging: Path) -> None:
    """Copies all packages into `staging/patientdx`, with the imports that hold there."""
    shutil.rmtree(staging, ignore_errors=True)
    package = staging / "patientdx"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "patientdx", package, ignore=ignored)
    for name in MOVED:
        if (root / name).is_dir():
            shutil.copytree(root / name, package / name, ignore=ignored)
        else:
            shutil.copy2(root / f"{name}.py", package)
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):
        source = path.read_text(encoding="utf-8")
        rewritten = _IMPORT.sub(r"\1\2 patientdx.", source)
        if rewritten != source:
            path.write_text(rewritten, encoding="utf-8")


def _compile_extensions(root: Path) -> bool:
    """Compiles in place, beside the Python modules; False where that failed."""
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):
        def build_extension(self, ext: Extension) -> None:
            ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, [])
            super().build_extension(ext)

    def extension(module: str, folder: str) -> Extension:
        sources = root / folder
        return Extension(
            module,
            sorted(str(path.relative_to(root)) for path in sources.glob("*.c")),
            depends=sorted(str(path.relative_to(root)) for path in sources.glob("*.h")),
            py_limited_api=True,
        )

    extensions = [extension(module, folder) for module, folder in EXTENSIONS.items()]
    command = Build(Distribution({"name": "patientdx", "ext_modules": extensions}))
    command.inplace = True
    command.build_temp = str(root / "build" / "native")
    try:
        command.ensure_finalized()
        command.run()
    except Exception as error:  # noqa: BLE001 - whatever a compiler may do, installing goes on
        logging.getLogger(__name__).warning("the C extensions were not built: %s", error)
        return False
    return True
