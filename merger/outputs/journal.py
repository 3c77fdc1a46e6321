"""The journal of finished tensors, from which a merge that was killed is resumed.

It has one line of JSON per tensor, after a first line that names the plan. A line is written after
the tensor's bytes were synced; a last line that was cut does not count.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patientdx.storage.durable import replace_file

FinishedTensors = dict[str, float | None]
"""Finished tensors by name, with their cosine if the method needed it."""


def read_journal(path: Path, key: str) -> FinishedTensors | None:
    """The finished tensors in a journal; None if there is no journal of this plan."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return None
    entries = [_entry(line) for line in lines]
    if not entries or entries[0] != {"plan": key}:
        return None
    finished: FinishedTensors = {}
    for entry in entries[1:]:
        if entry is None:
            break
        finished[entry["name"]] = entry["cosine"]
    return finished


def begin_journal(path: Path, key: str, finished: Mapping[str, float | None]) -> None:
    """Writes a new journal, without a line that may have been cut."""
    replace_file(path, _line({"plan": key}) + _lines(finished), path.with_suffix(".new"))


def append_journal(path: Path, finished: Mapping[str, float | None]) -> None:
    """Adds tensors whose bytes are synced."""
    with path.open("ab") as stream:
        stream.write(_lines(finished))


def _lines(finished: Mapping[str, float | None]) -> bytes:
    return b"".join(_line({"name": name, "cosine": c}) for name, c in finished.items())


def _line(entry: Mapping[str, object]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
