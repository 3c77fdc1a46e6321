"""`search` and `similar`: who is found, in which form, and where it is printed."""

import math
from pathlib import Path

import pytest
from command_line import NOTE, digests, hits, rows, run_successfully, sample, scored
from oracle import Oracle

from patientdx.formats import read_patients
from patientdx.records import Patient, Query
from patientdx.sample import sample_folder

ROWS = sample("corpus.jsonl")


def test_a_note_finds_who_the_oracle_finds(sample_index: Path, sample_oracle: Oracle) -> None:
    expected = sample_oracle.ranking(Query("q", NOTE))
    assert len(expected) > 20
    assert scored(hits("search", NOTE, "--index", sample_index)) == expected[:10]
    assert scored(hits("search", NOTE, "--index", sample_index, "-k", 3)) == expected[:3]
    assert scored(hits("search", NOTE, "--index", sample_index, "--top-k", 9999)) == expected
    assert [hit["rank"] for hit in hits("search", NOTE, "--index", sample_index)] == list(
        range(1, 11)
    )


def test_other_settings_may_be_tried_without_building_again(
    sample_index: Path, sample_oracle: Oracle
) -> None:
    before = digests(sample_index)
    tried = Oracle(sample_oracle.patients, sample_oracle.tokens, 1.2, 0.75)
    found = hits("search", NOTE, "--index", sample_index, "--k1", 1.2, "--b", 0.75)
    assert scored(found) == tried.ranking(Query("q", NOTE))[:10]
    half = Oracle(sample_oracle.patients, sample_oracle.tokens, 0.9, 1.0)
    found = hits("search", NOTE, "--index", sample_index, "--b", 1)
    assert scored(found) == half.ranking(Query("q", NOTE))[:10]
    assert digests(sample_index) == before


def test_the_note_may_come_from_anywhere(sample_index: Path, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    # A byte order mark, Windows line ends: the same words.
    file.write_bytes(b"\xef\xbb\xbf" + NOTE.replace(" ", "\r\n").encode())
    expected = hits("search", NOTE, "--index", sample_index)
    assert hits("search", "--file", file, "--index", sample_index) == expected
    assert hits("search", "-", "--index", sample_index, stdin=NOTE) == expected
    assert hits("search", "--file", "-", "--index", sample_index, stdin=NOTE) == expected


def test_a_hit_is_printed_with_its_person_and_passages(sample_index: Path) -> None:
    outcome = run_successfully("search", NOTE, "--index", sample_index, "-k", 2)
    first, second = hits("search", NOTE, "--index", sample_index, "-k", 2)
    assert outcome.lines[0] == (
        f"  1. {first['patient_id']}  {first['score']:.3f}  "
        f"{first['age_years']:.0f} years, {first['sex']}"
    )
    assert any(line.startswith(f"  2. {second['patient_id']}") for line in outcome.lines)
    assert outcome.lines[1].startswith("     … ")
    assert outcome.lines[1].endswith(" …")
    assert " ".join(first["passages"][0]["text"].split()) in outcome.lines[1]
    assert outcome.err == "For research use; not a medical device.\n"
    assert "\033" not in outcome.out


def test_json_holds_the_whole_patient(sample_index: Path) -> None:
    answer = run_successfully("search", NOTE, "--index", sample_index, "--json").json
    assert answer["query_id"] == "query"
    assert "not a medical device" in answer["notice"]
    for hit in answer["hits"]:
        row = next(row for row in ROWS if row["_id"] == hit["patient_id"])
        assert (hit["text"], hit["title"]) == (row["text"], row["title"])
        assert (hit["age_years"], hit["sex"]) == (row["age"], row["sex"])
        assert hit["metadata"] == {"specialty": row["specialty"]}
        for passage in hit["passages"]:
            assert passage["text"] in row["text"]
            assert all(0 <= a < b <= len(passage["text"]) for a, b in passage["matches"])


def test_age_and_sex_from_the_note_s_words_are_marked(tmp_path: Path) -> None:
    index = tmp_path / "index"
    structured = {"_id": "told", "text": "gout", "age": 44, "sex": "F"}
    read = {"_id": "read", "text": "A 9-month-old boy with gout."}
    nothing = {"_id": "none", "text": "gout and no more"}
    run_successfully("index", "build", "-", "--into", index, stdin=rows(structured, read, nothing))
    shown = {
        line.split()[1]: line.split("  ")[-1]
        for line in run_successfully("search", "gout", "--index", index).lines
        if line[:4].strip().endswith(".") and line.split()[0][:-1].isdigit()
    }
    assert shown["told"] == "44 years, F"
    assert shown["read"] == "9 months (from the note), M (from the note)"
    derived = {
        hit["patient_id"]: hit["derived"] for hit in hits("search", "gout", "--index", index)
    }
    assert derived == {"told": [], "read": ["age_years", "sex"], "none": []}


@pytest.mark.parametrize("command", ["search", "similar"])
def test_explanations_sum_to_the_score(
    command: str, sample_index: Path, sample_oracle: Oracle
) -> None:
    argument = NOTE if command == "search" else "demo-001"
    text = NOTE if command == "search" else sample_oracle.patients["demo-001"].full_text
    shares = sample_oracle.shares(Query("q", text))
    for hit in hits(command, argument, "--index", sample_index):
        explained = {share["term"]: share["share"] for share in hit["explanation"]}
        assert explained == shares[hit["patient_id"]]
        assert list(explained.values()) == sorted(explained.values(), reverse=True)
        assert math.isclose(math.fsum(explained.values()), hit["score"], rel_tol=1e-6)
        frequency = {share["term"]: share["tf"] for share in hit["explanation"]}
        counts = sample_oracle.counts[hit["patient_id"]]
        assert frequency == {term: counts[term] for term in explained}


def test_explain_prints_the_greatest_shares_and_what_is_left(sample_index: Path) -> None:
    command = ("similar", "demo-001", "--index", sample_index, "-k", 1)
    hit = hits(*command)[0]
    printed = run_successfully(*command, "--explain").lines
    terms = [line.split() for line in printed if "×" in line]
    assert [cells[0] for cells in terms] == [share["term"] for share in hit["explanation"]][:8]
    assert [float(cells[1]) for cells in terms] == pytest.approx(
        [share["share"] for share in hit["explanation"][:8]], abs=5e-5
    )
    rest = hit["explanation"][8:]
    assert printed[-1].split()[:3] == [str(len(rest)), "other", "terms"]
    assert float(printed[-1].split()[3]) == pytest.approx(sum(o["share"] for o in rest), abs=5e-5)


def test_quiet_prints_ids_only(sample_index: Path) -> None:
    outcome = run_successfully("search", NOTE, "--index", sample_index, "-q", "--explain")
    assert outcome.lines == [
        hit["patient_id"] for hit in hits("search", NOTE, "--index", sample_index)
    ]
    assert outcome.err == ""


@pytest.mark.parametrize("form", [(), ("--json",), ("-q",)])
@pytest.mark.parametrize(
    "words", [("xylophone",), ("the and of",), ("fever", "--age", "120-"), ("!?",)]
)
def test_nobody_found_is_no_failure(
    words: tuple[str, ...], form: tuple[str, ...], sample_index: Path
) -> None:
    outcome = run_successfully("search", *words, *form, "--index", sample_index)
    assert outcome.json["hits"] == [] if form == ("--json",) else outcome.out == ""
    assert ("no patient matches" in outcome.err) == (form != ("-q",))


def test_patients_are_those_of_the_sample() -> None:
    """Guards the comparison above: the readers give what the file says."""
    read: dict[str, Patient] = {p.patient_id: p for p in read_patients(sample_folder())}
    assert {i: (p.text, p.age_years, p.sex) for i, p in read.items()} == {
        row["_id"]: (row["text"], row["age"], row["sex"]) for row in ROWS
    }
