"""Headers of safetensors files: against the safetensors library, and damaged in every way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merger.checkpoints.headers import Slot, compose_header, read_header
from merger.checkpoints.values import SIZES
from patientdx.errors import InputError

NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: name != "__metadata__" and name.isprintable()
)
SLOTS = st.lists(
    st.builds(
        Slot,
        NAMES,
        st.sampled_from(sorted(SIZES)),
        st.lists(st.integers(0, 4), max_size=3).map(tuple),
    ),
    max_size=6,
    unique_by=lambda slot: slot.name,
)


def written(path: Path, slots: list[Slot]) -> list[int]:
    header, offsets = compose_header(slots, {"format": "pt"})
    path.write_bytes(header + bytes(sum(slot.nbytes for slot in slots)))
    return offsets


@given(slots=SLOTS)
def test_what_is_composed_is_read(
    tmp_path_factory: pytest.TempPathFactory, slots: list[Slot]
) -> None:
    path = tmp_path_factory.mktemp("header") / "x.safetensors"
    offsets = written(path, slots)
    infos = {info.name: info for info in read_header(path)}
    assert set(infos) == {slot.name for slot in slots}
    for slot, offset in zip(slots, offsets, strict=True):
        info = infos[slot.name]
        assert (info.dtype, info.shape, info.file) == (slot.dtype, slot.shape, path)
        assert (info.offset, info.nbytes) == (offset, slot.nbytes)


def test_files_are_those_of_the_safetensors_library(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    tensors: dict[str, np.ndarray] = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.arange(5, dtype=np.float16),
        "c": np.zeros((0, 4), np.int64),
        "d": np.array(7.5),
    }
    theirs, ours = tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors"
    numpy.save_file(tensors, theirs)
    for info in read_header(theirs):
        data = theirs.read_bytes()[info.offset : info.offset + info.nbytes]
        assert data == tensors[info.name].tobytes()
        assert info.shape == tensors[info.name].shape
    slots = [
        Slot(
            name,
            {8: "F64", 4: "F32", 2: "F16"}[x.itemsize] if x.dtype.kind == "f" else "I64",
            x.shape,
        )
        for name, x in tensors.items()
    ]
    header, _ = compose_header(slots, {"format": "pt"})
    ours.write_bytes(header + b"".join(x.tobytes() for x in tensors.values()))
    back = numpy.load_file(ours)
    assert all(np.array_equal(back[name], x) for name, x in tensors.items())


def raw(header: Any, data: int = 8, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(data)


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": list(shape) if isinstance(shape, tuple) else shape,
        "data_offsets": offsets,
    }


DAMAGED = {
    "empty": (b"", "shorter than its header"),
    "seven bytes": (b"1234567", "shorter than its header"),
    "longer than the file": (raw({}, length=10_000), "shorter than its header"),
    "no JSON": (raw(b"{oops"), "the header is not JSON"),
    "no UTF-8": (raw(b'{"\xff": 1}'), "the header is not JSON"),
    "deep": (raw(b"[" * 100_000), "the header is not JSON"),
    "a list": (raw([1]), "not a JSON object"),
    "no entry": (raw({"a": 3}), "`a` is incomplete"),
    "no offsets": (raw({"a": {"dtype": "F32", "shape": [2]}}), "`a` is incomplete"),
    "one offset": (raw({"a": entry(offsets=[0])}), "`a` is incomplete"),
    "dtype": (raw({"a": entry("F31")}), "unknown dtype 'F31'"),
    "dtype list": (raw({"a": entry(["F32"])}), "unknown dtype"),
    "half a byte": (raw({"a": entry("F4", (3,), (0, 1))}, 1), "its data do not fill"),
    "shape": (raw({"a": entry(shape=5)}), "sizes that are not whole numbers"),
    "negative": (raw({"a": entry(shape=(-2,))}), "sizes that are not whole numbers"),
    "bool": (raw({"a": entry(shape=(True, 2))}), "sizes that are not whole numbers"),
    "huge": (raw({"a": entry(shape=(2**70,))}), "sizes that are not whole numbers"),
    "too few bytes": (raw({"a": entry(shape=(3,))}), "its data do not fill"),
    "hole": (raw({"a": entry(offsets=[8, 16])}, 16), "leaves a gap"),
    "overlap": (raw({"a": entry(), "b": entry(offsets=[4, 12])}, 12), "overlaps another"),
    "twice": (raw(b'{"a": 1, "a": 2}'), "appears twice"),
    "cut": (raw({"a": entry()}, 7), "the file is cut"),
    "more": (raw({"a": entry()}, 9), "1 bytes belong to no tensor"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    content, problem = DAMAGED[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        read_header(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.hint == "copy or fetch the file again"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_header(tmp_path / "none.safetensors")


@given(data=st.binary(max_size=200), keep=st.integers(0, 400), flip=st.integers(0, 400))
def test_random_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, keep: int, flip: int
) -> None:
    """Never another exception, never a tensor outside the file."""
    path = tmp_path_factory.mktemp("damage") / "x.safetensors"
    sound = raw({"a": entry(), "b": entry("BF16", (2, 2), [8, 16])}, 16)
    changed = bytearray((sound[:keep] + data)[: len(sound)] if flip % 2 else sound)
    if changed:
        changed[flip % len(changed)] ^= 1 << (keep % 8)
    path.write_bytes(changed)
    try:
        infos = read_header(path)
    except InputError:
        return
    assert all(info.offset + info.nbytes <= len(changed) for info in infos)
