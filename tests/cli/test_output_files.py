"""Files that exist are written over with --force only, by every command that writes one."""

import os
import re
from pathlib import Path

import pytest
from command_line import COMMANDS, patientdx, run_successfully

from patientdx.sample import sample_folder

SAMPLE = sample_folder()
JUDGED = ("--data", SAMPLE)
BY_FILES = ("--queries", SAMPLE / "queries.jsonl", "--qrels", SAMPLE / "qrels" / "test.tsv")
WRITES = re.compile(r"\b(?:write|draw)\b", re.IGNORECASE)

ARGUMENTS: dict[str, tuple[object, ...]] = {
    "search": ("--queries", SAMPLE / "queries.jsonl"),
    "expand": ("rm3", "--queries", SAMPLE / "queries.jsonl"),
    "evaluate-ir": (*JUDGED, "--system", "bm25", "--system", "rm3"),
    "evaluate-mortality": ("cohort.parquet",),
    "tune-ir": (*JUDGED, "--split", "dev"),
    "tune-merge": ("a", "b", "--retention-text", "t.txt"),
    "cohort meds": ("meds", "--labels", "labels.parquet"),
    **{f"cohort {name}": ("folder",) for name in ("mimic-iv", "mimic-iii", "physionet2012")},
}
OTHERS = {
    *(("index build", "--into"), ("merge", "--into"), ("tune-merge", "--into")),
    *(("merge", "--gguf"), ("search", "--run"), ("evaluate-mortality", "--sample")),
}
"""Folders, which other tests see refused, and options that name no file."""
DERIVED = {
    ("evaluate-mortality", "--plot"): ("made.svg", "made-mortality.svg"),
    ("evaluate-mortality", "--predictions"): (
        ".",
        "mortality-hard.gradient_boosting.parquet",
    ),
}
"""What is named, and the file that is written then."""
BESIDE: dict[str, tuple[object, ...]] = {"--ablation": ("--without-math", "c")}
"""What an option needs beside it."""


def writing_options() -> list[tuple[str, str]]:
    """Each command with each of its options whose help says that a file is written."""
    return [
        (" ".join(names), option.opts[0])
        for names, command in COMMANDS.items()
        for option in command.params
        if getattr(option, "help", None)
        and option.opts[0] != "--force"
        and not getattr(option, "is_flag", False)
        if WRITES.search(option.help) and (" ".join(names), option.opts[0]) not in OTHERS
    ]


def test_commands_with_files_to_write_are_known() -> None:
    assert {command for command, _ in writing_options()} == set(ARGUMENTS)
    assert len(writing_options()) >= 17


@pytest.mark.parametrize(("command", "option"), writing_options())
def test_a_file_that_exists_is_refused_before_any_work(
    command: str, option: str, tmp_path: Path
) -> None:
    named, written = DERIVED.get((command, option), ("made.svg", "made.svg"))
    (tmp_path / written).write_text("mine", encoding="utf-8")
    arguments = (*ARGUMENTS[command], *BESIDE.get(option, ()))
    outcome = patientdx(*command.split(), *arguments, option, tmp_path / named)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {tmp_path / written}: this file exists\n")
    assert "--force" in outcome.err
    assert (tmp_path / written).read_text("utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [written]


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", *ARGUMENTS["search"], "--write-run"),
        ("expand", *ARGUMENTS["expand"], "--out"),
        ("evaluate-ir", *JUDGED, "--write-run"),
        ("evaluate-ir", *JUDGED, "--per-query"),
        ("tune-ir", *BY_FILES, "--grid", "k1=0.9", "--grid", "b=0.4", "--into"),
    ],
)
def test_force_writes_what_a_new_file_would_hold(
    arguments: tuple[object, ...], sample_index: Path, tmp_path: Path
) -> None:
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    old.write_text("mine", encoding="utf-8")
    index = ("--index", sample_index)
    run_successfully(*arguments, new, *index)
    run_successfully(*arguments, old, *index, "--force")
    assert old.read_bytes() == new.read_bytes()


@pytest.mark.skipif(not Path(os.devnull).exists(), reason="needs a null device")
def test_devices_and_standard_output_have_no_content_to_lose(sample_index: Path) -> None:
    search = ("search", *ARGUMENTS["search"], "--index", sample_index, "--write-run")
    assert run_successfully(*search, os.devnull).out == ""
    assert run_successfully(*search, "-").out


def test_two_options_do_not_write_one_file(sample_index: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = ("--write-run", out, "--per-query", out)
    outcome = patientdx("evaluate-ir", *JUDGED, "--index", sample_index, *files)
    assert outcome.code == 2
    assert "--write-run and --per-query write the same file" in outcome.err
    assert not out.exists()


def test_force_without_a_file_to_write_is_refused(sample_index: Path) -> None:
    outcome = patientdx("evaluate-ir", *JUDGED, "--index", sample_index, "--force")
    assert outcome.code == 2
    assert "--force has no effect here" in outcome.err
