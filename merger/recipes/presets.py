"""The recipes that ship: the paper's models and their ablations, ids inferred, some reconstructed.

The merge that the paper's authors published is PUBLISHED, on the hub.
"""

from importlib.resources import files
from typing import NamedTuple

from patientdx.errors import UsageError

PUBLISHED = "Jgmorenof/mistral_merged_0_4"


class Preset(NamedTuple):
    """A recipe that ships: its name, one sentence about it, and its YAML."""

    name: str
    about: str
    text: str


def list_presets() -> list[Preset]:
    """All of them, by name; a model comes before its ablations."""
    found = []
    for entry in files(__package__).joinpath("shipped").iterdir():
        if entry.name.endswith(".yml"):
            text = entry.read_text(encoding="utf-8")
            about = text.partition("\n")[0].removeprefix("# ")
            found.append(Preset(entry.name.removesuffix(".yml"), about, text))
    return sorted(found)


def load_preset(name: str) -> Preset:
    """The preset of a name. Raises UsageError where there is none."""
    found = list_presets()
    for one in found:
        if one.name == name:
            return one
    raise UsageError(
        f"there is no preset `{name}`", hint=f"choose of: {', '.join(one.name for one in found)}"
    )
