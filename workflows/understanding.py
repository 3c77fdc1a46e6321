"""Sentences about what was understood of a corpus, by the counts that were kept of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from patientdx.wording import count_noun

_HELD = ("id", "patient", "note", "title", "age", "sex", "date")
_ROLES = ("age", "sex", "date")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def summary_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Lines of the facts of a `CorpusSummary`: columns, shares, values."""
    held = [(role, facts["columns"][role]) for role in _HELD if role in facts["columns"]]
    columns = ", ".join(f"{role} `{name}`" for role, name in held)
    separator = facts.get("separator")
    parted = f"; separated by {_SEPARATORS[separator]}" if separator else ""
    yield f"columns: {columns}{parted}"
    patients = count_noun(facts["patients"], "patient")
    yield f"of {patients}: {', '.join(_share(facts, role) for role in _ROLES)}"
    for role, values in facts["not_understood"].items():
        yield f"values of {role} not understood: {_values(values)}"


def index_lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, text) of the facts of an index, as `Index.describe` has them."""
    for name, value in facts.items():
        if name != "understood":
            yield name.replace("_", " "), _shown(value)
    for source in facts["understood"]:
        yield "source", source["source"]
        yield from (("", line) for line in summary_lines(source))
        yield from (("", f"left out {why}: {n:,}") for why, n in source["left_out"].items())


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _share(facts: Mapping[str, Any], role: str) -> str:
    """How many patients have a value, and where it comes from."""
    fields, words = facts[role]["fields"], facts[role]["words"]
    if not fields + words:
        return f"{role} of none"
    percent = 100 * (fields + words) / max(1, facts["patients"])
    origins = [f"{fields:,} from fields"] if fields else []
    origins += [f"{words:,} from words of notes"] if words else []
    return f"{role} of {percent:.0f} % ({', '.join(origins)})"


def _values(counts: Mapping[str, int]) -> str:
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"`{value}` {number:,}" for value, number in by_count if value]
    others = counts.get("", 0)
    if others:
        shown.append(f"{others:,} longer or rarer ones" if shown else f"{others:,} long ones")
    return ", ".join(shown)
