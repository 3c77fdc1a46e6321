"""Ages of which a range is known: which filters they pass, and how they are shown."""

from pathlib import Path

import pytest
from command_line import patientdx, run_successfully

NOTES = """id,text,age
open,fever,90+
over,fever,>89
decade,A man in his 60s had fever.,
exact,fever,85
none,fever,
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    corpus = tmp_path / "notes.csv"
    corpus.write_text(NOTES, encoding="utf-8")
    assert patientdx("index", "build", corpus, "--into", tmp_path / "index").code == 0
    return tmp_path / "index"


RANGES = [
    ("80-", {"open", "over", "exact"}),
    ("90-", {"open", "over"}),
    ("91-", set[str]()),
    ("85-95", {"exact"}),
    ("80-120", {"open", "over", "exact"}),
    ("60-69", {"decade"}),
    ("60-65", set[str]()),
    ("62-", {"open", "over", "exact"}),
    ("0-", {"open", "over", "exact", "decade"}),
]


@pytest.mark.parametrize("compacted", [False, True])
def test_a_range_passes_only_where_all_of_it_does(index: Path, compacted: bool) -> None:
    if compacted:
        run_successfully("index", "compact", "--index", index)
    for ages, expected in RANGES:
        outcome = patientdx("search", "fever", "-q", "--index", index, "--age", ages)
        assert set(outcome.lines) == expected, ages


def test_ranges_are_shown_with_both_ends(index: Path) -> None:
    shown = run_successfully("search", "fever", "--index", index).out
    assert shown.count("90 years or older") == 2
    assert "60 to 69 years (from the note), M" in shown
    hits = run_successfully("search", "fever", "--index", index, "--json").json["hits"]
    assert {hit["patient_id"]: hit["age_until"] for hit in hits}["decade"] == 69


def test_info_remembers_what_was_understood(index: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("id;text;sex\nx;gout;0\ny;;F\n", encoding="utf-8")
    assert patientdx("index", "add", more, "--index", index).code == 0
    first, second = run_successfully("index", "info", "--index", index, "--json").json["understood"]
    assert first["age"] == {"fields": 3, "words": 1}
    assert first["columns"] == {"id": "id", "note": "text", "age": "age"}
    assert second["not_understood"] == {"sex": {"0": 1}}
    assert second["left_out"] == {"notes without a text": 1}
    text = run_successfully("index", "info", "--index", index).out
    assert "of 5 patients: age of 80 % (3 from fields, 1 from words of notes)" in text
    assert "columns: id `id`, note `text`, sex `sex`; separated by semicolons" in text
    assert "values of sex not understood: `0` 1" in text
    assert "left out notes without a text: 1" in text
    assert run_successfully("index", "verify", "--index", index)
    run_successfully("index", "delete", "x", "--index", index)
    assert (
        len(run_successfully("index", "info", "--index", index, "--json").json["understood"]) == 2
    )
