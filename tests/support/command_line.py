"""The command line as a function: arguments in, exit code, stdout and stderr out."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

import cli
from patientdx.sample import sample_folder

_OURS = ("INDEX", "CACHE", "THREADS", "ALLOW_FETCH", "HUB", "MODEL")
NOWHERE: dict[str, str | None] = {
    **{f"PATIENTDX_{name}": None for name in _OURS},
    "NO_COLOR": None,
    "COLUMNS": None,  # output is not wrapped unless a test sets it
}

NOTE = "fever and a new murmur in a man who injects drugs, vegetation on the mitral valve"


def walk(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words it is called by; groups are walked into."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield names, command
    for name, subcommand in (inner or {}).items():
        yield from walk(subcommand, (*names, name))


COMMANDS = dict(walk(typer.main.get_command(cli.app)))


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON, all of it."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Standard output as lines."""
        return self.out.splitlines()


def patientdx(
    *args: object, stdin: bytes | str = b"", env: Mapping[str, str | None] | None = None
) -> Outcome:
    """Runs a command in this process; an exception that gets out of the program gets out here.

    Nothing of the caller's PATIENTDX_* variables is seen.
    """
    result = CliRunner().invoke(
        cli.app,
        [str(arg) for arg in args],
        input=stdin,
        env={**NOWHERE, **(env or {})},
        catch_exceptions=False,
    )
    return Outcome(result.exit_code, result.stdout, result.stderr)


def run_successfully(*args: object, stdin: bytes | str = b"") -> Outcome:
    """A command that must succeed."""
    outcome = patientdx(*args, stdin=stdin)
    assert outcome.code == 0, outcome.err
    return outcome


SECRET = "Zaphodine"  # a word of notes and queries in tests of bad input


def check_refusal(outcome: Outcome, message: str) -> None:
    """One line of error that holds `message`, one of hint, and not a word of the notes."""
    assert (outcome.code, outcome.out) == (1, "")
    assert re.fullmatch(r"error: [^\n]+\n\nhint: [^\n]+\n", outcome.err), outcome.err
    assert message in outcome.err.partition("\n")[0]
    assert SECRET not in outcome.err


READING = {
    "search": ("search", "gout of the toe", "--index", "{index}"),
    "filtered": ("search", "gout", "--index", "{index}", "--sex", "F", "--age", "60-"),
    "json": ("search", "gout", "--index", "{index}", "--json"),
    "similar": ("similar", "o-1", "--index", "{index}"),
    "info": ("index", "info", "--index", "{index}"),
    "ids": ("index", "info", "--ids", "--index", "{index}"),
    "verify": ("index", "verify", "--index", "{index}"),
}
CHANGING = {
    "add": ("index", "add", "-", "--index", "{index}"),
    "update": ("index", "add", "-", "--update", "--index", "{index}"),
    "delete": ("index", "delete", "o-2", "--index", "{index}"),
    "compact": ("index", "compact", "--index", "{index}"),
    "replace": ("index", "build", "-", "--replace", "--into", "{index}"),
}


def run_on(index: Path, command: tuple[str, ...]) -> Outcome:
    """One of the commands above; those that read patients are given one."""
    return patientdx(*(arg.format(index=index) for arg in command), stdin=NEW)


def make_two_segments(folder: Path) -> Path:
    """An index with a segment that has deletions, and another."""
    old = [{"_id": f"o-{i}", "text": f"{SECRET} gout {'of the toe ' * i}"} for i in range(40)]
    run_successfully("index", "build", "-", "--into", folder, stdin=rows(*old))
    run_successfully("index", "delete", "o-3", "o-5", "--index", folder)
    run_successfully(
        "index", "add", "-", "--index", folder, stdin=rows({"_id": "p-1", "text": "measles"})
    )
    return folder


def hits(*args: object, stdin: bytes | str = b"") -> list[dict[str, Any]]:
    """The hits of a search, by way of --json."""
    outcome = run_successfully(*args, "--json", stdin=stdin)
    ranking: list[dict[str, Any]] = outcome.json["hits"]
    assert outcome.err == ("" if ranking else "no patient matches\n")
    return ranking


def scored(ranking: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Hits as (id, score)."""
    return [(hit["patient_id"], hit["score"]) for hit in ranking]


def sample(name: str) -> list[dict[str, Any]]:
    """The rows of a file of the shipped sample, as json reads them."""
    text = (sample_folder() / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by its path; folders have an empty one."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
    }


def rows(*patients: Mapping[str, object]) -> bytes:
    """Patients as JSON lines."""
    return b"".join(json.dumps(patient).encode() + b"\n" for patient in patients)


NEW = rows({"_id": "n-1", "text": f"{SECRET} fever"})
