"""Python code that a model brings along, which `auto_map` in its configuration names.

The code is never run. A merge of a type of models that transformers knows does not need it and
does not name it; one of another type gets the files as they are.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from merger.families.table import find_family

AUTO_MAP = "auto_map"
_LARGEST = 1 << 22  # bytes of a file of code
_MODULE = re.compile(r"[A-Za-z_]\w*")
_IMPORT = re.compile(r"^\s*(?:from\s+\.(\w+)[\w.]*\s+import|import\s+\.(\w+))", re.MULTILINE)


class ModelCode(NamedTuple):
    """The code of a merge: its config.json, the files by name, and remarks on both."""

    config: Mapping[str, Any]
    files: Mapping[str, bytes] = MappingProxyType({})
    remarks: tuple[str, ...] = ()


def read_model_code(folder: Path, config: Mapping[str, Any], name: str) -> ModelCode:
    """What a merge takes of the code of its base; `name` is that of the base in messages.

    The configuration names code if and only if all of its files are there.
    """
    if not config.get(AUTO_MAP):
        return ModelCode(config)
    without = {key: value for key, value in config.items() if key != AUTO_MAP}
    model_type = config.get("model_type")
    if find_family(config).known:
        remark = (
            f"the code that config.json of {name} names is left out: transformers knows "
            f"{model_type} without it"
        )
        return ModelCode(without, remarks=(remark,))
    files, missing = _read_modules(folder, sorted(set(_modules(config[AUTO_MAP]))))
    if missing:
        remark = (
            f"config.json of {name} names code that is not there ({missing[0]}.py); that of the "
            "merge does not"
        )
        return ModelCode(without, remarks=(remark,))
    listed = ", ".join(files) or "code in another repository"
    remark = f"the merge has code of {name} ({listed}): loading it needs trust_remote_code"
    return ModelCode(config, files, (remark,))


def _modules(auto_map: Any) -> Iterator[str]:
    """The modules that `auto_map` names in the folder, not those in other repositories."""
    values = auto_map.values() if isinstance(auto_map, Mapping) else ()
    for value in values:
        for reference in value if isinstance(value, list | tuple) else (value,):
            if isinstance(reference, str) and "--" not in reference:
                yield reference.partition(".")[0]


def _read_modules(folder: Path, modules: list[str]) -> tuple[dict[str, bytes], list[str]]:
    """The files of modules and of those that they import, and the modules that are missing."""
    files: dict[str, bytes] = {}
    missing: list[str] = []
    waiting = list(modules)
    while waiting:
        module = waiting.pop(0)
        if f"{module}.py" in files or module in missing:
            continue
        source = _read_source(folder / f"{module}.py") if _MODULE.fullmatch(module) else None
        if source is None:
            missing.append(module)
            continue
        files[f"{module}.py"] = source
        imports = _IMPORT.findall(source.decode("utf-8"))
        waiting += [first or second for first, second in imports]
    return dict(sorted(files.items())), missing


def _read_source(path: Path) -> bytes | None:
    """The text of a file of code; None if there is none that can be read."""
    with suppress(OSError, UnicodeDecodeError):
        if path.is_file() and path.stat().st_size <= _LARGEST:
            source = path.read_bytes()
            source.decode("utf-8")
            return source
    return None
