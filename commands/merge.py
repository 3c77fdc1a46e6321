"""`merge`: two or more models into one, by a recipe, a preset or on the command line."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patientdx.errors import MergeError, UsageError

from . import options, output
from .merge_inputs import Asked, Engine, Places, asked_recipe, job_of

if TYPE_CHECKING:
    from merger.planning.job import Job, Ready

Into = Annotated[Path | None, typer.Option("--into", help="Make this folder: the merged model.")]
Given = Annotated[
    list[str] | None,
    typer.Argument(
        help="A recipe (MergeKit YAML); or models: folders, names of the model cache or of a hub, "
        "also base+adapter for a LoRA.",
        show_default=False,
    ),
]
Method = Annotated[
    str | None, typer.Option("--method", help="Merge two models by slerp or linear.")
]
Weight = Annotated[
    float | None,
    typer.Option("--weight", help="MergeKit's t: 0 is the first model (the base), 1 the second."),
]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="A recipe that ships, Math first; see --presets.")
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="Of --method: bfloat16, float16 or float32.")
]
EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine", help="stream (ours; what only MergeKit can do goes to it) or mergekit."
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Compare the inputs tensor by tensor, merge nothing.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell whether the merge is possible, merge nothing.")
]
Verify = Annotated[
    Path | None, typer.Option("--verify", help="Make this merge again and compare every byte.")
]
ShowRecipe = Annotated[bool, typer.Option("--show-recipe", help="Print the recipe, merge nothing.")]
ListPresets = Annotated[bool, typer.Option("--presets", help="List the recipes that ship.")]
AllowUnsound = Annotated[
    bool,
    typer.Option("--allow-unsound", help="Merge although rope_theta or activations differ."),
]
ShardSize = Annotated[
    float, typer.Option("--shard-size", min=0.001, help="Gigabytes of a file of weights.")
]
AllowFetch = Annotated[
    bool, typer.Option("--allow-fetch", help="Allow this command to ask a hub for models.")
]
Hub = Annotated[str | None, typer.Option("--hub", help="Address of the hub.")]


def merge(
    given: Given = None,
    into: Into = None,
    method: Method = None,
    weight: Weight = None,
    preset: PresetName = None,
    dtype: Dtype = None,
    engine: EngineName = "stream",
    check: Check = False,
    dry_run: DryRun = False,
    verify: Verify = None,
    show_recipe: ShowRecipe = False,
    list_presets: ListPresets = False,
    allow_unsound: AllowUnsound = False,
    shard_size: ShardSize = 5.0,
    allow_fetch: AllowFetch = False,
    hub: Hub = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Merge language models into a new folder; no patient's data takes part.

    The paper's authors published a merge of this kind on the hub: Jgmorenof/mistral_merged_0_4.

    Example:
        patientdx merge --method slerp --weight 0.4 math-model medical-model --into merged
    """
    if list_presets:
        _list_presets(as_json=as_json)
        return
    if verify is not None:
        _verify(verify, given or [], as_json=as_json, quiet=quiet)
        return
    recipe, command = asked_recipe(Asked(given or [], method, weight, preset, dtype))
    if show_recipe:
        output.data(recipe.text.rstrip())
        return
    places = Places(allow_fetch, hub, quiet)
    job = job_of(recipe, places, engine, int(shard_size * 1e9), unsound=allow_unsound)
    if check or dry_run:
        _check(job, into, as_json=as_json, quiet=quiet, cosines=check)
        return
    if into is None:
        raise UsageError("no folder named to merge into", hint="give --into FOLDER")
    _merge(job, into, command, as_json=as_json, quiet=quiet)


def _merge(job: "Job", into: Path, command: str, *, as_json: bool, quiet: bool) -> None:
    from dataclasses import replace

    from merger.merging import merge as merge_models

    words = [command, "--into", shlex.quote(str(into))]
    words += ["--engine", job.engine] if job.engine != "stream" else []
    words += ["--allow-unsound"] if job.unsound else []
    job = replace(job, command=" ".join(words))
    with output.progress("merging (MB)", quiet=quiet) as tick:
        done = merge_models(job, into, progress=lambda here, _: tick(here // 1_000_000))
    for remark in done.remarks:
        output.say(f"note: {remark}", quiet=quiet)
    cosines = done.cosines
    if as_json:
        facts = {**asdict(done), "folder": str(into)}
        output.json_data(facts | {"cosines": cosines.plain() if cosines else None})
        return
    output.data(str(into))
    if cosines:
        output.say(str(cosines), quiet=quiet)
    output.say(f"{done.nbytes / 1e9:.2f} GB by {done.engine}; {output.RESEARCH}", quiet=quiet)
    output.hint(f"patientdx merge --verify {shlex.quote(str(into))}", quiet=quiet)


def _check(job: "Job", into: Path | None, *, as_json: bool, quiet: bool, cosines: bool) -> None:
    """The report of `--check`, or without `cosines` what can be told without reading weights."""
    import tempfile

    from merger.planning.guards import check_place
    from merger.planning.job import opened

    if into is not None:
        check_place(into)
    with tempfile.TemporaryDirectory() as near, opened(job, Path(near) / "check") as ready:
        if into is not None:
            check_place(into, ready.nbytes)
        facts: dict[str, Any] = {
            "engine": ready.engine,
            "inputs": [str(ref) for ref in job.recipe.inputs],
            "bytes": ready.nbytes,
            "remarks": list(ready.remarks),
        }
        if cosines:
            facts |= _cosines(job, ready, quiet=quiet)
    if as_json:
        output.json_data(facts)
        return
    for remark in ready.remarks:
        output.say(f"note: {remark}", quiet=quiet)
    for row in facts.get("tensors", ()):
        told = "-" if row["cosine"] is None else f"{row['cosine']:.6f}"
        output.data(f"{told:>9}  {'linear' if row['fallback'] else '      '}  {row['name']}")
    if facts.get("said"):
        output.data(facts["said"])
    output.data(f"these models can be merged: {ready.nbytes / 1e9:.2f} GB by {ready.engine}")


def _cosines(job: "Job", ready: "Ready", *, quiet: bool) -> dict[str, Any]:
    from merger.similarity import summary, tensor_reports

    if ready.plan is None:
        raise UsageError(
            "--check compares the tensors of linear and slerp merges only",
            hint="--dry-run tells whether this merge is possible",
        )
    with output.progress("comparing", len(ready.plan.tensors), quiet=quiet) as tick:
        rows = list(tensor_reports(ready.plan, threads=job.threads, on_tensor=tick))
    broken = [row.name for row in rows if not row.finite]
    if broken:
        raise MergeError(
            f"{len(broken):,} tensors have NaN or infinite numbers, the first is {broken[0]}",
            hint="one of the models is broken: fetch it again",
        )
    found = summary({row.name: row.cosine for row in rows if row.cosine is not None}, ready.plan)
    return {
        "tensors": [asdict(row) for row in rows],
        "said": str(found) if found else "",
        "summary": found.plain() if found else None,
    }


def _verify(folder: Path, given: Sequence[str], *, as_json: bool, quiet: bool) -> None:
    from merger.metadata.provenance import read_provenance
    from merger.verify import verify

    settings = options.settings()
    names = [one.name for one in read_provenance(folder).inputs]
    if given and len(given) != len(names):
        raise UsageError(
            f"the merge is of {len(names)} models, and {len(given)} are named",
            hint=f"in this order: {', then '.join(names)}",
        )
    places = dict(zip(names, map(Path, given), strict=False))
    with output.progress("merging again (MB)", quiet=quiet) as tick:
        found = verify(
            folder,
            places=places,
            threads=settings.threads,
            cache=settings.cache,
            progress=lambda here, _: tick(here // 1_000_000),
        )
    if as_json:
        output.json_data({"same": list(found.same), "different": list(found.different)})
    else:
        for name in found.different:
            output.data(f"{folder / name}: not as it was merged")
    if found.different:
        raise MergeError(
            f"{folder}: {len(found.different)} files are not what the recipe gives",
            hint=f"merge again: {found.provenance.command}",
        )
    output.say(f"{folder}: {len(found.same)} files, every byte as merged", quiet=quiet)


def _list_presets(*, as_json: bool) -> None:
    from merger.recipes.presets import PUBLISHED, presets

    found = presets()
    if as_json:
        output.json_data([{"name": one.name, "about": one.about} for one in found])
        return
    for one in found:
        output.data(f"{one.name:<30} {one.about}")
    output.say(
        f"The ids of the models are inferred from the paper. Its authors published {PUBLISHED}: "
        f"patientdx model get {PUBLISHED} --allow-fetch"
    )
