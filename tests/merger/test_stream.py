"""The streaming engine: outputs against float64 formulas, layouts, rows, dtypes, resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints as tiny
from tiny_merges import digest, plan_of, rounded, slerped, ulps, wide

from merger.checkpoints.checkpoint import INDEX, Checkpoint
from merger.checkpoints.headers import Slot, compose_header
from merger.engines import parts, stream
from merger.engines.stream import write_merge
from merger.kernels import dispatch
from merger.kernels.numpy_kernels import CHUNK
from merger.planning.merge_plan import MergePlan, TensorTask

CONFIG = {"config.json": b"{}"}
EMBEDDING = "model.embed_tokens.weight"
T = 0.4


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    """Two models of which some tensors are near enough for the linear fallback."""
    folder = tmp_path_factory.mktemp("pair")
    a = tiny.random_tensors(0)
    b = tiny.near(a, 1)
    for name in list(b)[::3]:
        b[name] = tiny.near(a, 2, by=0.01)[name]
    return (
        Checkpoint.open(tiny.write(folder / "a", a)),
        Checkpoint.open(tiny.write(folder / "b", b, shards=3)),
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_tensors_are_those_of_the_formula(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], method: str, threads: int
) -> None:
    plan = plan_of(pair, method, (1 - T, T))
    written = write_merge(plan, tmp_path / "out", CONFIG, threads=threads)
    merged = Checkpoint.open(written.folder)
    assert set(merged.tensors) == set(pair[0].tensors)
    linear = 0
    for name in merged.tensors:
        a, b = (wide(each.values(name)) for each in pair)
        expected = slerped(a, b, T) if method == "slerp" else (1 - T) * a + T * b
        assert rounded(wide(merged.values(name)), expected, a, b)
        if method == "slerp":
            cosine = written.cosines[name]
            assert cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
            linear += cosine > 0.9995
    assert 0 < linear < len(merged.tensors) or method == "linear"
    assert list(written.cosines) == (list(pair[0].tensors) if method == "slerp" else [])
    assert (written.resumed, written.shards) == (0, ("model.safetensors",))


@pytest.mark.parametrize("method", ["slerp", "linear"])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_the_ends_are_the_inputs_byte_by_byte(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], method: str, t: float
) -> None:
    write_merge(plan_of(pair, method, (1 - t, t)), tmp_path / "out", CONFIG)
    merged = Checkpoint.open(tmp_path / "out")
    for name in merged.tensors:
        expected = pair[int(t)].values(name).data.tobytes()
        assert merged.values(name).data.tobytes() == expected


def test_shards_are_cut_and_indexed(tmp_path: Path, pair: tuple[Checkpoint, Checkpoint]) -> None:
    plan = plan_of(pair, "slerp", (1 - T, T))
    files = {"config.json": b"{}", "README.md": b"# x\n"}
    whole = write_merge(plan, tmp_path / "whole", files)
    cut = write_merge(plan, tmp_path / "cut", files, shard_size=2000)
    assert len(cut.shards) > 2
    assert cut.shards[0] == f"model-00001-of-{len(cut.shards):05d}.safetensors"
    names = {path.name for path in cut.folder.iterdir()}
    assert names == {*cut.shards, *files, INDEX}
    index = json.loads((cut.folder / INDEX).read_text())
    assert index["metadata"]["total_size"] == plan.nbytes == cut.nbytes
    opened = [Checkpoint.open(each.folder) for each in (whole, cut)]
    for name in plan_of(pair, "slerp", (1, 0)).inputs[0].tensors:
        left, right = (each.values(name).data.tobytes() for each in opened)
        assert left == right
    sizes: dict[Path, int] = {}
    for info in opened[1].tensors.values():
        sizes[info.file] = sizes.get(info.file, 0) + info.nbytes
    alone = max(info.nbytes for info in opened[1].tensors.values())
    assert all(size <= max(2000, alone) for size in sizes.values())


@pytest.mark.parametrize("shard_size", [5_000_000_000, 20_000])
def test_transformers_loads_the_output(tmp_path: Path, shard_size: int) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    states = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
        model.save_pretrained(tmp_path / str(seed))
        states.append(model.state_dict())
    pair = [Checkpoint.open(tmp_path / str(seed)) for seed in range(2)]
    files = {"config.json": (tmp_path / "0" / "config.json").read_bytes()}
    written = write_merge(
        plan_of(pair, "linear", (0.5, 0.5)), tmp_path / "out", files, shard_size=shard_size
    )
    assert (len(written.shards) > 1) == (shard_size < 100_000)
    loaded, about = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]
    assert loaded.dtype == torch.bfloat16
    for name, tensor in loaded.state_dict().items():
        expected = (states[0][name].float() * 0.5 + states[1][name].float() * 0.5).bfloat16()
        assert torch.equal(tensor, expected), name
    assert loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()


def test_large_tensors_are_merged_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", CHUNK)
    rng = np.random.default_rng(0)
    shape = (3, CHUNK + 17)
    tensors = [
        {"big": tiny.Tensor(rng.standard_normal(shape)), "one": tiny.Tensor(s)} for s in (2.5, 3)
    ]
    pair = [Checkpoint.open(tiny.write(tmp_path / str(n), each)) for n, each in enumerate(tensors)]
    seen: list[int] = []
    plan = plan_of(pair, "slerp", (1 - T, T))
    write_merge(plan, tmp_path / "out", CONFIG, threads=3, progress=seen.append)
    merged = Checkpoint.open(tmp_path / "out")
    a, b = (wide(each.values("big")) for each in pair)
    expected = slerped(a, b, T)
    assert rounded(wide(merged.values("big")), expected, a, b)
    assert wide(merged.values("one")) == pytest.approx([2.7], rel=2**-8)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, plan.nbytes)
    assert len(seen) > 5


def rows_of(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 16)


@pytest.mark.parametrize("method", ["slerp", "linear"])
@pytest.mark.parametrize("base", [0, 1])
def test_rows_are_trimmed_and_grown(tmp_path: Path, method: str, base: int) -> None:
    tensors = [tiny.random_tensors(seed, vocabulary=n) for seed, n in ((0, 50), (1, 53))]
    pair = tuple(
        Checkpoint.open(tiny.write(tmp_path / str(n), each)) for n, each in enumerate(tensors)
    )
    a, b = (rows_of(wide(each.values(EMBEDDING))) for each in pair)
    for rows in (48, 50, 52, 53):
        task = TensorTask(EMBEDDING, "BF16", (rows, 16), method, (1 - T, T))
        out = tmp_path / f"{rows}"
        write_merge(MergePlan(pair, (task,), base), out, CONFIG)
        merged = rows_of(wide(Checkpoint.open(out).values(EMBEDDING)))
        both = min(rows, 50)
        x, y = a[:both].reshape(-1), b[:both].reshape(-1)
        expected = rows_of(slerped(x, y, T) if method == "slerp" else (1 - T) * x + T * y)
        assert merged.shape == (rows, 16)
        assert rounded(merged[:both], expected, a[:both], b[:both])
        assert np.array_equal(merged[both:], b[both:rows])


def test_integers_are_copied(tmp_path: Path) -> None:
    tensors = {"x": tiny.Tensor([1.0, 2.0])}
    folder = tiny.write(tmp_path / "a", tensors)
    header, _ = compose_header([Slot("ids", "I64", (3,))], {})
    (folder / "model.safetensors").write_bytes(header + np.arange(3, dtype="<i8").tobytes())
    source = Checkpoint.open(folder)
    task = TensorTask("ids", "I64", (3,), "copy", (1.0,))
    write_merge(MergePlan((source,), (task,)), tmp_path / "out", CONFIG)
    merged = Checkpoint.open(tmp_path / "out").values("ids")
    assert merged.data.tobytes() == source.values("ids").data.tobytes()


DTYPES = [
    ("F32", "BF16", "F32", ""),
    ("F16", "F32", "F32", "BF16"),
    ("F64", "F32", "F64", ""),
    ("F32", "F32", "BF16", ""),
    ("BF16", "BF16", "F32", "F16"),
    ("F16", "F16", "F16", ""),
]


@pytest.mark.parametrize(("left", "right", "dtype", "work"), DTYPES)
@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_dtypes_are_mixed_and_rounded_where_asked(
    tmp_path: Path, method: str, left: str, right: str, dtype: str, work: str
) -> None:
    pair = [
        Checkpoint.open(tiny.write(tmp_path / str(n), tiny.random_tensors(n, kind)))
        for n, kind in enumerate((left, right))
    ]
    plan = plan_of(pair, method, (1 - T, T), dtype, work)
    write_merge(plan, tmp_path / "out", CONFIG)
    merged = Checkpoint.open(tmp_path / "out")
    for name, info in merged.tensors.items():
        a, b = (
            wide(tiny.Tensor(wide(each.values(name)), work or each.tensors[name].dtype).values)
            for each in pair
        )
        exact = slerped(a, b, T) if method == "slerp" else (1 - T) * a + T * b
        expected = wide(tiny.Tensor(exact, work).values) if work else exact
        assert info.dtype == dtype
        # Float32 arithmetic may round to the neighbour of what float64 does.
        steps = 1.01 * ulps(exact, work) if work else 0.51 * ulps(exact, dtype)
        rounding = (1e-15 if "F64" in (left, right) else 2e-7) * (np.abs(a) + np.abs(b))
        assert np.all(np.abs(wide(merged.values(name)) - expected) <= steps + rounding)


def test_without_a_compiler_the_bytes_are_the_same(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(pair, "slerp", (1 - T, T))
    compiled = write_merge(plan, tmp_path / "compiled")
    monkeypatch.setattr(dispatch, "load_native", lambda: None)
    assert write_merge(plan, tmp_path / "numpy").cosines == compiled.cosines
    assert digest(tmp_path / "numpy") == digest(tmp_path / "compiled")


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_float64_beyond_the_range_of_its_squares(tmp_path: Path, scale: float) -> None:
    rng = np.random.default_rng(5)
    tensors = [tiny.Tensor(rng.standard_normal((9, 11)) * scale, "F64") for _ in range(2)]
    pair = [Checkpoint.open(tiny.write(tmp_path / str(n), {"x": x})) for n, x in enumerate(tensors)]
    written = write_merge(plan_of(pair, "slerp", (1 - T, T)), tmp_path / "out", CONFIG)
    a, b = (wide(each.values) / scale for each in tensors)
    merged = wide(Checkpoint.open(tmp_path / "out").values("x")) / scale
    if scale > 1:
        assert written.cosines["x"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert merged == pytest.approx(slerped(a, b, T), rel=1e-12)
    else:  # norms below 1e-8 count as 1: the cosine is 0
        assert written.cosines["x"] == 0
        assert merged == pytest.approx(slerped(a * 1e-9, b * 1e-9, T) * 1e9, rel=1e-7)


def test_files_may_tell_of_the_merge(tmp_path: Path, pair: tuple[Checkpoint, Checkpoint]) -> None:
    def card(cosines: stream.Cosines) -> dict[str, bytes]:
        return {"card.json": json.dumps(dict(cosines)).encode()}

    written = write_merge(plan_of(pair, "slerp", (1 - T, T)), tmp_path / "out", card)
    assert json.loads((tmp_path / "out" / "card.json").read_text()) == written.cosines


@pytest.mark.parametrize("name", ["model.safetensors", "../x", "a/b", ""])
def test_files_lie_beside_the_weights(
    tmp_path: Path, pair: tuple[Checkpoint, Checkpoint], name: str
) -> None:
    with pytest.raises(ValueError, match="not a name for a file beside the weights"):
        write_merge(plan_of(pair, "slerp", (1 - T, T)), tmp_path / "out", {name: b""})
    assert list(tmp_path.iterdir()) == []
