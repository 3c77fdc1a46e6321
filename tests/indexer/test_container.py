"""Containers: round trips, and what is said of files that are not what was written."""

from pathlib import Path

import numpy as np
import pytest
from corpora import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from indexer.storage.container import ALIGNMENT, ContainerReader, ContainerWriter, Section
from patientdx.errors import IndexFolderError

contents = st.dictionaries(
    st.text(st.characters(codec="ascii", categories=["L"]), min_size=1),
    arrays.arrays(
        st.sampled_from(["u1", "<u2", "<u4", "<u8", "<i8", "<f4", "<f8"]),
        # The first dimension follows from what was written: the others are at least 1.
        st.tuples(st.integers(0, 9), arrays.array_shapes(min_dims=1, max_dims=3, max_side=9)).map(
            lambda sides: (sides[0], *sides[1][1:])
        ),
    ),
    max_size=6,
)


def write_container(path: Path, content: dict[str, np.ndarray]) -> dict[str, Section]:
    writer = ContainerWriter(path)
    for name, array in content.items():
        writer.add(name, array)
    writer.close()
    return {section.name: section for section in writer.sections}


@settings(max_examples=EXAMPLES)
@given(content=contents)
def test_arrays_come_back(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, np.ndarray]
) -> None:
    path = tmp_path_factory.mktemp("container") / "x.pdx"
    sections = write_container(path, content)
    restored = {name: Section.from_json(section.to_json()) for name, section in sections.items()}
    assert restored == sections
    reader = ContainerReader(path, restored)
    for name, array in content.items():
        assert reader.array(name).dtype == array.dtype
        assert reader.array(name).shape == array.shape
        assert reader.array(name).tobytes() == array.tobytes()
        assert bytes(reader.raw(name)) == array.tobytes()
        assert sections[name].offset % ALIGNMENT == 0
    assert reader.damaged_sections() == []


def test_a_section_in_pieces(tmp_path: Path) -> None:
    writer = ContainerWriter(tmp_path / "x.pdx")
    with writer.stream("rows", "u2", (3,)) as section:
        section.write(np.arange(6).reshape(2, 3))
        section.write(np.array([[70, 80, 90]], dtype=np.uint8))
    with writer.stream("bytes", "u1") as section:
        section.write(b"abc")
        section.write(b"")
        section.write(b"d")
        assert section.size == 4
    with writer.stream("nothing", "f8", (0, 5)) as section:
        pass
    writer.close()
    reader = ContainerReader(tmp_path / "x.pdx", {s.name: s for s in writer.sections})
    assert reader.array("rows").tolist() == [[0, 1, 2], [3, 4, 5], [70, 80, 90]]
    assert bytes(reader.raw("bytes")) == b"abcd"
    assert reader.array("nothing").shape == (0, 0, 5)


def test_an_array_larger_than_a_chunk(tmp_path: Path) -> None:
    array = np.arange(3_000_001, dtype=np.uint32)
    sections = write_container(tmp_path / "x.pdx", {"large": array})
    reader = ContainerReader(tmp_path / "x.pdx", sections)
    assert np.array_equal(reader.array("large"), array)
    assert reader.damaged_sections() == []


def test_arrays_are_read_only(tmp_path: Path) -> None:
    sections = write_container(tmp_path / "x.pdx", {"a": np.arange(4)})
    array = ContainerReader(tmp_path / "x.pdx", sections).array("a")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_an_empty_container(tmp_path: Path) -> None:
    assert write_container(tmp_path / "x.pdx", {}) == {}
    assert ContainerReader(tmp_path / "x.pdx", {}).damaged_sections() == []


def test_every_changed_byte_shows(tmp_path: Path) -> None:
    path = tmp_path / "x.pdx"
    content: dict[str, np.ndarray] = {
        "a": np.arange(7, dtype=np.uint16),
        "b": np.zeros(0),
        "c": np.ones(9, "f4"),
    }
    sections = write_container(path, content)
    raw = path.read_bytes()
    names = {at: s.name for s in sections.values() for at in range(s.offset, len(raw))}
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :])
        # Padding belongs to the section before it.
        assert ContainerReader(path, sections).damaged_sections() == [names[at]]


@pytest.mark.parametrize("change", [-1, -64, 1, 64])
def test_a_file_of_another_size(tmp_path: Path, change: int) -> None:
    path = tmp_path / "x.pdx"
    sections = write_container(path, {"a": np.arange(100), "b": np.arange(3)})
    raw = path.read_bytes()
    path.write_bytes(raw[:change] if change < 0 else raw + bytes(change))
    with pytest.raises(IndexFolderError, match=r"x\.pdx: the file has [\d,]+ bytes where"):
        ContainerReader(path, sections)


def test_an_emptied_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pdx"
    sections = write_container(path, {"a": np.arange(100)})
    path.write_bytes(b"")
    with pytest.raises(IndexFolderError, match="0 bytes"):
        ContainerReader(path, sections)


def test_a_missing_file_and_one_that_is_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "x.pdx"
    sections = write_container(path, {"a": np.arange(100)})
    path.unlink()
    with pytest.raises(IndexFolderError, match="missing"):
        ContainerReader(path, sections)
    path.mkdir()
    with pytest.raises(IndexFolderError):
        ContainerReader(path, sections)


def test_an_abandoned_container_is_gone(tmp_path: Path) -> None:
    writer = ContainerWriter(tmp_path / "x.pdx")
    writer.add("a", np.arange(5))
    writer.abandon()
    assert list(tmp_path.iterdir()) == []
