"""A live merge equals MergeKit's, the one that is written, and at its ends the inputs."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from live_merges import NEAR, agree, plan_of, same_bits, siblings, state

from merger.live.merged_model import MergedModel
from merger.live.points import MergePoint
from merger.methods.method import TensorWeights
from merger.planning.merge_plan import MergePlan
from patientdx.errors import MergeError, ModelError
from patientdx.models.settings import DType, ModelSettings
from patientdx.protocols import GenerationSettings, Generator, Scorer

DTYPES: tuple[DType, ...] = ("bfloat16", "float16", "float32")
PROMPTS = ["the patient has", "a fever and chills"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("siblings")


@pytest.fixture(scope="module")
def pair(place: Path) -> list[Path]:
    return siblings(place)


@pytest.fixture(scope="module")
def three(place: Path) -> list[Path]:
    return siblings(place / "three", 3)


def opened(folders: list[Path], dtype: DType = "bfloat16", **options: Any) -> MergedModel:
    return MergedModel.load(plan_of(folders, **options), settings=ModelSettings(dtype=dtype))


def live(merged: MergedModel) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in merged.module.state_dict().items()}


def mergekit(folders: list[Path], method: str, dtype: str, **parameters: Any) -> dict[str, Any]:
    """What MergeKit makes of the same folders, computed in float32 where it leaves the choice."""
    pytest.importorskip("mergekit")
    import torch
    from mergekit.merge_methods import merge_state_dicts

    tensors: dict[str, Any] = merge_state_dicts(
        [state(folder) for folder in folders],
        method,
        parameters=parameters,
        base=0 if method == "slerp" else None,
        dtype=torch.float32 if method == "multislerp" else None,
        out_dtype=getattr(torch, dtype),
    )
    return tensors


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("t", [0.0, 0.1, 0.4, 0.5, 0.9, 1.0])
def test_two_models_are_merged_as_mergekit_does_it(place: Path, dtype: DType, t: float) -> None:
    folders = siblings(place / "two", dtype=dtype)
    hand = [state(folder) for folder in folders]
    merged = opened(folders, dtype)
    cosines = merged.cosines
    assert all((abs(cosine) > 0.9995) == (NEAR in name) for name, cosine in cosines.items())
    wanted = {
        "slerp": mergekit(folders, "slerp", dtype, t=t),
        "linear": mergekit(folders, "linear", dtype, weight=[1 - t, t]),
    }
    for method, tensors in wanted.items():
        merged.remix(t, method=method)
        for name, tensor in live(merged).items():
            inputs = [source[name] for source in hand]
            if dtype == "float32":
                assert (tensor - tensors[name]).abs().max() < 1e-6
            else:
                assert agree(tensor, tensors[name], inputs), (method, name)


@pytest.mark.parametrize("weights", [(0.2, 0.3, 0.5), (1.0, 2.0, 1.0), (0.0, 0.5, 0.5)])
def test_many_models_are_merged_as_mergekit_does_it(
    three: list[Path], weights: tuple[float, ...]
) -> None:
    hand = [state(folder) for folder in three]
    merged = opened(three, method="linear", weights=(1 / 3,) * 3)
    for method in ("linear", "multislerp"):
        wanted = mergekit(three, method, "bfloat16", weight=list(weights))
        merged.remix(TensorWeights(method, weights))
        for name, tensor in live(merged).items():
            assert agree(tensor, wanted[name], [tensors[name] for tensors in hand]), (method, name)


@pytest.mark.parametrize("method", ["slerp", "linear", "multislerp"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_are_the_inputs_bit_by_bit(place: Path, method: str, dtype: DType) -> None:
    folders = siblings(place / "ends", dtype=dtype)
    merged = opened(folders, dtype).remix(0.3, method=method)
    for t, folder in ((0, folders[0]), (1, folders[1])):
        merged.remix(t, method=method)
        wanted = state(folder)
        assert all(same_bits(tensor, wanted[name]) for name, tensor in live(merged).items())


def test_an_end_of_many_models_is_an_input_bit_by_bit(three: list[Path]) -> None:
    merged = opened(three, method="linear", weights=(1 / 3,) * 3)
    for method in ("linear", "multislerp"):
        merged.remix(TensorWeights(method, (0, 0, 7)))
        wanted = state(three[2])
        assert all(same_bits(tensor, wanted[name]) for name, tensor in live(merged).items())


def test_tied_weights_are_written_once_and_stay_tied(place: Path) -> None:
    folders = siblings(place / "tied", tied=True)
    merged = opened(folders).remix(1)
    rows = state(folders[1])["model.embed_tokens.weight"]
    assert "lm_head.weight" not in merged.tensor_weights
    assert same_bits(merged.module.lm_head.weight.detach(), rows)
    assert merged.module.lm_head.weight is merged.module.model.embed_tokens.weight


def test_tensors_follow_a_point_of_their_own(pair: list[Path]) -> None:
    merged = opened(pair)
    uniform = {t: live(merged.remix(t)) for t in (0.2, 0.7)}
    merged.remix(lambda name: 0.2 if "layers.0." in name else 0.7)
    mixed = live(merged)
    merged.remix({name: 0.2 if "layers.0." in name else 0.7 for name in merged.tensor_weights})
    for name, tensor in live(merged).items():
        wanted = uniform[0.2 if "layers.0." in name else 0.7][name]
        assert same_bits(tensor, wanted), name
        assert same_bits(mixed[name], wanted), name


def test_where_a_point_is_silent_the_plan_speaks(pair: list[Path]) -> None:
    merged = opened(pair, weights=(0.75, 0.25))
    planned = live(merged)
    merged.remix(0.9).remix({"model.norm.weight": 1.0})
    for name, tensor in live(merged).items():
        assert same_bits(tensor, planned[name]) == (name != "model.norm.weight")


def test_a_wider_live_model_holds_the_rounded_numbers(pair: list[Path]) -> None:
    narrow, wide = opened(pair).remix(0.4), opened(pair, "float32").remix(0.4)
    for name, tensor in live(wide).items():
        assert same_bits(tensor, live(narrow)[name].float()), name


def test_only_tensors_whose_mix_changes_are_touched(pair: list[Path]) -> None:
    merged = opened(pair).remix(0.4)
    merged.module.model.norm.weight.data.fill_(3.0)
    merged.remix(dict.fromkeys(merged.tensor_weights, 0.4))
    assert bool((merged.module.model.norm.weight == 3.0).all())
    merged.remix(0.5)
    assert not bool((merged.module.model.norm.weight == 3.0).any())


@pytest.mark.parametrize("work", ["", "F32"])
def test_many_points_from_one_read_are_the_live_ones(place: Path, work: str) -> None:
    small, large = siblings(place / "small"), siblings(place / "large", rows=7)
    folders = [large[0], small[1]]
    rows = len(state(folders[0])["lm_head.weight"])
    merged = opened(folders, rows=rows, work=work).remix(0.3)
    before = live(merged)
    points: list[MergePoint] = [0.0, 0.4, lambda name: 0.2 if "mlp" in name else 0.9, 1.0]
    tensors = list(merged.tensors_at(points))
    assert all(same_bits(tensor, before[name]) for name, tensor in live(merged).items())
    assert {name for name, _ in tensors} == {*merged.tensor_weights}
    for number, point in enumerate(points):
        merged.remix(point)
        wanted = live(merged)
        assert all(same_bits(each[number], wanted[name]) for name, each in tensors)


def test_the_digest_follows_the_mix(pair: list[Path]) -> None:
    merged = opened(pair)
    digests = [
        merged.remix(t, method=m).digest for t in (0.0, 0.4, 0.5) for m in ("slerp", "linear")
    ]
    assert len({*digests}) == len(digests)
    assert merged.remix(0.4, method="slerp").digest == digests[2]
    assert opened(pair, weights=(0.5, 0.5)).remix(0.4).digest == digests[2]
    assert opened(pair[::-1]).remix(0.4).digest != digests[2]
    assert merged.remix(lambda name: 0.4 if "norm" in name else 0.5).digest not in digests


def test_it_writes_and_reads_like_any_model(pair: list[Path]) -> None:
    merged = opened(pair, "float32")
    assert isinstance(merged, Generator)
    assert isinstance(merged, Scorer)
    from patientdx.models.torch.model import HfModel

    alone = HfModel.load(pair[1], ModelSettings(dtype="float32"))
    merged.remix(1)
    settings = GenerationSettings(max_new_tokens=8)
    assert merged.generate(PROMPTS, settings) == alone.generate(PROMPTS, settings)
    assert not any(completion.truncated for completion in merged.generate(PROMPTS, settings))
    pairs = [("the patient", " has a fever"), ("", "chills")]
    assert merged.logprobs(pairs) == alone.logprobs(pairs)
    assert merged.remix(0.5).logprobs(pairs) != alone.logprobs(pairs)
    assert (merged.name, merged.batch) == ("merge", alone.batch)
    assert merged.description == alone.description
    merged.close()


@pytest.mark.parametrize("keep", [0, 1])
def test_vocabularies_of_two_sizes(place: Path, keep: int) -> None:
    """Rows are dropped, or those that one model lacks are copied, at every λ."""
    small, large = siblings(place / "small"), siblings(place / "large", rows=7)
    folders = [small[0], large[1]] if not keep else [large[0], small[1]]
    rows = len(state(folders[0])["lm_head.weight"])
    merged = opened(folders, rows=rows)
    hand = [state(folder) for folder in folders]
    for t in (0.0, 0.4, 1.0):
        merged.remix(t)
        output = live(merged)["lm_head.weight"]
        common = min(len(tensors["lm_head.weight"]) for tensors in hand)
        assert output.shape[0] == rows == merged.module.config.vocab_size
        if t in {0.0, 1.0}:
            assert same_bits(output[:common], hand[int(t)]["lm_head.weight"][:common])
        if keep:
            assert same_bits(output[common:], hand[0]["lm_head.weight"][common:])


def test_rows_beyond_those_of_the_base_come_from_the_other(place: Path) -> None:
    folders = [siblings(place / "few")[0], siblings(place / "more", rows=7)[1]]
    rows = len(state(folders[1])["lm_head.weight"])
    merged = opened(folders, rows=rows).remix(0)
    output, other = live(merged)["lm_head.weight"], state(folders[1])["lm_head.weight"]
    assert same_bits(output[-7:], other[-7:])
    assert same_bits(output[:-7], state(folders[0])["lm_head.weight"])


REFUSED: list[tuple[Any, str | None, str]] = [
    (1.2, None, "between 0 and 1"),
    (-0.1, None, "between 0 and 1"),
    (float("nan"), None, "between 0 and 1"),
    ((0.5, 0.5, 0.5), None, "3 weights were given for 2"),
    ((-1.0, 2.0), None, "0 or more"),
    ((0.0, 0.0), None, "not all 0"),
    (0.5, "ties", "not `ties`"),
]


@pytest.mark.parametrize(("point", "method", "said"), REFUSED)
def test_what_is_no_mix_is_refused_and_changes_nothing(
    pair: list[Path], point: Any, method: str | None, said: str
) -> None:
    merged = opened(pair).remix(0.4)
    before = live(merged), merged.digest
    with pytest.raises(MergeError, match=said):
        merged.remix(point, method=method)
    assert merged.digest == before[1]
    assert all(same_bits(tensor, before[0][name]) for name, tensor in live(merged).items())


def test_methods_for_two_are_refused_for_three(three: list[Path]) -> None:
    merged = opened(three, method="linear", weights=(1 / 3,) * 3)
    with pytest.raises(MergeError, match="slerp is for two"):
        merged.remix((1, 1, 1), method="slerp")
    with pytest.raises(MergeError, match="a single λ is for two"):
        merged.remix(0.5)


def test_a_plan_of_other_models_is_refused(pair: list[Path], three: list[Path]) -> None:
    merged = opened(pair)
    with pytest.raises(MergeError, match="other models"):
        merged.apply_plan(plan_of(three[:2]))
    wider = MergePlan(merged.plan.inputs, plan_of(pair, dtype="F32").tensors)
    with pytest.raises(MergeError, match="other shapes or types"):
        merged.apply_plan(wider)


def test_quantized_models_are_refused(pair: list[Path]) -> None:
    with pytest.raises(ModelError, match="cannot be swapped"):
        MergedModel.load(plan_of(pair), settings=ModelSettings(quantize="nf4"))


def test_numbers_that_are_not_finite_are_named(place: Path) -> None:
    from safetensors.torch import save_file

    folders = siblings(place / "nan")
    tensors = state(folders[1])
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, folders[1] / "model.safetensors", {"format": "pt"})
    with pytest.raises(MergeError, match=r"`model\.norm\.weight` of input 2 holds NaN"):
        opened(folders)
