"""Searching notes in British spelling by American words, and the other way round."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import patientdx, rows, run_successfully

pytestmark = pytest.mark.skipif(
    find_spec("breame") is None, reason="American spellings come with an extra"
)
NOTES = {
    "gb": "Haemoglobin low, OEDEMA of both feet, oesophageal tumour",
    "us": "Hemoglobin low, edema of both feet, esophageal tumor",
}


def build(folder: Path, *options: str) -> Path:
    """An index of the notes."""
    notes = [{"_id": name, "text": text} for name, text in NOTES.items()]
    run_successfully("index", "build", "-", "--into", folder, *options, stdin=rows(*notes))
    return folder


def marked(index: Path, words: str) -> dict[str, list[str]]:
    """The marked words of each hit."""
    found = run_successfully("search", words, "--index", index, "--json").json["hits"]
    return {
        hit["patient_id"]: [
            passage["text"][start:end]
            for passage in hit["passages"]
            for start, end in passage["matches"]
        ]
        for hit in found
    }


def test_words_are_found_and_marked_in_either_spelling(tmp_path: Path) -> None:
    index = build(tmp_path / "index", "--spelling", "american")
    for words in ("haemoglobin oedema", "hemoglobin edema"):
        assert marked(index, words) == {
            "gb": ["Haemoglobin", "OEDEMA"],
            "us": ["Hemoglobin", "edema"],
        }
    assert set(marked(index, "tumours")) == {"gb", "us"}
    facts = run_successfully("index", "info", "--index", index, "--json").json
    assert facts["spelling"] == "american"
    assert "american" in run_successfully("index", "info", "--index", index).out


def test_added_notes_and_compaction_keep_the_spelling(tmp_path: Path) -> None:
    index = build(tmp_path / "index", "--spelling", "american")
    note = {"_id": "new", "text": "anaemia"}
    run_successfully("index", "add", "-", "--index", index, stdin=rows(note))
    run_successfully("index", "delete", "us", "--index", index)
    run_successfully("index", "compact", "--index", index)
    assert set(marked(index, "anemia")) == {"new"}
    assert set(marked(index, "edema")) == {"gb"}


def test_without_the_option_words_are_those_as_written(tmp_path: Path) -> None:
    index = build(tmp_path / "index")
    assert set(marked(index, "oedema")) == {"gb"}
    assert set(marked(index, "edema")) == {"us"}
    assert run_successfully("index", "info", "--index", index, "--json").json["spelling"] == "none"
    assert "spelling" not in (index / "manifest.json").read_text()


def test_an_unknown_spelling_is_refused(tmp_path: Path) -> None:
    arguments = ("index", "build", "-", "--into", tmp_path / "index", "--spelling", "british")
    outcome = patientdx(*arguments, stdin=rows({"_id": "a", "text": "b"}))
    assert outcome.code == 1
    assert "unknown spelling `british`" in outcome.err
    assert "none or american" in outcome.err
    assert not (tmp_path / "index").exists()
