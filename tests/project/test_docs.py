"""What the README and the other pages say: their code runs, their links and commands exist."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from command_line import COMMANDS, patientdx, run_successfully, sample
from paths import ROOT

import cli
from patientdx.sample import sample_folder

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
RESEARCH = "not a medical device"


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = blocks("python")
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATIENTDX_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    *found, measured = outcome.stdout.splitlines()
    assert len(found) == 3
    ids = {row["_id"] for row in sample("corpus.jsonl")}
    scores = [float(line.split()[1]) for line in found if line.split()[0] in ids]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    index = tmp_path / "sample-index"
    table = run_successfully(
        "evaluate-ir", "--index", index, "--data", sample_folder(), "--json"
    ).json
    value = table["rows"][0]["figures"]["nDCG@10"]["value"]
    assert measured == f"nDCG@10 {round(value, 3)} over {table['rows'][0]['n']} queries"


def test_the_readme_shows_what_demo_prints(tmp_path: Path) -> None:
    (block,) = blocks("text")
    printed = patientdx("demo", env={"PATIENTDX_CACHE": str(tmp_path)}).out
    printed = printed.replace(str(tmp_path), "~/.cache/patientdx")
    shown = [line for line in block.splitlines() if line.strip() != "…"]
    assert len(shown) > 5
    lines = iter(printed.splitlines())
    for line in shown:
        assert line in lines, f"in its place: {line}"


def test_the_table_of_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `([a-z0-9 -]+)` \|", README, re.MULTILINE)
    assert sorted(listed) == sorted(" ".join(names) for names in COMMANDS)


def commands(page: Path) -> Iterator[list[str]]:
    """The command lines of PatientDx in the shell blocks of a page, without what they pipe to."""
    for block in blocks("(?:sh|console|bash)", page.read_text(encoding="utf-8")):
        for line in re.split(r"\n|&&|\|", block.replace("\\\n", " ")):
            words = shlex.split(line.split(">")[0], comments=True)
            at = next((i for i, word in enumerate(words) if word.endswith("cli.py")), None)
            if at is None and "patientdx" in words[:1]:
                at = 0
            if at is not None:
                yield words[at + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_commands_in_pages_exist_with_their_options(page: Path) -> None:
    for words in commands(page):
        names = tuple(words[:2]) if tuple(words[:2]) in COMMANDS else tuple(words[:1])
        assert names in COMMANDS, words
        known = {flag for parameter in COMMANDS[names].params for flag in parameter.opts}
        flags = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert flags <= known | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_benchmarks_in_pages_exist_with_their_options(page: Path) -> None:
    for block in blocks("(?:sh|console|bash)", page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            script = next((word for word in words if word.startswith("benchmarks/")), None)
            if script is not None:
                source = (ROOT / script).read_text(encoding="utf-8")
                flags = {word.partition("=")[0] for word in words if word.startswith("--")}
                assert {flag for flag in flags if f'"{flag}"' not in source} == set(), line


def test_the_readme_has_commands() -> None:
    used = {words[0] for words in commands(ROOT / "README.md")}
    assert used >= {"demo", "index", "search", "similar", "evaluate-ir"}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_between_pages_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_paths_in_pages_exist(page: Path) -> None:
    """Files of this repository that a page names in backquotes."""
    text = page.read_text(encoding="utf-8")
    packages = "indexer|expander|merger|evaluator|patientdx|workflows|console|commands"
    folders = f"{packages}|tests|benchmarks|docs"
    for path in re.findall(rf"`((?:{folders})/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_readme_says_what_it_is_not() -> None:
    assert RESEARCH in README
    assert RESEARCH in cli.EPILOG
    assert typer.main.get_command(cli.app).name == "patientdx"
