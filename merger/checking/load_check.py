"""The load check: transformers loads an output on the meta device, in a process of its own."""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from merger.checkpoints.checkpoint import Checkpoint
from merger.families.tensors import unread_tensors
from patientdx.errors import MergeError

from .expected_tensors import list_tensors

_PROGRAM = Path(__file__).with_name("loading_child.py")
_SECONDS = 900
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class LoadCheck:
    """What transformers reports of a folder.

    `loaded` is False if it was not loaded, for the `reason`. `template` is that of the chat
    template: rendered, none, broken, or empty if the tokenizer was not loaded. `seconds` is the
    time of the check, which is no part of the merge.
    """

    loaded: bool
    reason: str = ""
    template: str = ""
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.loaded:
            return f"not loaded: {self.reason}"
        templates = {"rendered": "; the chat template renders", "none": "; no chat template"}
        return (
            "transformers loads it, with no key missing, unexpected or of another shape"
            + templates.get(self.template, "")
            + (f" ({self.reason})" if self.reason else "")
        )


def check_loading(folder: Path, base: Path | None = None) -> LoadCheck:
    """Loads a folder. Raises MergeError for problems that its `base` does not have.

    Without transformers and torch, and for classes that transformers does not have, the check says
    so and nothing else.
    """
    start = time.perf_counter()
    if find_spec("transformers") is None or find_spec("torch") is None:
        return LoadCheck(False, "transformers and torch are not installed")
    report = _load(folder)
    problems = _describe(report)
    if problems and base is not None:
        own = {_kind(problem) for problem in _list(_load(base))}
        if {_kind(problem) for problem in _list(report)} <= own:
            reason = f"as its base, {base.name}: {problems}"
            return LoadCheck(False, reason, seconds=_elapsed(start))
    if problems:
        raise MergeError(
            f"transformers cannot load the merge: {problems}",
            hint="merge other layers or by another method; --no-load-check leaves this check out",
        )
    return LoadCheck(
        loaded="skipped" not in report,
        reason=report.get("skipped", ""),
        template=report.get("template", ""),
        seconds=_elapsed(start),
    )


def _load(folder: Path) -> dict[str, Any]:
    """The child's report, with the key `error` if it failed."""
    command = [sys.executable, "-P", str(_PROGRAM), str(folder)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"skipped": f"it took more than {_SECONDS} seconds"}
    report: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            report |= json.loads(line)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        report["error"] = (lines[-1] if lines else "it ended without a word")[:300]
    unread = unread_tensors(Checkpoint.open(folder).config, report.get("unexpected", ()))
    report["unexpected"] = [name for name in report.get("unexpected", ()) if name not in unread]
    return report


def _list(report: dict[str, Any]) -> list[str]:
    """The problems of a report, in a form that can be compared."""
    keys = [f"{kind} {name}" for kind in _KINDS for name in report.get(kind, ())]
    broken = ["template"] if report.get("template") == "broken" else []
    return [*keys, *broken, *(["error"] if "error" in report else [])]


def _kind(problem: str) -> str:
    return _NUMBER.sub("#", problem)


_KINDS = {"missing": "missing", "unexpected": "passed over", "mismatched": "of another shape"}


def _describe(report: dict[str, Any]) -> str:
    """The problems of a report as a sentence; empty if there are none."""
    parts = [
        f"{len(report[kind]):,} tensors are {words}: {list_tensors(report[kind])}"
        for kind, words in _KINDS.items()
        if report.get(kind)
    ]
    if "error" in report:
        parts.append(report["error"])
    if report.get("template") == "broken":
        parts.append(f"the chat template does not render: {report.get('reason', '')}")
    return "; ".join(parts)


def _elapsed(start: float) -> float:
    return round(time.perf_counter() - start, 3)
