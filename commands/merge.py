"""`merge`: two or more models into one, by a recipe, a preset or on the command line."""

import math
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from console.option_groups import Excludes, Mode, Needs, command, is_set
from console.output import RESEARCH, Output
from patientdx.errors import MergeError, UsageError
from patientdx.wording import count_noun

from . import options
from .merge_arguments import check_arguments

if TYPE_CHECKING:
    from merger.execution import MergeResult
    from workflows.merge_recipes import MergeSource, TaskArithmeticMerge
    from workflows.merges import MergeCheck

Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="A recipe (MergeKit YAML); or models: folders, names of the model cache or of a hub, "
        "also base+adapter for a LoRA.",
        show_default=False,
    ),
]
Into = Annotated[
    Path | None, typer.Option("--into", help="Folder to make, which will hold the merged model.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Compare the inputs tensor by tensor, merge nothing.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show whether the merge is possible, merge nothing.")
]
Verify = Annotated[
    Path | None, typer.Option("--verify", help="Make this merge again and compare every byte.")
]
ShowRecipe = Annotated[bool, typer.Option("--show-recipe", help="Print the recipe, merge nothing.")]
ListPresets = Annotated[bool, typer.Option("--presets", help="List the recipes that ship.")]


@dataclass(frozen=True)
class RecipeOptions:
    """Which merge is wanted, beside the models."""

    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="Merge two models by slerp or linear, or models on a --base by task_arithmetic.",
        ),
    ] = None
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="The model that the others were trained from, for task_arithmetic.",
        ),
    ] = None
    weight: Annotated[
        float | None,
        typer.Option(
            "--weight",
            help="MergeKit's t: 0 is the first model (the base), 1 the second. With --base, the "
            "factor of every difference from it.",
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Name of a recipe that ships, Math first; see --presets."),
    ] = None
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            help="Number type of a merge by --method: bfloat16, float16 or float32.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            max=2**32 - 1,
            help="Seed of a method that draws at random, such as dare_ties or della; 0 unless the "
            "recipe has a `random_seed`.",
        ),
    ] = None

    def source(self, models: list[str], into: Path | None) -> "MergeSource":
        """The merge that the options name. Raises UsageError where they name none."""
        from workflows.merge_recipes import PresetMerge

        check_arguments(models, into, self.method, self.preset, has_base=self.base is not None)
        if self.method:
            return self._named_models(models, self.method)
        if self.preset:
            return PresetMerge(self.preset, tuple(models))
        return Path(models[0])

    def _named_models(self, models: list[str], method: str) -> "MergeSource":
        from merger.methods.registry import sums_deltas
        from workflows.merge_recipes import TwoModelMerge

        if self.base is not None:
            return self._models_on_base(models, method, self.base)
        if sums_deltas(method):
            raise UsageError(
                f"{method} needs a --base, the model that the others were trained from",
                hint=f"patientdx merge --method {method} --base B --weight 0.4 A C",
            )
        if len(models) != 2:
            raise UsageError(
                f"--method merges two models, and {len(models)} are named",
                hint="name two; for more, write a recipe",
            )
        if self.weight is None:
            raise UsageError(
                "no --weight named", hint="0 is the first model, 1 the second: --weight 0.4"
            )
        return TwoModelMerge(models[0], models[1], self.weight, method, self.dtype)

    def _models_on_base(self, models: list[str], method: str, base: str) -> "TaskArithmeticMerge":
        from workflows.merge_recipes import TaskArithmeticMerge

        if not models:
            raise UsageError("no model named but the base", hint="name one or more: A C")
        if self.weight is None:
            raise UsageError("no --weight named", hint="0 is the base: --weight 0.4")
        return TaskArithmeticMerge(base, models, self.weight, method, self.dtype)


@dataclass(frozen=True)
class EngineOptions:
    """How models are found and merged."""

    engine: Annotated[
        Literal["stream", "mergekit"],
        typer.Option(
            "--engine",
            help="Engine that merges: stream (ours; what only MergeKit can do goes to it) or "
            "mergekit.",
        ),
    ] = "stream"
    allow_unsound: Annotated[
        bool,
        typer.Option(
            "--allow-unsound",
            help="Merge although settings differ that change what weights mean: rotary, "
            "attention, activations, scales.",
        ),
    ] = False
    allow_fetch: Annotated[
        bool, typer.Option("--allow-fetch", help="Allow this command to ask a hub for models.")
    ] = False
    hub: Annotated[str | None, typer.Option("--hub", help="Address of the hub.")] = None
    gguf: Annotated[
        Literal["Q8_0", "Q4_K_M", "F16"] | None,
        typer.Option(
            "--gguf",
            help="Also write the merge as one file for llama.cpp, of this type: F16, Q8_0 (half "
            "the size) or Q4_K_M (a quarter).",
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the workflows."""
        settings = options.settings()
        return {
            "engine": self.engine,
            "allow_unsound": self.allow_unsound,
            "gguf": self.gguf,
            "settings": replace(
                settings,
                allow_fetch=self.allow_fetch or settings.allow_fetch,
                hub=self.hub or settings.hub,
            ),
        }


ShardSize = Annotated[
    float,
    typer.Option("--shard-size", min=0.001, max=1e6, help="Gigabytes of each file of weights."),
]
LoadCheck = Annotated[
    bool,
    typer.Option(
        "--load-check/--no-load-check",
        help="Have transformers load the merge before it appears, where it is installed.",
    ),
]
_RECIPE = frozenset({"models", "method", "base", "weight", "preset", "dtype", "seed", "quiet"})
_CHECK = _RECIPE | {"into", "engine", "allow_unsound", "allow_fetch", "hub", "gguf", "as_json"}


def _may_fetch(values: Any) -> bool:
    return bool(values["allow_fetch"]) or options.settings().allow_fetch


@command(
    Excludes(("method", "preset")),
    Excludes(("list_presets", "verify", "show_recipe", "check", "dry_run")),
    Mode("list_presets", frozenset({"as_json", "quiet"})),
    Mode("verify", frozenset({"models", "load_check", "as_json", "quiet"})),
    Mode("show_recipe", _RECIPE),
    Mode("check", _CHECK),
    Mode("dry_run", _CHECK),
    Needs(("base",), is_set("method"), "--base goes with --method task_arithmetic"),
    Needs(("dtype",), is_set("method"), "--dtype goes with --method; a recipe has its own `dtype`"),
    Needs(("hub",), _may_fetch, "--hub goes with --allow-fetch"),
)
def merge(
    models: Models = None,
    into: Into = None,
    *,
    recipe: RecipeOptions,
    engine: EngineOptions,
    check: Check = False,
    dry_run: DryRun = False,
    verify: Verify = None,
    show_recipe: ShowRecipe = False,
    list_presets: ListPresets = False,
    shard_size: ShardSize = 5.0,
    load_check: LoadCheck = True,
    output: Output,
) -> None:
    """Merge language models into a new folder; no patient's data takes part.

    The paper's authors published a merge of this kind on the hub: Jgmorenof/mistral_merged_0_4.

    Example:
        patientdx merge --method slerp --weight 0.4 math-model medical-model --into merged
    """
    from workflows.merge_recipes import resolve_merge
    from workflows.merges import check_merge
    from workflows.merges import merge as merge_models

    if list_presets:
        _list_presets(output)
        return
    if verify is not None:
        _verify(verify, models or [], output, load_check=load_check)
        return
    wanted = resolve_merge(recipe.source(models or [], into), recipe.weight, recipe.seed)
    if show_recipe:
        output.lines([wanted.recipe.text.rstrip()])
    elif check or dry_run:
        report = check_merge(wanted, into, compare=check, monitor=output, **engine.arguments())
        _show_check(report, output)
    elif into is None:
        raise UsageError("no folder named to merge into", hint="give --into FOLDER")
    else:
        result = merge_models(
            wanted,
            into,
            shard_size=_shard_bytes(shard_size),
            load_check=load_check,
            monitor=output,
            **engine.arguments(),
        )
        _show_result(result, output)


def _shard_bytes(gigabytes: float) -> int:
    if math.isnan(gigabytes):
        raise UsageError("--shard-size is a number of gigabytes, not nan")
    return int(gigabytes * 1e9)


def _show_result(result: "MergeResult", output: Output) -> None:
    cosines, folder = result.cosines, str(result.folder)
    if output.as_json:
        facts = {**asdict(result), "folder": folder}
        output.json(facts | {"cosines": cosines.to_dict() if cosines else None})
        return
    output.lines([folder])
    if cosines:
        output.notice(str(cosines))
    if result.gguf:
        output.notice(f"for llama.cpp: {result.folder / result.gguf}")
    if result.load_check:
        output.notice(f"{result.load_check} ({result.load_check.seconds:.1f} s)")
    output.notice(f"{result.nbytes / 1e9:.2f} GB by {result.engine}; {RESEARCH}")
    output.hint(f"patientdx merge --verify {shlex.quote(folder)}")


def _show_check(check: "MergeCheck", output: Output) -> None:
    if output.as_json:
        output.json(check.to_dict())
        return
    for remark in check.remarks:
        output.notice(f"note: {remark}")
    for row in check.tensors or ():
        cosine = "-" if row.cosine is None else f"{row.cosine:.6f}"
        output.lines([f"{cosine:>9}  {'linear' if row.fallback else '      '}  {row.name}"])
    if check.cosines:
        output.lines([str(check.cosines)])
    output.lines([f"these models can be merged: {check.nbytes / 1e9:.2f} GB by {check.engine}"])


def _verify(folder: Path, models: list[str], output: Output, *, load_check: bool) -> None:
    from workflows.merges import verify_merge

    result = verify_merge(
        folder, models=models, load_check=load_check, settings=options.settings(), monitor=output
    )
    if output.as_json:
        facts: dict[str, Any] = {"same": list(result.same), "different": list(result.different)}
        facts |= {"unknown": list(result.unknown)} if result.unknown else {}
        loading = asdict(result.load_check) if result.load_check else None
        output.json(facts | ({"load_check": loading} if loading else {}))
    else:
        output.lines(f"{folder / name}: not as it was merged" for name in result.different)
    if result.different:
        raise MergeError(
            f"{folder}: not what the recipe gives: {count_noun(len(result.different), 'file')}",
            hint=f"merge again: {result.provenance.command}",
        )
    if result.unknown:
        output.warning(
            "this merge's seed is unknown, as it was made before seeds were recorded: "
            f"{count_noun(len(result.unknown), 'file')} of weights could not be compared"
        )
    if result.load_check and result.load_check.loaded:
        output.notice(str(result.load_check))
    output.notice(f"{folder}: {count_noun(len(result.same), 'file')}, every byte as merged")


def _list_presets(output: Output) -> None:
    from merger.recipes.presets import PUBLISHED, list_presets

    shipped = list_presets()
    output.show(
        lambda: [{"name": preset.name, "about": preset.about} for preset in shipped],
        lambda: (f"{preset.name:<30} {preset.about}" for preset in shipped),
        lambda: (preset.name for preset in shipped),
    )
    if not output.as_json:
        output.notice(
            "The ids of the models are inferred from the paper. Its authors published "
            f"{PUBLISHED}: patientdx model get {PUBLISHED} --allow-fetch"
        )
