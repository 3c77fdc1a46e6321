"""The licences of a merge's inputs, and the licence that the merge inherits."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from merger.recipes.yaml_nodes import yaml_module

_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\s*(?:\n|\Z)", re.DOTALL)
_LARGEST = 1 << 20  # bytes of a card that are read
_FREE = frozenset({"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "unlicense"})


class Licence(NamedTuple):
    """A licence as the front matter of a model card names it."""

    name: str
    full_name: str | None = None
    link: str | None = None

    def __str__(self) -> str:
        return self.full_name or self.name if self.name == "other" else self.name


class InheritedLicence(NamedTuple):
    """The licence fields of a merge's card, and a remark if the inputs do not agree."""

    fields: dict[str, str]
    remark: str | None


def read_licence(folder: Path) -> Licence | None:
    """The licence in the README.md of a model's folder; None if there is none."""
    front = read_front_matter(folder / "README.md")
    name = front.get("license")
    if isinstance(name, list):
        name = name[0] if len(name) == 1 else None
    if not isinstance(name, str) or not name:
        return None
    details = [front.get(key) for key in ("license_name", "license_link")]
    return Licence(name.lower(), *(text if isinstance(text, str) else None for text in details))


def read_front_matter(path: Path) -> dict[str, Any]:
    """The YAML at the head of a model card; empty if there is none that can be read."""
    yaml = yaml_module()
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        with path.open(encoding="utf-8") as stream:
            match = _FRONT.match(stream.read(_LARGEST))
        fields = yaml.safe_load(match.group(1)) if match else None
        if isinstance(fields, dict):
            return fields
    return {}


def inherit_licence(names: Sequence[str], licences: Sequence[Licence | None]) -> InheritedLicence:
    """The licence of a merge: that of all inputs if they agree, or else `other`, with a remark."""
    by_name = dict(zip(names, licences, strict=True))
    listing = "; ".join(f"{name}: {licence or 'not told'}" for name, licence in by_name.items())
    known = {licence.name if licence.name != "other" else str(licence): licence
             for licence in licences if licence}  # fmt: skip
    if not known:
        return InheritedLicence({}, "no input tells its licence")
    if len(known) == 1 and None not in licences:
        (licence,) = known.values()
        extra = {"license_name": licence.full_name, "license_link": licence.link}
        return InheritedLicence(
            {"license": licence.name} | {key: text for key, text in extra.items() if text}, None
        )
    if None in licences:
        return InheritedLicence(
            {}, f"not every input tells its licence ({listing}): ask before you share it"
        )
    fields = {"license": "other", "license_name": "-and-".join(sorted(known))}
    if known.keys() <= _FREE:
        return InheritedLicence(
            fields, f"the inputs have different free licences ({listing}): keep both"
        )
    return InheritedLicence(
        fields, f"the licences of the inputs conflict ({listing}): the merge is bound by both"
    )
