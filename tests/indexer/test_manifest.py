"""The manifest: round trip, atomic commit, and every kind of damage."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from corpora import EXAMPLES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.storage.container import Section
from indexer.storage.layout import Layout
from indexer.storage.manifest import (
    MANIFEST_NAME,
    Manifest,
    SegmentEntry,
    StoredFile,
    read_manifest,
    write_manifest,
)
from patientdx.errors import IndexFolderError

PATH = Path("folder/manifest.json")


def stored_file(name: str) -> StoredFile:
    section = Section("lengths", "<u4", (3, 2), 64, 24, "ab" * 16)
    return StoredFile(name, {"lengths": section})


SEGMENTS = (
    SegmentEntry(
        stored_file("segment-000001.pdx"), ("site",), 10, 8, 120, "cd" * 16, stored_file("d.pdx")
    ),
    SegmentEntry(stored_file("segment-000002.pdx"), (), 5, 5, 44, "ef" * 16),
)
MANIFEST = Manifest(
    AnalysisSettings("file", "porter", ("der", "été")),
    BM25Settings(1.2, 0.75),
    Layout(block_docs=64),
    generation=3,
    segments=SEGMENTS,
    corpus=("notes.jsonl", "日本.csv"),
    software="patientdx test",
)


def test_round_trip() -> None:
    raw = MANIFEST.to_bytes()
    again = Manifest.from_bytes(raw, PATH)
    assert again == MANIFEST
    assert again.to_bytes() == raw
    assert again.digest == MANIFEST.digest
    assert json.loads(raw)["generation"] == 3


def test_an_analysis_without_normalization_is_written_as_it_was_before() -> None:
    words = '"words": ["der", "été"]'
    before = json.loads(f'{{"stopwords": "file", "stemmer": "porter", {words}}}')
    analysis = AnalysisSettings.from_json(before)
    assert analysis.normalization == "none"
    assert analysis.to_json() == before
    raw = replace(MANIFEST, analysis=analysis).to_bytes()
    assert json.loads(raw)["analysis"] == before
    assert Manifest.from_bytes(raw, PATH).to_bytes() == raw


def test_the_digest_names_the_normalization() -> None:
    plain = replace(MANIFEST.analysis, normalization="none")
    assert MANIFEST.analysis.normalization == "nfkc"
    assert replace(MANIFEST, analysis=plain).digest != MANIFEST.digest


def test_what_it_counts() -> None:
    assert MANIFEST.notes == 13
    assert MANIFEST.tokens == 164
    assert MANIFEST.files == {"segment-000001.pdx", "segment-000002.pdx", "d.pdx"}


def test_the_next_state() -> None:
    following = MANIFEST.successor(SEGMENTS[1:], ("other",))
    assert (following.generation, following.segments) == (4, SEGMENTS[1:])
    assert following.corpus == ("other",)
    assert following.digest != MANIFEST.digest


def test_every_single_changed_byte_is_detected() -> None:
    raw = MANIFEST.to_bytes()
    for at in range(len(raw)):
        for value in {raw[at] ^ bit for bit in (1, 2, 4, 8, 16, 32, 64, 128)} | {0x20, 0x39, 0x65}:
            if value != raw[at]:
                changed = raw[:at] + bytes([value]) + raw[at + 1 :]
                with pytest.raises(IndexFolderError):
                    Manifest.from_bytes(changed, PATH)


def test_every_cut_and_every_doubled_byte_is_detected() -> None:
    raw = MANIFEST.to_bytes()
    for at in range(len(raw)):
        for changed in (raw[:at], raw[:at] + raw[at + 1 :], raw[: at + 1] + raw[at:]):
            if changed != raw:
                with pytest.raises(IndexFolderError):
                    Manifest.from_bytes(changed, PATH)


@settings(max_examples=EXAMPLES)
@given(raw=st.binary())
@example(b"")
@example(b"null")
@example(b"[]")
@example(b"{}")
@example(b"[" * 100_000)
@example(b'{"format": "patientdx-index", "version": "1"}')
@example(b'{"format": "patientdx-index", "version": null}')
def test_anything_else_is_damage(raw: bytes) -> None:
    with pytest.raises(IndexFolderError, match="damaged"):
        Manifest.from_bytes(raw, PATH)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=EXAMPLES)
@given(
    field=st.sampled_from(sorted(json.loads(MANIFEST.to_bytes()))),
    inner=st.sampled_from(["", "k1", "words", "stemmer", "block_docs", "sections", "shape"]),
    value=values,
)
@example("bm25", "k1", 1e308)
@example("bm25", "k1", -1)
@example("analysis", "stemmer", "german")
@example("layout", "block_docs", 0)
@example("corpus", "", ["\ud800"])
def test_a_field_of_another_kind_is_damage(field: str, inner: str, value: object) -> None:
    data = json.loads(MANIFEST.to_bytes())
    if inner and isinstance(data[field], dict):
        data[field][inner] = value
    else:
        data[field] = value
    raw = (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()
    if raw != MANIFEST.to_bytes():
        with pytest.raises(IndexFolderError):
            Manifest.from_bytes(raw, PATH)


def test_a_newer_version_is_distinguished_from_damage() -> None:
    data = json.loads(MANIFEST.to_bytes())
    data |= {"version": 99, "what comes then": True}
    with pytest.raises(IndexFolderError, match="format version 99, this program reads") as error:
        Manifest.from_bytes(json.dumps(data).encode(), PATH)
    assert (error.value.hint or "").startswith("update PatientDx")


def test_an_older_version_is_to_be_built_again() -> None:
    data = json.loads(MANIFEST.to_bytes()) | {"version": 1}
    with pytest.raises(IndexFolderError, match="format version 1, this program reads") as error:
        Manifest.from_bytes(json.dumps(data).encode(), PATH)
    assert (error.value.hint or "").startswith("build the index again")


def test_commit_and_read(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    following = MANIFEST.successor((), ())
    write_manifest(tmp_path, following)
    assert read_manifest(tmp_path) == following
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]


def test_no_index(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for folder in (tmp_path, tmp_path / "absent", file):
        with pytest.raises(IndexFolderError, match="no index in") as raised:
            read_manifest(folder)
        assert "index build" in (raised.value.hint or "")


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).mkdir()
    with pytest.raises(IndexFolderError, match="cannot be read"):
        read_manifest(tmp_path)
