"""The `index` commands: what they do to a folder and what they say."""

import gzip
from pathlib import Path

import pytest
from command_line import digests, patientdx, rows, run_successfully, sample

from indexer.index import Index
from patientdx.sample import sample_folder

ANN = {"_id": "a-1", "text": "Ann, a woman of 44, had gout.", "ward": "north"}
BEN = {"_id": "b-1", "text": "Ben, a man of 70, had gout and fever.", "ward": "south"}
CAT = {"_id": "c-1", "text": "Cat, a girl of 7, had measles.", "ward": "north"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "notes.jsonl"
    source.write_bytes(rows(ANN, BEN))
    run_successfully("index", "build", source, "--into", tmp_path / "index")
    return tmp_path / "index"


def ids(folder: Path) -> list[str]:
    return run_successfully("index", "info", "--ids", "--index", folder).lines


def test_build_says_what_it_did_and_what_comes_next(tmp_path: Path) -> None:
    outcome = run_successfully("index", "build", sample_folder(), "--into", tmp_path / "index")
    assert outcome.out == ""
    assert f"249 patients in {tmp_path / 'index'}" in outcome.err
    assert f"hint: patientdx search 'chest pain' --index {tmp_path / 'index'}" in outcome.err
    assert ids(tmp_path / "index") == [row["_id"] for row in sample("corpus.jsonl")]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("command", [("build", "--into"), ("add", "--index")])
def test_quiet_changes_say_nothing(command: tuple[str, str], folder: Path) -> None:
    name, option = command
    target = folder if name == "add" else folder.with_name("other")
    outcome = run_successfully("index", name, "-", option, target, "--quiet", stdin=rows(CAT))
    assert (outcome.out, outcome.err) == ("", "")


def test_build_reads_stdin_compressed_or_not(tmp_path: Path) -> None:
    for name, data in {"plain": rows(ANN), "gz": gzip.compress(rows(ANN))}.items():
        run_successfully("index", "build", "-", "--into", tmp_path / name, stdin=data)
        assert ids(tmp_path / name) == ["a-1"]


def test_build_takes_named_fields(tmp_path: Path) -> None:
    source = tmp_path / "notes.csv"
    source.write_text("case,story,head\n1,gout again,foot\n", encoding="utf-8")
    fields = ("--id-field", "case", "--text-field", "story", "--title-field", "head")
    run_successfully("index", "build", source, "--into", tmp_path / "index", *fields)
    hits = run_successfully("search", "foot", "--index", tmp_path / "index", "--json").json["hits"]
    assert [(hit["patient_id"], hit["title"], hit["text"]) for hit in hits] == [
        ("1", "foot", "gout again")
    ]


@pytest.mark.parametrize(
    ("options", "words", "stemmer", "is_hit"),
    [
        ((), "english", "english", {"run": True, "the": False}),
        (("--stemmer", "none"), "english", "none", {"run": False, "the": False}),
        (("--stopwords", "none"), "none", "english", {"run": True, "the": True}),
        (("--stemmer", "porter"), "english", "porter", {"run": True, "running": True}),
    ],
)
def test_build_keeps_the_analysis_of_its_options(
    options: tuple[str, ...], words: str, stemmer: str, is_hit: dict[str, bool], tmp_path: Path
) -> None:
    note = {"_id": "1", "text": "The nose was running"}
    index = tmp_path / "index"
    run_successfully("index", "build", "-", "--into", index, *options, stdin=rows(note))
    facts = run_successfully("index", "info", "--index", index, "--json").json
    assert (facts["stop_words"], facts["stemmer"]) == (words, stemmer)
    for word, is_found in is_hit.items():
        assert (
            run_successfully("search", word, "-q", "--index", index).lines == ["1"]
        ) == is_found, word


def test_build_takes_a_stop_list_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "stop.txt").write_text("nose # a comment\n", encoding="utf-8")
    index = tmp_path / "index"
    note = {"_id": "1", "text": "The nose was running, no comment"}
    run_successfully(
        *("index", "build", "-", "--into", index, "--stopwords", tmp_path / "stop.txt"),
        stdin=rows(note),
    )
    (tmp_path / "stop.txt").unlink()  # the index needs nothing but itself
    assert run_successfully("search", "nose", "-q", "--index", index).lines == []
    assert run_successfully("search", "comment", "-q", "--index", index).lines == ["1"]


def test_info_reports_how_the_index_was_made(folder: Path) -> None:
    as_json = run_successfully("index", "info", "--index", folder, "--json")
    assert as_json.err == ""
    facts = as_json.json
    assert (facts["patients"], facts["segments"], facts["deleted"]) == (2, 1, 0)
    assert facts["bm25"] == {"k1": 0.9, "b": 0.4}
    assert facts["fields"] == ["ward"]
    assert facts["corpus"] == [str(folder.with_name("notes.jsonl"))]
    text = run_successfully("index", "info", "--index", folder)
    assert text.lines[0].split() == ["patients", "2"]
    of_sources = text.lines.index(f"source           {folder.with_name('notes.jsonl')}")
    assert of_sources == len(facts) - 1  # all but what was understood of each


def test_chosen_bm25_settings_are_the_index_s_own(tmp_path: Path) -> None:
    index = tmp_path / "index"
    run_successfully(
        *("index", "build", sample_folder(), "--into", index, "--k1", "1.2", "--b", "0.75"),
    )
    assert run_successfully("index", "info", "--index", index, "--json").json["bm25"] == {
        "k1": 1.2,
        "b": 0.75,
    }


def test_add_puts_new_patients_beside_the_old(folder: Path) -> None:
    outcome = run_successfully("index", "add", "-", "--index", folder, stdin=rows(CAT))
    assert f"3 patients in {folder}" in outcome.err
    assert ids(folder) == ["a-1", "b-1", "c-1"]
    assert run_successfully("search", "measles", "-q", "--index", folder).lines == ["c-1"]


def test_add_puts_a_new_note_in_place_of_the_old_only_when_requested(folder: Path) -> None:
    before = digests(folder)
    new = rows({**ANN, "text": "Ann now has scurvy."}, CAT)
    refused = patientdx("index", "add", "-", "--index", folder, stdin=new)
    assert refused.code == 1
    assert "`a-1` is in the index already" in refused.err
    assert "--update" in refused.err
    assert digests(folder) == before
    run_successfully("index", "add", "-", "--index", folder, "--update", stdin=new)
    assert sorted(ids(folder)) == ["a-1", "b-1", "c-1"]
    assert run_successfully("search", "scurvy", "-q", "--index", folder).lines == ["a-1"]
    assert run_successfully("search", "gout", "-q", "--index", folder).lines == ["b-1"]


def test_delete_takes_ids_and_compact_frees_what_is_left(folder: Path) -> None:
    run_successfully("index", "add", "-", "--index", folder, stdin=rows(CAT))
    outcome = run_successfully("index", "delete", "a-1", "c-1", "--index", folder)
    assert "deleted 2 patients; 1 patient left" in outcome.err
    assert ids(folder) == ["b-1"]
    assert run_successfully("search", "gout", "-q", "--index", folder).lines == ["b-1"]
    run_successfully("index", "compact", "--index", folder)
    facts = run_successfully("index", "info", "--index", folder, "--json").json
    assert (facts["patients"], facts["segments"], facts["deleted"]) == (1, 1, 0)
    assert b"scurvy" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_delete_reads_ids_from_stdin(folder: Path) -> None:
    run_successfully("index", "delete", "-", "--index", folder, stdin="a-1\r\n\n b-1 \n")
    assert ids(folder) == []
    assert run_successfully("search", "gout", "-q", "--index", folder).lines == []
    run_successfully("index", "compact", "--index", folder)
    run_successfully("index", "add", "-", "--index", folder, stdin=rows(CAT))
    assert ids(folder) == ["c-1"]


def test_what_was_changed_scores_as_what_was_built_at_once(folder: Path, tmp_path: Path) -> None:
    run_successfully("index", "add", "-", "--index", folder, stdin=rows(CAT, {**CAT, "_id": "d-1"}))
    run_successfully("index", "delete", "d-1", "--index", folder)
    whole = tmp_path / "whole"
    run_successfully("index", "build", "-", "--into", whole, stdin=rows(ANN, BEN, CAT))
    command = ("search", "gout, fever, measles in a woman", "--json", "--index")
    assert run_successfully(*command, folder).json == run_successfully(*command, whole).json


def test_verify_reads_every_byte(folder: Path) -> None:
    good = run_successfully("index", "verify", "--index", folder)
    assert good.out == ""
    assert "2 patients, every byte as committed" in good.err
    segment = next(folder.glob("*.pdx"))
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    bad = patientdx("index", "verify", "--index", folder)
    assert bad.code == 1
    assert bad.out.startswith(f"{segment}: section `")
    assert bad.err.startswith(f"error: {folder}: 1 damaged part\n")
    assert "hint: restore the index from a copy" in bad.err
    listed = patientdx("index", "verify", "--index", folder, "--json")
    assert listed.code == 1
    assert listed.json["patients"] == 2
    (damaged,) = listed.json["damaged"]
    assert damaged["file"] == str(segment)


def test_build_replaces_an_index_only_when_requested(folder: Path) -> None:
    before = digests(folder)
    refused = patientdx("index", "build", "-", "--into", folder, stdin=rows(CAT))
    assert refused.code == 1
    assert f"`{folder}` holds an index already" in refused.err
    assert digests(folder) == before
    opened = Index.open(folder)
    run_successfully("index", "build", "-", "--into", folder, "--replace", stdin=rows(CAT))
    assert ids(folder) == ["c-1"]
    assert opened.patient("a-1").metadata == {"ward": "north"}  # a reader keeps its state


@pytest.mark.parametrize("version", [1, 99])
def test_an_index_that_cannot_be_read_can_be_replaced(version: int, folder: Path) -> None:
    (folder / "manifest.json").write_text(f'{{"format": "patientdx-index", "version": {version}}}')
    hint = patientdx("index", "info", "--index", folder).err.partition("hint: ")[2]
    assert "build" in hint
    run_successfully("index", "build", "-", "--into", folder, "--replace", stdin=rows(CAT))
    assert ids(folder) == ["c-1"]
    run_successfully("index", "verify", "--index", folder)


def test_the_index_may_be_named_by_a_variable(folder: Path) -> None:
    env: dict[str, str | None] = {"PATIENTDX_INDEX": str(folder)}
    assert patientdx("index", "info", "--ids", env=env).lines == ["a-1", "b-1"]
    nameless = patientdx("index", "info")
    assert nameless.code == 2
    assert nameless.err == (
        "error: no index named\n\nhint: give --index FOLDER or set PATIENTDX_INDEX\n"
    )
