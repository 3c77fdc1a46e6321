"""What a merge was made of: `patientdx_merge.json` in the folder, beside MergeKit's own recipe."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from patientdx.errors import MergeError

PROVENANCE_FILE = "patientdx_merge.json"
RECIPE_FILE = "mergekit_config.yml"
CARD_FILE = "README.md"
VERSION = 1

_HINT = "name a folder that `patientdx merge` made"


@dataclass(frozen=True)
class InputFacts:
    """An input: the recipe's name of it, where it lay, the sha256 of its weights and settings.

    `adapter` is the folder of its adapter; `repo` and `revision` are those of a hub, where known.
    """

    name: str
    folder: str
    digest: str
    adapter: str | None = None
    adapter_digest: str | None = None
    repo: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Provenance:
    """All that it takes to make a merge again; `title` is its card's, `cosines` a summary."""

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

    def to_bytes(self) -> bytes:
        """As it is written."""
        return (json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n").encode()


def read_provenance(folder: Path) -> Provenance:
    """The provenance of a merge. Raises MergeError where there is none that can be read."""
    path = folder / PROVENANCE_FILE
    if not folder.is_dir():
        raise MergeError(f"{folder}: there is no such folder", hint=_HINT)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] > VERSION:
            raise MergeError(f"{path}: of a newer PatientDx", hint="update PatientDx")
        inputs = tuple(InputFacts(**one) for one in found.pop("inputs"))
        fields = {key: value for key, value in found.items() if key != "version"}
        return Provenance(inputs=inputs, **fields | {"remarks": tuple(found["remarks"])})
    except FileNotFoundError:
        raise MergeError(f"{folder}: has no {PROVENANCE_FILE}", hint=_HINT) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise MergeError(f"{path}: cannot be read", hint=_HINT) from None


def read_hub_source(folder: Path) -> tuple[str | None, str | None]:
    """The repository and commit that a folder was fetched from, where `model get` noted them."""
    try:
        about = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
        repo, revision = about["repo"], about["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
    return (str(repo), str(revision)) if repo and revision else (None, None)
