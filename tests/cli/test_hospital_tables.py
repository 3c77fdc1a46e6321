"""Tables as hospitals name their columns, and ids of notes where patients have several."""

from pathlib import Path

from command_line import patientdx, run_successfully


def test_an_id_of_a_note_is_the_query_where_no_patient_has_it(tmp_path: Path) -> None:
    table, index = tmp_path / "notes.csv", tmp_path / "index"
    table.write_text(
        "note_id,person_id,note_text\n1,42,ascites again\n2,42,ascites\n3,43,ascites\n"
    )
    run_successfully("index", "build", table, "--into", index)
    for extra in ([], ["--other-articles"]):
        similar = ("similar", "1", "--index", index, *extra)
        assert run_successfully(*similar, "-q").lines == ["43"]
        outcome = run_successfully(*similar, "--json")
        assert "the note of this id is the query" in outcome.err
    assert "patient `42` names no article" in outcome.err
    outcome = patientdx("similar", "9", "--index", index)
    assert (outcome.code, outcome.out) == (1, "")
    assert "no patient `9` in this index" in outcome.err


def test_a_record_number_beside_a_note_id_is_the_patients(tmp_path: Path) -> None:
    table, index = tmp_path / "notes.csv", tmp_path / "index"
    table.write_text(
        "MRN,note_id,note_text,Age at admission\n7,a,fever,012M\n7,b,cough,012M\n8,c,fever,002W\n"
    )
    outcome = run_successfully("index", "build", table, "--into", index)
    assert "2 patients, 3 notes" in outcome.err
    search = ("search", "fever", "--index", index, "-q", "--age")
    assert run_successfully(*search, "1").lines == ["7"]
    assert run_successfully(*search, "0").lines == ["8"]


def test_the_line_that_names_excels_separator_is_no_header(tmp_path: Path) -> None:
    table = tmp_path / "notes.csv"
    table.write_text("sep=;\nid;text;age\n1;fever;44,5\n2;cough;50\n")
    outcome = run_successfully("index", "build", table, "--into", tmp_path / "index")
    assert "2 patients" in outcome.err
    assert "age of 100 %" in outcome.err
