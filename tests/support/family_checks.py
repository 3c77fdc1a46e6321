"""What of merging works for a family of models: on disk, live, with LoRA, with moved layers.

Each check merges two small models of random weights, and compares the outcome with a reference:
MergeKit, PEFT, or the same merge as transformers loads it. A row is broken if a merge was reported
as done and is not what it should be.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from live_merges import same_bits
from small_merges import by_mergekit, tensors
from tiny_families import FAMILIES, save_family_pair

from merger.checkpoints.checkpoint import Checkpoint
from merger.execution import merge
from merger.families.layers import layer_stacks
from merger.live.merged_model import MergedModel
from merger.planning.job import MergeJob, prepare_merge
from merger.recipes.reader import parse_recipe
from merger.recipes.writer import to_yaml, two_model_recipe
from patientdx.errors import PatientDxError
from patientdx.models.settings import ModelSettings

T = 0.4
COLUMNS = ("linear", "slerp", "loads", "live", "LoRA", "moved layers", "linear by MergeKit",
           "slerp by MergeKit")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """What a check found; `broken` if a merge was reported as done and is damaged.

    `reason` is that of a refusal.
    """

    text: str
    broken: bool = False
    reason: str = ""


class FamilyChecks:
    """The checks of one family; its models and merges are made in `folder`."""

    def __init__(self, family: str, folder: Path, **sizes: Any) -> None:
        self.family = family
        self.folder = folder
        self._pair = save_family_pair(folder / "inputs", family, **sizes)

    def row(self) -> dict[str, Cell]:
        """The cells by column."""
        return {column: self.cell(column) for column in COLUMNS}

    def cell(self, column: str) -> Cell:
        """The outcome of one check."""
        checks: dict[str, Callable[[], Cell]] = {
            "linear": lambda: self._merged("linear"),
            "slerp": lambda: self._merged("slerp"),
            "loads": self._loads,
            "live": self._live,
            "LoRA": self._adapted,
            "moved layers": self._stacked,
            "linear by MergeKit": lambda: self._compared("linear"),
            "slerp by MergeKit": lambda: self._compared("slerp"),
        }
        return self._run(checks[column])

    def _run(self, check: Callable[[], Cell]) -> Cell:
        """A cell of a check; any error but a refusal is a traceback to the user."""
        try:
            return check()
        except PatientDxError as error:
            reason = str(error).replace(f"{self.folder}/inputs/", "").splitlines()[0]
            return Cell("refused", reason=reason.removeprefix(f"{self.family}-1: "))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be mended
            return Cell(f"{type(error).__name__}: {error}", broken=True)

    def _merge(self, recipe: Mapping[str, Any], into: str) -> Path:
        """The merge in a folder. Raises PatientDxError."""
        folder = self.folder / into
        if not folder.exists():
            parsed = parse_recipe(to_yaml(recipe))
            folders = {ref: Path(ref.path) for ref in parsed.inputs}
            adapters = {ref: Path(ref.lora) for ref in parsed.inputs if ref.lora}
            merge(MergeJob(parsed, folders, adapters), folder)
        return folder

    def _recipe(self, method: str, *, adapter: str = "", t: float = T) -> dict[str, Any]:
        first, second = map(str, self._pair)
        return two_model_recipe(method, first + adapter, second, t)

    def _merged(self, method: str) -> Cell:
        """Whether the streaming engine merges, and the output has the tensors of the inputs."""
        ours = tensors(self._merge(self._recipe(method), method))
        expected = tensors(self._pair[0])
        shapes = {name: tensor.shape for name, tensor in ours.items()}
        if shapes != {name: tensor.shape for name, tensor in expected.items()}:
            return Cell("other tensors than the inputs'", broken=True)
        return Cell("yes")

    def _loads(self) -> Cell:
        """Whether transformers loads both merges without a missing or unexpected tensor."""
        problems = [
            problem
            for method in ("linear", "slerp")
            for problem in self._loaded(self._merge(self._recipe(method), method)).problems
        ]
        return Cell(problems[0] if problems else "yes", broken=bool(problems))

    def _live(self) -> Cell:
        """Whether the live merge holds what is loaded of the written one, bit by bit."""
        from patientdx.models.torch.loading import load

        job_recipe = parse_recipe(to_yaml(self._recipe("slerp")))
        job = MergeJob(job_recipe, {ref: Path(ref.path) for ref in job_recipe.inputs})
        settings = ModelSettings(dtype="bfloat16")
        with prepare_merge(job, self.folder / "live") as ready:
            if ready.plan is None:
                return Cell("refused", reason="only MergeKit merges it")
            merged = MergedModel.load(ready.plan, settings=settings).remix(T, method="slerp")
        live = merged.module.state_dict()
        expected = load(self._merge(self._recipe("slerp"), "slerp"), settings).model.state_dict()
        equal = live.keys() == expected.keys()
        equal = equal and all(same_bits(tensor, expected[name]) for name, tensor in live.items())
        return Cell("same bits" if equal else "other numbers", broken=not equal)

    def _adapted(self) -> Cell:
        """Whether a LoRA is added as PEFT adds it."""
        adapter, expected = merge_by_peft(self._pair[0], self.family, self.folder)
        recipe = self._recipe("slerp", adapter=f"+{adapter}", t=0)
        before = self._loaded(self._pair[0]).tensors
        after = self._loaded(self._merge(recipe, "adapted"))
        if after.problems or all(same_bits(after.tensors[name], before[name]) for name in before):
            return Cell(", ".join(after.problems) or "nothing is added", broken=True)
        return _differences(after.tensors, expected)

    def _stacked(self) -> Cell:
        """Whether four layers of three, two of each model, are a model of four layers."""
        names = tensors(self._pair[0])
        length = layer_stacks(Checkpoint.open(self._pair[0]).config, names)[0].length
        ranges = ([0, length - 1], [1, length])
        parts = [
            {"sources": [{"model": str(folder), "layer_range": layers}]}
            for folder, layers in zip(self._pair, ranges, strict=True)
        ]
        recipe = {"slices": parts, "merge_method": "passthrough", "dtype": "bfloat16"}
        made = self._loaded(self._merge(recipe, "stacked"))
        problems = made.problems or self._layer_problems(made.tensors, length)
        return Cell(problems[0] if problems else "yes", broken=bool(problems))

    def _layer_problems(self, made: Mapping[str, Any], length: int) -> list[str]:
        """The layers of a loaded model that are not those of the inputs, and their number."""
        inputs = [self._loaded(folder).tensors for folder in self._pair]
        config = Checkpoint.open(self._pair[0]).config
        prefix = layer_stacks(config, inputs[0])[0].prefix
        half = range(length - 1)
        sources = [*((0, layer) for layer in half), *((1, layer + 1) for layer in half)]
        problems = [
            f"layer {number} is not layer {layer} of model {model + 1}"
            for number, (model, layer) in enumerate(sources)
            for name, tensor in _of_layer(inputs[model], prefix, layer).items()
            if not same_bits(_of_layer(made, prefix, number).get(name), tensor)
        ]
        if _of_layer(made, prefix, len(sources)):
            problems.append("more layers than in the recipe")
        return problems

    def _compared(self, method: str) -> Cell:
        """How many numbers of the loaded models differ from MergeKit's merge."""
        ours = self._loaded(self._merge(self._recipe(method), method))
        recipe = self._recipe(method) | {"dtype": "bfloat16"}
        try:
            into = self.folder / f"mergekit-{method}"
            theirs = self._loaded(into if into.exists() else by_mergekit(recipe, into))
        except Exception as error:  # noqa: BLE001 - MergeKit raises whatever happens in it
            return Cell(f"MergeKit fails ({type(error).__name__})")
        if ours.problems:
            return Cell(", ".join(ours.problems), broken=True)
        if theirs.problems:
            return Cell(f"MergeKit's does not load: {', '.join(theirs.problems)}")
        cell = _differences(ours.tensors, theirs.tensors, exact=method == "linear")
        if cell.broken and method == "slerp" and self._merges_experts_whole():
            return Cell("MergeKit merges all experts as one tensor")
        return cell

    def _merges_experts_whole(self) -> bool:
        """Whether MergeKit's SLERP has one angle for the experts of a layer, and ours one each."""
        theirs = tensors(self.folder / "mergekit-slerp")
        ours = tensors(self.folder / "slerp")
        return any("experts" in name for name in ours.keys() - theirs.keys())

    def _loaded(self, folder: Path) -> "Loaded":
        return load_by_transformers(folder, self.family)

    @cached_property
    def parameters(self) -> int:
        """The number of parameters of an input."""
        return sum(tensor.numel() for tensor in tensors(self._pair[0]).values())


class Loaded(NamedTuple):
    """The tensors of a folder as transformers loads them, and what it reports of them."""

    tensors: Mapping[str, Any]
    problems: list[str]


def load_by_transformers(folder: Path, family: str) -> Loaded:
    """A folder loaded by the class of its family; missing and unexpected tensors are problems."""
    import transformers

    model_class = getattr(transformers, FAMILIES[family].model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model, report = model_class.from_pretrained(
                folder, dtype="auto", output_loading_info=True
            )
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            return Loaded({}, [f"does not load ({type(error).__name__})"])
    return Loaded(
        model.state_dict(),
        [
            f"{len(keys)} {kind.removesuffix('_keys')}"
            for kind, keys in report.items()
            if keys and kind.endswith("_keys")
        ],
    )


def merge_by_peft(base: Path, family: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """An adapter of random numbers, and the tensors of the model that PEFT has merged it into."""
    import peft
    import torch
    import transformers

    model_class = getattr(transformers, FAMILIES[family].model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = peft.LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=list(FAMILIES[family].adapted),
            fan_in_fan_out="c_attn" in FAMILIES[family].adapted,
        )
        adapted = peft.get_peft_model(model_class.from_pretrained(base, dtype="auto"), settings)
        torch.manual_seed(5)
        with torch.no_grad():
            for name, tensor in adapted.named_parameters():
                if "lora_" in name:
                    tensor.copy_(torch.randn_like(tensor) * 0.05)
        adapted.save_pretrained(folder / "adapter")
    return folder / "adapter", adapted.merge_and_unload().state_dict()


def _of_layer(state: Mapping[str, Any], prefix: str, layer: int) -> dict[str, Any]:
    start = f"{prefix}.{layer}."
    return {name.removeprefix(start): state[name] for name in state if name.startswith(start)}


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, exact: bool = True) -> Cell:
    """How many numbers of two merges differ; broken if they should not, or by more than a step."""
    import torch

    count = total = 0
    for name, tensor in ours.items():
        if name not in theirs:
            return Cell(f"{name} is missing", broken=True)
        if tensor.shape != theirs[name].shape or tensor.dtype != theirs[name].dtype:
            return Cell(f"{name} has another shape or type", broken=True)
        different = tensor != theirs[name]
        count, total = count + int(different.sum()), total + tensor.numel()
        if not torch.allclose(tensor.float(), theirs[name].float(), rtol=2**-7, atol=1e-6):
            return Cell(f"{name} has other numbers", broken=True)
    if not count:
        return Cell("same bits")
    return Cell(f"{100 * count / total:.2g} % differ", broken=exact)
