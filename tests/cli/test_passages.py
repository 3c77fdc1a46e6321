"""Passages as they are printed: dots, wrapping, control characters, and time."""

import json
import re
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from command_line import Outcome, patientdx, rows, run_successfully
from typer.testing import CliRunner

import cli
from indexer.analysis import AnalysisSettings, Analyzer
from indexer.passages import find_passages
from indexer.writer import build_index
from patientdx.records import Patient, TermShare

ESCAPES = "\033[31m\033]0;owned\a\x9b2J\u202e\x7f\r\b"


def build(folder: Path, *patients: dict[str, Any]) -> Path:
    run_successfully("index", "build", "-", "--into", folder, stdin=rows(*patients))
    return folder


def search(folder: Path, *args: object, **env: str) -> Outcome:
    outcome = patientdx("search", *args, "--index", folder, env=env)
    assert outcome.code == 0, outcome.err
    return outcome


def test_dots_stand_only_where_something_was_left_out(tmp_path: Path) -> None:
    filler = "nothing of note here " * 40
    index = build(
        tmp_path / "index",
        {"_id": "whole", "text": "lupus with rash"},
        {"_id": "start", "text": f"gout {filler}"},
        {"_id": "end", "text": f"{filler} measles\n"},
        {"_id": "middle", "text": f"{filler} croup {filler}"},
    )
    assert search(index, "lupus").lines[1] == "     lupus with rash"
    assert re.fullmatch(r"     gout .* …", search(index, "gout").lines[1])
    assert re.fullmatch(r"     … .* measles", search(index, "measles").lines[1])
    assert re.fullmatch(r"     … .* croup .* …", search(index, "croup").lines[1])


def test_negated_words_are_labelled_and_may_be_left_out(tmp_path: Path) -> None:
    index = build(
        tmp_path / "i",
        {"patient_id": "denied", "text": "She denies fever."},
        {"patient_id": "present", "text": "There is fever in the evening and at night."},
        {"patient_id": "mother", "text": "Family history: mother had fever."},
    )
    lines = search(index, "fever", "--explain").lines
    labels = {line.strip() for line in lines if "[" in line}
    assert labels == {"[negated: fever]", "[family: fever]"}
    mentions = {line.split("× ")[1] for line in lines if "× " in line}
    assert mentions == {"1 (1 negated)", "1 (1 family)", "1"}
    affirmed = search(index, "fever", "--affirmed-only", "--json").json
    assert [hit["patient_id"] for hit in affirmed["hits"]] == ["present"]
    queries = tmp_path / "queries.tsv"
    queries.write_text("1\tfever\n2\tevening\n")
    run = search(index, "--queries", queries, "--affirmed-only").lines
    assert [line.split()[2] for line in run] == ["present", "present"]
    assert search(index, "fever", "--affirmed-only", "--age", "5").lines == []


def test_passages_wrap_at_blanks_under_their_indent(tmp_path: Path) -> None:
    note = "a woman with longwinded words and lupus nephritis of class four " * 30
    index = build(tmp_path / "index", {"_id": "1", "text": note})
    narrow = search(index, "lupus nephritis", COLUMNS="60").lines[1:]
    assert len(narrow) > 3
    assert all(line.startswith("     ") and len(line) <= 60 for line in narrow)
    words = set(note.split()) | {"…"}
    assert all(word in words for line in narrow for word in line.split())
    one_line = search(index, "lupus nephritis").lines[1:]
    assert [" ".join(line.split()) for line in one_line] == [
        " ".join(" ".join(narrow).split()),
    ]


def test_no_control_character_of_a_note_is_printed(tmp_path: Path) -> None:
    # The readers of files refuse such an id; an index built from Python may have it.
    patient = Patient(
        f"1{ESCAPES}",
        f"lupus {ESCAPES}nephritis",
        f"title{ESCAPES}",
        metadata={f"field{ESCAPES}": f"value{ESCAPES}"},
    )
    index = tmp_path / "index"
    build_index(index, [patient])
    unsafe = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
    for args in (
        ("search", "lupus", "--index", index),
        ("search", "lupus", "--index", index, "--explain"),
        ("search", "lupus", "--index", index, "--tsv"),
        ("search", "lupus", "--index", index, "--json"),
        ("index", "info", "--index", index),
        ("index", "info", "--index", index, "--json"),
        ("search", "lupus", "--index", index, "--where", "nowhere=1"),
    ):
        outcome = patientdx(*args)
        assert not unsafe.search(outcome.out + outcome.err), args
    hit = json.loads(search(index, "lupus", "--json").out)["hits"][0]
    assert (hit["patient_id"], hit["text"]) == (patient.patient_id, patient.text)


def test_ids_in_a_pipe_are_exact(tmp_path: Path) -> None:
    patient_id = "1\033[31m\u202e"
    index = tmp_path / "index"
    build_index(index, [Patient(patient_id, "lupus"), Patient("2", "measles")])
    listed = run_successfully("index", "info", "--ids", "--index", index).out
    assert listed == f"{patient_id}\n2\n"
    assert search(index, "lupus", "-q").out == f"{patient_id}\n"
    run_successfully("index", "delete", "-", "--index", index, stdin=f"{patient_id}\n")
    assert run_successfully("index", "info", "--ids", "--index", index).out == "2\n"


@pytest.mark.parametrize("words", [20_000, 40_000])
def test_work_on_passages_is_linear_in_the_matches(words: int) -> None:
    looked_up = 0

    class CountedText(str):
        __slots__ = ()

        def __hash__(self) -> int:
            nonlocal looked_up
            looked_up += 1
            return super().__hash__()

    text = "lupus " * words
    spans = [(6 * i, 6 * i + 5, CountedText("lupus")) for i in range(words)]
    passages = find_passages(text, (TermShare("lupus", 1.0, 1.0, words),), spans)
    assert len(passages) == 1
    assert looked_up < 40 * words


def test_the_best_window_is_that_of_trying_all() -> None:
    plain = Analyzer(AnalysisSettings("none", "none"))
    text = "a b x a c x x b a c c x a b c x x x b c a a x c b " * 3
    shares = tuple(
        TermShare(term, value, value, 1) for term, value in (("a", 1.0), ("b", 0.7), ("c", 0.4))
    )
    value = {share.term: share.share for share in shares}
    for width in range(1, 12):
        spans = [span for span in plain.spans(text) if span[2] in value]
        gains = [
            fsum(value[t] for t in {t for a, b, t in spans if a >= start and b <= start + width})
            for start, _, _ in spans
        ]
        passage = find_passages(text, shares, plain.spans(text), width=width, count=1)[0]
        words = {passage.text[a:b] for a, b in passage.matches}
        assert fsum(value[word] for word in words) == pytest.approx(max(gains))
        first = passage.start + passage.matches[0][0]
        assert first == spans[gains.index(max(gains))][0]


def test_bold_words_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = build(tmp_path / "index", {"_id": "1", "text": "the lupus \033[31mrash"})
    monkeypatch.setattr("console.terminal.use_colour", lambda: True)
    args = ["search", "lupus", "--index", str(index)]
    out = CliRunner().invoke(cli.app, args, color=True).stdout
    assert "     the \033[1mlupus\033[0m ␛[31mrash\n" in out
