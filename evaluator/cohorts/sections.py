"""A stay as text, section by section, in the wording of a templates file.

The shipped `templates.toml` marks each wording as seen in the source or *reconstructed*.
"""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.errors import InputError, UsageError

from .stay import SECTIONS, Measurement, Stay

PRESETS: Mapping[str, tuple[str, ...]] = {
    "mortality": SECTIONS,
    "mortality-hard": ("charts", "medications"),
}
"""The paper's two sets of sections, by name."""

Templates = Mapping[str, Mapping[str, str]]
"""Section -> the pieces of its wording by name."""

_PIECES: Mapping[str, tuple[str, ...]] = {
    "demographics": ("start", "race", "sex", "age", "insurance", "end"),
    "diagnoses": ("text", "after_demographics", "entry", "between"),
    **dict.fromkeys(SECTIONS[2:], ("text", "entry", "between")),
}


class SectionText(NamedTuple):
    """The text of one section; a record is the texts of its sections in a row."""

    name: str
    text: str


def parse_sections(value: str) -> tuple[str, ...]:
    """The sections of a preset, or of names between commas, in the order of a record.

    Raises UsageError for another name.
    """
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
        return _validate(tomllib.loads(source.read_text(encoding="utf-8")), "templates.toml")
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not TOML in UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    return _validate(value, str(path))


def render_stay(
    stay: Stay,
    sections: Sequence[str] = SECTIONS,
    *,
    templates: Templates,
    decimals: int = 3,
) -> tuple[SectionText, ...]:
    """The texts of the chosen sections that are not empty, in the order of a record.

    Means are rounded to `decimals` digits after the point, as Python writes them (2.5, not 2.500).
    """
    texts: list[SectionText] = []
    for name in SECTIONS:
        text = _RENDERERS[name](stay, templates, decimals) if name in sections else ""
        if name == "diagnoses" and text and texts:
            text = _continue_sentence(texts, stay, templates)
        if text:
            texts.append(SectionText(name, text))
    return tuple(texts)


def join_sections(texts: Sequence[SectionText]) -> str:
    """The whole record as text."""
    return "".join(section.text for section in texts).strip()


def _continue_sentence(texts: list[SectionText], stay: Stay, templates: Templates) -> str:
    """The diagnoses as the end of the demographics' sentence, whose own end is removed."""
    start = texts[0].text.removesuffix(templates["demographics"]["end"])
    texts[0] = SectionText("demographics", start)
    pieces = dict(templates["diagnoses"])
    return _render_names(pieces | {"text": pieces["after_demographics"]}, stay.diagnoses)


def _demographics(stay: Stay, templates: Templates, _: int) -> str:
    pieces = templates["demographics"]
    values = {
        "race": stay.race.lower() if stay.race else None,
        "sex": stay.sex,
        "age": None if stay.age is None else f"{stay.age:g}",
        "insurance": stay.insurance,
    }
    known = [_fill(pieces[key], {key: value}) for key, value in values.items() if value]
    return pieces["start"] + "".join(known) + pieces["end"] if known else ""


def _diagnoses(stay: Stay, templates: Templates, _: int) -> str:
    return _render_names(templates["diagnoses"], stay.diagnoses)


def _charts(stay: Stay, templates: Templates, decimals: int) -> str:
    return _render_means(templates["charts"], stay.charts, decimals)


def _medications(stay: Stay, templates: Templates, decimals: int) -> str:
    return _render_means(templates["medications"], stay.medications, decimals)


def _procedures(stay: Stay, templates: Templates, _: int) -> str:
    return _render_names(templates["procedures"], stay.procedures)


def _outputs(stay: Stay, templates: Templates, _: int) -> str:
    return _render_names(templates["outputs"], stay.outputs)


_RENDERERS: Mapping[str, Callable[[Stay, Templates, int], str]] = {
    "demographics": _demographics,
    "diagnoses": _diagnoses,
    "charts": _charts,
    "medications": _medications,
    "procedures": _procedures,
    "outputs": _outputs,
}


def _render_names(pieces: Mapping[str, str], names: Sequence[str]) -> str:
    return _fill_sentence(pieces, [_fill(pieces["entry"], {"name": name}) for name in names])


def _render_means(pieces: Mapping[str, str], values: Sequence[Measurement], decimals: int) -> str:
    return _fill_sentence(
        pieces, [_render_mean(pieces["entry"], value, decimals) for value in values]
    )


def _render_mean(template: str, value: Measurement, decimals: int) -> str:
    if math.isnan(value.mean):
        return value.name
    return _fill(template, {"mean": f"{round(value.mean, decimals)}", "name": value.name})


def _fill_sentence(pieces: Mapping[str, str], entries: Sequence[str]) -> str:
    return _fill(pieces["text"], {"items": pieces["between"].join(entries)}) if entries else ""


def _fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders filled; braces inside values stay as they are."""
    for key, value in values.items():
        before, placeholder, after = template.partition("{" + key + "}")
        if placeholder:
            others = {name: text for name, text in values.items() if name != key}
            return _fill(before, others) + value + _fill(after, others)
    return template


def _validate(value: Mapping[str, Any], name: str) -> Templates:
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
