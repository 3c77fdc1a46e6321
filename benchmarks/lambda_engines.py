"""Siblings merged on disk along λ, by all methods and both engines, and compared.

    python benchmarks/lambda_engines.py --pair math medical --scratch /tmp/merges --json out.json

By task_arithmetic, λ of the difference of each sibling from `--base` is added to it. Every tensor
of the streaming engine's output must lie within one bf16 ulp of MergeKit's, the ends of the other
methods must be the inputs bit by bit, and every output must load in transformers and write a few
words. Also compared: the live merge of the same λ, bit by bit.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lambda_curve import METHODS, live
from siblings import INTO

from merger.checkpoints.checkpoint import Checkpoint
from merger.execution import merge
from merger.live.merged_model import MergedModel
from merger.planning.job import MergeJob
from merger.planning.recipe_resolver import plan_merge
from merger.recipes.reader import parse_recipe
from merger.recipes.recipe import MergeRecipe
from patientdx.models.settings import ModelSettings
from patientdx.models.torch.model import HfModel
from patientdx.protocols import GenerationSettings

ENGINES = ("stream", "mergekit")
ON_BASE = "task_arithmetic"
RECIPES = {
    "slerp": "models: [{{model: {0}}}, {{model: {1}}}]\nmerge_method: slerp\nbase_model: {0}\n"
    "parameters: {{t: {2}}}\ndtype: bfloat16\n",
    "linear": "models:\n  - {{model: {0}, parameters: {{weight: {3}}}}}\n"
    "  - {{model: {1}, parameters: {{weight: {2}}}}}\nmerge_method: linear\ndtype: bfloat16\n",
    ON_BASE: "models:\n  - {{model: {0}, parameters: {{weight: {2}}}}}\n"
    "  - {{model: {1}, parameters: {{weight: {2}}}}}\nmerge_method: task_arithmetic\n"
    "base_model: {4}\ndtype: bfloat16\n",
}


class Siblings(NamedTuple):
    """A pair of siblings, and what they were trained from."""

    first: Path
    second: Path
    base: Path

    def recipe(self, method: str, t: float) -> MergeRecipe:
        text = RECIPES[method].format(self.first, self.second, t, round(1 - t, 10), self.base)
        return parse_recipe(text)


def written(siblings: Siblings, method: str, t: float, engine: Any, into: Path) -> float:
    """Merges on disk; seconds."""
    shutil.rmtree(into, ignore_errors=True)
    recipe = siblings.recipe(method, t)
    folders = {ref: Path(ref.path) for ref in recipe.inputs}
    began = time.perf_counter()
    merge(MergeJob(recipe, folders, engine=engine), into)
    return time.perf_counter() - began


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    by_name: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        by_name |= load_file(file)
    return by_name


def apart(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """How far two merges in bf16 lie apart, in representable numbers, and how often."""
    if ours.keys() != theirs.keys():
        sys.exit(f"tensors differ: {sorted(ours.keys() ^ theirs.keys())}")
    most, unequal, beyond, count = 0, 0, 0, 0
    for name, tensor in ours.items():
        steps = (_ordered(tensor) - _ordered(theirs[name])).abs()
        most = max(most, int(steps.max()))
        unequal += int((steps > 0).sum())
        beyond += int((steps > 1).sum())
        count += steps.numel()
    return {"most_ulps": most, "share_equal": 1 - unequal / count, "beyond_one": beyond}


def _ordered(tensor: Any) -> Any:
    import torch

    bits = tensor.view(torch.int16).int()
    return bits.where(bits >= 0, -bits - (1 << 15))


def said(folder: Path) -> str:
    """What a merge writes after a question, by transformers."""
    model = HfModel.load(folder, ModelSettings(dtype="bfloat16"))
    return model.generate(["What is 12 + 30?"], GenerationSettings(max_new_tokens=8))[0].text


def compared(
    siblings: Siblings, method: str, t: float, merged: MergedModel, scratch: Path
) -> dict[str, Any]:
    """One λ by one method."""
    folders = {engine: scratch / engine for engine in ENGINES}
    seconds = {e: round(written(siblings, method, t, e, folders[e]), 2) for e in ENGINES}
    ours, theirs = (tensors(folders[engine]) for engine in ENGINES)
    merged.remix(t, method=method)
    held = merged.module.state_dict()
    row: dict[str, Any] = {"t": t, "method": method, "seconds": seconds, **apart(ours, theirs)}
    row["live_apart"] = apart(ours, {name: held[name] for name in ours})["most_ulps"]
    if t in {0.0, 1.0} and method != ON_BASE:
        row["input_apart"] = {
            engine: apart(merge, tensors(siblings[int(t)]))["most_ulps"]
            for engine, merge in zip(ENGINES, (ours, theirs), strict=True)
        }
    row["said"] = {engine: said(folder) for engine, folder in folders.items()}
    return row


def live_merge(siblings: Siblings, method: str) -> MergedModel:
    """The siblings in memory; by task arithmetic with their base."""
    if method != ON_BASE:
        return live([siblings.first, siblings.second], "bfloat16", 2)
    recipe = siblings.recipe(method, 0.5)
    plan = plan_merge(recipe, [Checkpoint.open(ref.path) for ref in recipe.inputs])
    return MergedModel.load(plan, settings=ModelSettings(dtype="bfloat16", threads=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--siblings", type=Path, default=INTO)
    parser.add_argument("--pair", nargs=2, default=["math", "medical"])
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--base", default="instruct", help="what the pair was trained from")
    methods = (*METHODS, ON_BASE)
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    siblings = Siblings(*(args.siblings / name for name in (*args.pair, args.base)))
    merged = {method: live_merge(siblings, method) for method in args.methods}
    args.scratch.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(args.steps + 1):
        for method in args.methods:
            t = number / args.steps
            rows.append(compared(siblings, method, t, merged[method], args.scratch))
            print(rows[-1], file=sys.stderr, flush=True)
    args.json.write_text(json.dumps({"pair": args.pair, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
