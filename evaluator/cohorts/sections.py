"""A stay as text, section by section, in the words of a templates file.

The shipped `templates.toml` says of each wording whether it was seen in the source or is
*reconstructed*.
"""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.errors import InputError, UsageError

from .cohort import SECTIONS, Measured, Stay

PRESETS: Mapping[str, tuple[str, ...]] = {
    "mortality": SECTIONS,
    "mortality-hard": ("charts", "medications"),
}
"""The record sets of the paper by name."""

Templates = Mapping[str, Mapping[str, str]]
"""section -> the pieces of its wording."""

_PIECES: Mapping[str, tuple[str, ...]] = {
    "demographics": ("start", "race", "sex", "age", "insurance", "end"),
    "diagnoses": ("text", "after_demographics", "entry", "between"),
    **dict.fromkeys(SECTIONS[2:], ("text", "entry", "between")),
}


class SectionText(NamedTuple):
    """The text of one section; the texts of a record in a row are the record."""

    name: str
    text: str


def parse_sections(value: str) -> tuple[str, ...]:
    """A preset or section names between commas, in the order of a record. Raises UsageError."""
    if value in PRESETS:
        return PRESETS[value]
    chosen = {name.strip() for name in value.split(",")}
    if not chosen <= set(SECTIONS):
        raise UsageError(
            f"no such sections: {', '.join(sorted(chosen - set(SECTIONS))) or 'none named'}",
            hint=f"sections: {', '.join(SECTIONS)}; presets: {', '.join(PRESETS)}",
        )
    return tuple(name for name in SECTIONS if name in chosen)


def read_templates(path: Path | None = None) -> Templates:
    """The shipped wordings, or those of a file. Raises InputError for a file of another shape."""
    if path is None:
        source = files(__package__).joinpath("templates.toml")
        return _checked(tomllib.loads(source.read_text(encoding="utf-8")), "templates.toml")
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not TOML in UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    return _checked(value, str(path))


def render(
    stay: Stay,
    sections: Sequence[str] = SECTIONS,
    *,
    templates: Templates,
    decimals: int = 3,
) -> tuple[SectionText, ...]:
    """The texts of the chosen sections that hold anything, in the order of a record.

    Means are rounded to `decimals` digits after the point, as Python writes them (2.5, not 2.500).
    """
    texts: list[SectionText] = []
    for name in SECTIONS:
        text = _TELLERS[name](stay, templates, decimals) if name in sections else ""
        if name == "diagnoses" and text and texts:
            text = _joined(texts, stay, templates)
        if text:
            texts.append(SectionText(name, text))
    return tuple(texts)


def record(texts: Sequence[SectionText]) -> str:
    """The whole record."""
    return "".join(section.text for section in texts).strip()


def _joined(texts: list[SectionText], stay: Stay, templates: Templates) -> str:
    """Lets the demographics, without their end, begin the sentence of the diagnoses."""
    start = texts[0].text.removesuffix(templates["demographics"]["end"])
    texts[0] = SectionText("demographics", start)
    pieces = dict(templates["diagnoses"])
    return _listed(pieces | {"text": pieces["after_demographics"]}, stay.diagnoses)


def _demographics(stay: Stay, templates: Templates, _: int) -> str:
    pieces = templates["demographics"]
    values = {
        "race": stay.race.lower() if stay.race else None,
        "sex": stay.sex,
        "age": None if stay.age is None else f"{stay.age:g}",
        "insurance": stay.insurance,
    }
    known = [_filled(pieces[key], {key: value}) for key, value in values.items() if value]
    return pieces["start"] + "".join(known) + pieces["end"] if known else ""


def _diagnoses(stay: Stay, templates: Templates, _: int) -> str:
    return _listed(templates["diagnoses"], stay.diagnoses)


def _charts(stay: Stay, templates: Templates, decimals: int) -> str:
    return _measured(templates["charts"], stay.charts, decimals)


def _medications(stay: Stay, templates: Templates, decimals: int) -> str:
    return _measured(templates["medications"], stay.medications, decimals)


def _procedures(stay: Stay, templates: Templates, _: int) -> str:
    return _listed(templates["procedures"], stay.procedures)


def _outputs(stay: Stay, templates: Templates, _: int) -> str:
    return _listed(templates["outputs"], stay.outputs)


_TELLERS: Mapping[str, Callable[[Stay, Templates, int], str]] = {
    "demographics": _demographics,
    "diagnoses": _diagnoses,
    "charts": _charts,
    "medications": _medications,
    "procedures": _procedures,
    "outputs": _outputs,
}


def _listed(pieces: Mapping[str, str], names: Sequence[str]) -> str:
    return _sentence(pieces, [_filled(pieces["entry"], {"name": name}) for name in names])


def _measured(pieces: Mapping[str, str], values: Sequence[Measured], decimals: int) -> str:
    return _sentence(pieces, [_entry(pieces["entry"], one, decimals) for one in values])


def _entry(template: str, one: Measured, decimals: int) -> str:
    if math.isnan(one.mean):
        return one.name
    return _filled(template, {"mean": f"{round(one.mean, decimals)}", "name": one.name})


def _sentence(pieces: Mapping[str, str], entries: Sequence[str]) -> str:
    return _filled(pieces["text"], {"items": pieces["between"].join(entries)}) if entries else ""


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Replaces in one pass, so that braces inside values stay as they are."""
    for key, value in values.items():
        before, place, after = template.partition("{" + key + "}")
        if place:
            rest = {name: one for name, one in values.items() if name != key}
            return _filled(before, rest) + value + _filled(after, rest)
    return template


def _checked(value: Mapping[str, Any], name: str) -> Templates:
    for section, pieces in _PIECES.items():
        table = value.get(section)
        missing = [
            key
            for key in pieces
            if not (isinstance(table, dict) and isinstance(table.get(key), str))
        ]
        if missing:
            raise InputError(
                f"{name}: [{section}] lacks {', '.join(missing)}",
                hint="copy evaluator/cohorts/templates.toml and change its words",
            )
    return value
