"""Recipes that ship with PatientDx: the paper's models and their ablations.

The paper names families of models, so the ids are inferred, and some ablations are reconstructed.
`PUBLISHED` is the merge that its authors published on the hub.
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
    """All presets, sorted by name; a model comes before its ablations."""
    presets = []
    for entry in files(__package__).joinpath("shipped").iterdir():
        if entry.name.endswith(".yml"):
            text = entry.read_text(encoding="utf-8")
            about = text.partition("\n")[0].removeprefix("# ")
            presets.append(Preset(entry.name.removesuffix(".yml"), about, text))
    return sorted(presets)


def load_preset(name: str) -> Preset:
    """The preset of a name. Raises UsageError if there is none."""
    presets = {preset.name: preset for preset in list_presets()}
    if name not in presets:
        raise UsageError(
            f"there is no preset `{name}`", hint=f"choose one of: {', '.join(presets)}"
        )
    return presets[name]
