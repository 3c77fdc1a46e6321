"""The origin of a merge, in `patientdx_merge.json` beside MergeKit's own recipe file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from merger.gguf.mixtures import GgufType
from patientdx.errors import MergeError

PROVENANCE_FILE = "patientdx_merge.json"
RECIPE_FILE = "mergekit_config.yml"
CARD_FILE = "README.md"
VERSION = 1
_OPTIONAL = frozenset({"seed", "torch_threads", "gguf", "quantizer", "label"})

_HINT = "name a folder that `patientdx merge` made"


@dataclass(frozen=True)
class InputFacts:
    """An input: its name in the recipe, its folder, and the sha256 of weights and configuration.

    `adapter` is the folder of its adapter; `repo` and `revision` are those of the hub, if known.
    `label` is what the card calls it; None in merges whose cards have the names of the recipe.
    """

    name: str
    folder: str
    digest: str
    adapter: str | None = None
    adapter_digest: str | None = None
    repo: str | None = None
    revision: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Provenance:
    """Everything needed to repeat a merge; `title` is that of its card, `cosines` a summary.

    `seed` is that of a method that draws at random, `torch_threads` the number of torch's threads
    in a merge by MergeKit, `gguf` the type of the GGUF file, and `quantizer` the package that
    wrote its numbers, if it was not ours. All are None where they do not matter, and in merges that
    were made before they were recorded.
    """

    title: str
    software: str
    engine: str
    recipe: str
    inputs: tuple[InputFacts, ...]
    shard_size: int
    unsound: bool
    command: str
    remarks: tuple[str, ...] = ()
    cosines: Mapping[str, Any] | None = None
    seed: int | None = None
    torch_threads: int | None = None
    gguf: GgufType | None = None
    quantizer: str | None = None

    def to_bytes(self) -> bytes:
        """The content of the file."""
        fields = asdict(self)
        # A merge of before these keys is written again without them, byte by byte.
        for entry in (fields, *fields["inputs"]):
            for key in _OPTIONAL & entry.keys():
                if entry[key] is None:
                    del entry[key]
        return (json.dumps({"version": VERSION, **fields}, indent=1) + "\n").encode()


def read_provenance(folder: Path) -> Provenance:
    """The provenance of a merge. Raises MergeError if there is none that can be read."""
    path = folder / PROVENANCE_FILE
    if not folder.is_dir():
        raise MergeError(f"{folder}: there is no such folder", hint=_HINT)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] > VERSION:
            raise MergeError(f"{path}: of a newer PatientDx", hint="update PatientDx")
        inputs = tuple(InputFacts(**facts) for facts in data.pop("inputs"))
        fields = {key: value for key, value in data.items() if key != "version"}
        return Provenance(inputs=inputs, **fields | {"remarks": tuple(data["remarks"])})
    except FileNotFoundError:
        raise MergeError(f"{folder}: has no {PROVENANCE_FILE}", hint=_HINT) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise MergeError(f"{path}: cannot be read", hint=_HINT) from None
