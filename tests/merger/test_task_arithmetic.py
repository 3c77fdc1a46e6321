"""Task arithmetic: MergeKit's tensors bit by bit, on disk and in memory."""

import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("transformers", reason="needs the extras hf and merge")

from live_merges import same_bits, siblings, state

from merger.checkpoints.adapters import apply_adapter
from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.stream import write_merge
from merger.execution import merge
from merger.live.live_parameters import find_live_parameters
from merger.live.live_tensors import open_live_tensors
from merger.live.merged_model import MergedModel
from merger.live.points import resolve_point
from merger.live.torch_weights import DeviceWeights, to_tensor
from merger.methods.method import DeltaOptions, TensorWeights
from merger.methods.registry import compute_sum
from merger.planning.job import MergeJob
from merger.planning.merge_plan import MergePlan, TensorTask
from merger.planning.recipe_resolver import plan_merge
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml
from patientdx.errors import InputError, MergeError
from patientdx.models.settings import ModelSettings

PARTS: list[dict[str, Any]] = [
    {"filter": "self_attn", "value": [0, 0.5, 1]},
    {"filter": "mlp", "value": [1.2, -0.3]},
    {"value": 0.4},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("siblings")


@pytest.fixture(scope="module")
def family(place: Path) -> list[Path]:
    """A base and three models near it."""
    return siblings(place, 4)


def recipe_of(
    base: Path, others: list[Path], weights: list[Any], parameters: Any = None, **more: Any
) -> dict[str, Any]:
    models = [
        {"model": str(other), "parameters": {"weight": weight}}
        for other, weight in zip(others, weights, strict=True)
    ]
    recipe = {"models": models, "merge_method": "task_arithmetic", "base_model": str(base)}
    return recipe | ({"parameters": parameters} if parameters else {}) | more


def merged(recipe: dict[str, Any], into: Path) -> dict[str, Any]:
    """The tensors that the streaming engine writes."""
    read = parse_recipe(to_yaml(recipe))
    done = merge(MergeJob(read, {ref: Path(ref.path) for ref in read.inputs}), into)
    assert done.engine == "stream"
    return state(into)


def compare(recipe: dict[str, Any], place: Path) -> dict[str, Any]:
    """Merges by our engine and by MergeKit; their tensors are equal in every bit."""
    pytest.importorskip("mergekit", reason="needs the extra merge")
    from small_merges import by_mergekit, tensors

    ours = merged(recipe, place / "ours")
    theirs = tensors(by_mergekit(recipe, place / "theirs"))
    if "lm_head.weight" not in ours:
        theirs.pop("lm_head.weight", None)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert same_bits(tensor, theirs[name]), name
    return ours


RECIPES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a model": ([0.4], {}),
    "the whole difference": ([1.0], {}),
    "more than the difference": ([1.7], {}),
    "less than nothing": ([-0.5], {}),
    "two models": ([0.4, 0.7], {}),
    "two models, lambda": ([1, 1], {"lambda": 0.3}),
    "three models, a word": (["3e-1", 0.2, 1], {"lambda": 1.5}),
    "normalised": ([0.4, 0.7, 0.2], {"normalize": True}),
    "normalised, lambda": ([3, 1], {"normalize": True, "lambda": 0.4}),
    "normalised to nothing": ([0.5, -0.5], {"normalize": True}),
    "gradients": ([[0.1, 0.9], [0.9, 0.2]], {"lambda": [0.5, 1]}),
    "filters": ([PARTS, 0.5], {"lambda": PARTS}),
    "parameters without effect": ([0.4, 0.7], {"density": 0.5, "int8_mask": True}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gives_mergekit_s_bits(name: str, family: list[Path], tmp_path: Path) -> None:
    weights, parameters = RECIPES[name]
    base, *others = family
    compare(recipe_of(base, others[: len(weights)], weights, parameters), tmp_path)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize(
    "types", [{}, {"dtype": "float32"}, {"dtype": "bfloat16"}, {"out_dtype": "float16"}]
)
def test_every_dtype_gives_mergekit_s_bits(
    dtype: str, types: dict[str, str], place: Path, tmp_path: Path
) -> None:
    base, *others = siblings(place / "dtypes", 3, dtype=dtype)
    compare(recipe_of(base, others, [0.4, 0.7], {"lambda": 0.9}, **types), tmp_path)


@pytest.mark.parametrize("dtypes", [("bfloat16", "float32"), ("float16", "bfloat16")])
def test_models_of_two_dtypes_give_mergekit_s_bits(
    dtypes: tuple[str, str], place: Path, tmp_path: Path
) -> None:
    base, first = siblings(place / "first", 2, dtype=dtypes[0])
    other = siblings(place / "second", 3, dtype=dtypes[1])[2]
    compare(recipe_of(base, [first, other], [0.4, 0.7]), tmp_path)
    (tmp_path / "turned").mkdir()
    compare(recipe_of(other, [first, base], [0.4, 0.7]), tmp_path / "turned")


def test_tied_models_give_mergekit_s_bits(place: Path, tmp_path: Path) -> None:
    base, *others = siblings(place / "tied", 3, tied=True)
    assert "lm_head.weight" not in compare(recipe_of(base, others, [0.4, 0.7]), tmp_path)


def test_vocabulary_rows_of_other_models_are_cut_as_mergekit_does_it(
    place: Path, tmp_path: Path
) -> None:
    """The base has fewer rows; those beyond are padding of the other models."""
    pytest.importorskip("mergekit", reason="needs the extra merge")
    from small_merges import by_mergekit, tensors

    base = siblings(place / "fewer", 1)[0]
    others = siblings(place / "more", 3, rows=5)[1:]
    recipe = recipe_of(base, others, [0.4, 0.7])
    ours = merged(recipe, tmp_path / "ours")
    theirs = by_mergekit(recipe, tmp_path / "theirs", unsafe_truncate_embeddings=True)
    for name, tensor in tensors(theirs).items():
        assert same_bits(ours[name], tensor), name


def test_rows_that_only_the_base_has_are_copied_and_live_holds_them(
    place: Path, tmp_path: Path
) -> None:
    """Rows of words that the base alone has, on disk and in memory."""
    base = siblings(place / "base", 1)[0]
    other = siblings(place / "other", 2, rows=-4)[1]
    inputs = [Checkpoint.open(folder) for folder in (other, base)]
    tasks = [
        TensorTask(
            *(info.name, info.dtype, info.shape, "task_arithmetic", (0.5, 1.0)),
            divided=False,
            deltas=DeltaOptions(1),
        )
        for info in inputs[1].tensors.values()
    ]
    plan = MergePlan(tuple(inputs), tuple(tasks), 1)
    write_merge(plan, tmp_path / "out")
    written, start, near = state(tmp_path / "out"), state(base), state(other)
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        rows = len(near[name])
        assert len(written[name]) == rows + 4
        assert same_bits(written[name][rows:], start[name][rows:])
        delta = (near[name] - start[name][:rows]) * 0.5
        assert same_bits(written[name][:rows], start[name][:rows] + delta)
    live = MergedModel.load(plan, settings=ModelSettings(dtype="bfloat16"))
    for name, tensor in live.module.state_dict().items():
        assert same_bits(tensor, written[name]), name


def test_adapters_of_the_base_are_merged_as_the_models_they_make(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs the extra merge")
    import torch
    from transformers import AutoModelForCausalLM

    base, other = siblings(tmp_path / "models", 2)
    adapter = tmp_path / "adapter"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's, about transformers
        net = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
        settings = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"])
        tuned = peft.get_peft_model(net, settings)
        for name, tensor in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(tensor, std=0.05)
        tuned.save_pretrained(adapter)
    whole = tmp_path / "whole"
    apply_adapter(Checkpoint.open(base), adapter, whole)
    recipe = recipe_of(base, [other], [0.7])
    adapted = {"model": f"{base}+{adapter}", "parameters": {"weight": 0.4}}
    read = parse_recipe(to_yaml(recipe | {"models": [adapted, *recipe["models"]]}))
    folders = {ref: Path(ref.path) for ref in read.inputs}
    with_adapter = next(ref for ref in read.inputs if ref.lora)
    merge(MergeJob(read, folders, {with_adapter: adapter}), tmp_path / "ours")
    ours = state(tmp_path / "ours")
    start, near = state(base), state(other)
    changed = Checkpoint.open(whole)
    for name, tensor in ours.items():
        values = changed.values(name)
        made = to_tensor(values._replace(data=values.data.copy()), tuple(tensor.shape))
        weights = torch.tensor([0.4, 0.7], dtype=torch.bfloat16)
        first = (made - start[name]) * weights[0]
        second = (near[name] - start[name]) * weights[1]
        total = (first.float() + second.float()).bfloat16()
        assert same_bits(tensor, start[name] + total), name


def test_slices_with_bases_of_their_own_give_mergekit_s_bits(
    family: list[Path], tmp_path: Path
) -> None:
    names = [str(folder) for folder in family[:3]]
    slices = [
        {
            "sources": [{"model": name, "layer_range": [layer, layer + 1]} for name in names],
            "base_model": names[layer],
            "parameters": {"weight": 0.3},
        }
        for layer in range(2)
    ]
    recipe = {"slices": slices, "merge_method": "task_arithmetic", "base_model": names[0]}
    compare(recipe, tmp_path)


def test_a_base_among_the_models_needs_no_weight(family: list[Path], tmp_path: Path) -> None:
    base, first, _, _ = family
    recipe = recipe_of(base, [first], [0.4])
    listed = recipe | {"models": [{"model": str(base)}, *recipe["models"]]}
    ours, theirs = compare(listed, tmp_path), merged(recipe, tmp_path / "plain")
    assert all(same_bits(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("weights", "parameters"), [([0, 0.0], {}), ([0.4, 0.7], {"lambda": 0}), ([], {})]
)
def test_no_difference_gives_the_base_byte_for_byte(
    weights: list[float], parameters: dict[str, Any], place: Path, tmp_path: Path
) -> None:
    """Also where a zero is negative, which adding 0 would change."""
    from safetensors.torch import save_file

    base, *others = siblings(place / f"zero-{len(weights)}-{len(parameters)}", 3)
    tensors = state(base)
    tensors["lm_head.weight"][0, :4] = -0.0
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    recipe = recipe_of(base, others[: len(weights)], weights, parameters)
    if not weights:
        recipe["models"] = [{"model": str(base)}]
    ours = merged(recipe, tmp_path / "out")
    assert all(same_bits(ours[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("bad", ["nan", "inf"])
@pytest.mark.parametrize("which", [0, 1])
def test_broken_models_are_refused_and_leave_nothing(
    bad: str, which: int, place: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    folders = siblings(place / f"broken-{bad}-{which}", 2)
    tensors = state(folders[which])
    tensors["model.norm.weight"][3] = float(bad)
    save_file(tensors, folders[which] / "model.safetensors", {"format": "pt"})
    with pytest.raises(MergeError, match=r"model\.norm\.weight` holds NaN or infinity"):
        merged(recipe_of(folders[0], [folders[1]], [0.5]), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_differences_that_exceed_the_dtype_are_refused(place: Path, tmp_path: Path) -> None:
    folders = siblings(place / "range", 2, dtype="float16")
    with pytest.raises(MergeError, match="exceeds what F16 can hold"):
        merged(recipe_of(folders[0], [folders[1]], [6e4], {"lambda": 6e4}), tmp_path / "out")


@pytest.mark.parametrize("held", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("tied", [False, True])
def test_any_type_in_memory_holds_what_is_written(
    tmp_path: Path, held: Any, dtype: str, *, tied: bool
) -> None:
    """By one λ for all models, by a weight each, and by the plan of a recipe."""
    import torch

    folders = siblings(tmp_path, 3, dtype=dtype, tied=tied)
    settings = ((0.4, 0.4, 1), (0.9, -0.2, 1), (0.4, 0.7, 0.5), (0, 0, 1))
    recipes = [
        recipe_of(folders[1], [folders[0], folders[2]], [first, second], {"lambda": scale})
        for first, second, scale in settings
    ]
    read = parse_recipe(to_yaml(recipes[2]))
    plan = plan_merge(read, [Checkpoint.open(ref.path) for ref in read.inputs], live=True)
    live = MergedModel.load(plan, settings=ModelSettings(dtype=held))
    points = (0.4, (0.9, -0.2), None, 0.0)
    for number, (point, recipe) in enumerate(zip(points, recipes, strict=True)):
        if point is None:
            live.apply_plan()
        else:
            live.remix(point, method="task_arithmetic")
        written = merged(recipe, tmp_path / f"out-{number}")
        for name, tensor in live.module.state_dict().items():
            if name in written:
                assert same_bits(tensor, written[name].to(getattr(torch, held))), name


def test_many_points_from_one_read(family: list[Path], tmp_path: Path) -> None:
    base, first, second, _ = family
    recipe = recipe_of(base, [first, second], [0.5, 0.5])
    read = parse_recipe(to_yaml(recipe))
    live = MergedModel.from_recipe(read, ModelSettings(dtype="bfloat16"))
    weights = [(0.0, 0.0), (0.4, 0.4), (1.0, 0.3)]
    written = [
        merged(recipe_of(base, [first, second], list(pair)), tmp_path / f"{number}")
        for number, pair in enumerate(weights)
    ]
    for name, tensors in live.tensors_at([0.0, 0.4, (1.0, 0.3)], method="task_arithmetic"):
        for tensor, other in zip(tensors, written, strict=True):
            assert same_bits(tensor, other[name]), name


def test_the_digest_follows_base_weights_and_scale(family: list[Path]) -> None:
    base, first, second, _ = family
    read = parse_recipe(to_yaml(recipe_of(base, [first, second], [0.5, 0.5])))
    live = MergedModel.from_recipe(read, ModelSettings(dtype="bfloat16"))
    points = [
        TensorWeights("task_arithmetic", (0.5, 0.2, 1.0), False, DeltaOptions(2, 1.0)),
        TensorWeights("task_arithmetic", (0.5, 0.2, 1.0), False, DeltaOptions(2, 0.5)),
        TensorWeights("task_arithmetic", (0.5, 0.2, 1.0), True, DeltaOptions(2, 1.0)),
        TensorWeights("task_arithmetic", (0.5, 1.0, 0.2), False, DeltaOptions(1, 1.0)),
    ]
    assert len({live.remix(point).digest for point in points}) == len(points)


def test_the_path_of_a_gpu_gives_the_same_bits(tmp_path: Path) -> None:
    """Run on the computer's own memory: the same operations of torch."""
    folders = siblings(tmp_path, 3)
    read = parse_recipe(to_yaml(recipe_of(folders[0], folders[1:], [0.5, 0.2])))
    live = MergedModel.from_recipe(read, ModelSettings(dtype="float32"))
    other = MergedModel.from_recipe(read, ModelSettings(dtype="float32")).remix(0.0)
    plan = live.plan
    shapes = {task.name: task.shape for task in plan.tensors}
    tensors = find_live_parameters(other.module, shapes).places
    device = DeviceWeights(tensors, list(open_live_tensors(plan)))
    for divided in (False, True):
        options = DeltaOptions(plan.base, 0.7)
        mix = TensorWeights("task_arithmetic", (0.5, 0.2, 1.0), divided, options)
        live.remix(mix)
        device.write({name: compute_sum(mix, _no_moments()) for name in tensors})
        for name, tensor in live.module.state_dict().items():
            assert same_bits(tensor, other.module.state_dict()[name]), name


def _no_moments() -> Any:
    from merger.kernels.pair_moments import PairMoments

    return PairMoments({})


def test_points_of_a_base_and_others() -> None:
    for point, base, weights in (
        (0.4, 0, (1.0, 0.4, 0.4)),
        ((0.4, -2), 1, (0.4, 1.0, -2.0)),
        (TensorWeights("task_arithmetic", (0.4, 0.3, 7)), 2, (0.4, 0.3, 1.0)),
    ):
        assert resolve_point(point, "task_arithmetic", 3, base) == TensorWeights(
            "task_arithmetic", weights, False, DeltaOptions(base)
        )
    assert resolve_point((0, 0), "task_arithmetic", 3, 1) == TensorWeights("copy", (0.0, 1.0, 0.0))
    with pytest.raises(MergeError, match="a base and 2 other models need 2 weights, not 1"):
        resolve_point((0.4,), "task_arithmetic", 3)
    with pytest.raises(MergeError, match="finite weight"):
        resolve_point(float("nan"), "task_arithmetic", 3)


def test_recipes_without_a_base_are_refused(family: list[Path]) -> None:
    base, first, _, _ = family
    recipe = recipe_of(base, [first], [0.4])
    recipe.pop("base_model")
    with pytest.raises(InputError, match="task_arithmetic needs a `base_model`") as caught:
        parse_recipe(to_yaml(recipe))
    assert caught.value.hint is not None
    assert "trained from" in caught.value.hint
    sources = [{"model": str(first), "layer_range": [0, 2], "parameters": {"weight": 1}}]
    recipe = recipe_of(base, [], [], slices=[{"sources": sources}])
    recipe.pop("models")
    with pytest.raises(InputError, match="is not in every slice"):
        parse_recipe(to_yaml(recipe))
