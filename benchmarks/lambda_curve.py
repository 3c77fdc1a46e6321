"""Perplexity of a live merge on maths and case reports along λ, for SLERP and linear.

    python benchmarks/lambda_curve.py --pair math medical --into /work/keep/curve

The siblings are those of siblings.py. One model stays in memory, `MergedModel.remix` swaps its
weights; swap times are told too. Writes curve.json and curve.svg (needs matplotlib).
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sibling_texts import SHARED, SUBJECTS
from siblings import INTO, Plan, judged_on, perplexity

from merger.checkpoints.checkpoint import Checkpoint
from merger.live.merged_model import MergedModel
from merger.planning.recipe_resolver import plan_merge
from merger.recipes.reader import parse_recipe
from patientdx.models.settings import DType, ModelSettings
from patientdx.storage.atomic import atomic_writer

METHODS = ("slerp", "linear")
TITLES = {"math": "GSM8K, held out", "medical": "E3C reports, held out"}
RECIPE = """\
models: [{{model: {0}}}, {{model: {1}}}]
merge_method: slerp
base_model: {0}
parameters: {{t: 0.5}}
dtype: bfloat16
"""


def live(pair: list[Path], dtype: DType, threads: int) -> MergedModel:
    """A pair in memory."""
    recipe = parse_recipe(RECIPE.format(*pair))
    plan = plan_merge(recipe, [Checkpoint.open(folder) for folder in pair])
    return MergedModel.load(plan, settings=ModelSettings(dtype=dtype, threads=threads))


def curve(merged: MergedModel, held_out: dict[str, list[str]], steps: int) -> list[dict[str, Any]]:
    """Perplexities at every λ by both methods; at its ends they are one model."""
    rows: list[dict[str, Any]] = []
    for number in range(steps + 1):
        t = number / steps
        for method in METHODS if 0 < t < 1 else METHODS[:1]:
            began = time.perf_counter()
            merged.remix(t, method=method)
            swap = time.perf_counter() - began
            perplexities = {kind: perplexity(merged, some) for kind, some in held_out.items()}
            rows.append(
                {"t": t, "method": method, "swap_seconds": swap, "perplexity": perplexities}
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def draw(rows: list[dict[str, Any]], pair: list[str], into: Path) -> None:
    """One panel a subject, one line a method."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(SUBJECTS), figsize=(9, 3.6), layout="constrained")
    for panel, kind in zip(panels, SUBJECTS, strict=True):
        for method, style in zip(METHODS, ("o-", "s--"), strict=True):
            drawn = [row for row in rows if row["method"] == method or row["t"] in {0, 1}]
            values = [row["perplexity"][kind] for row in drawn]
            panel.plot([row["t"] for row in drawn], values, style, label=method, markersize=4)
        panel.set(title=TITLES[kind], xlabel=f"λ   (0: {pair[0]}, 1: {pair[1]})")
        panel.set_ylabel("perplexity a token")
        panel.grid(alpha=0.3)
    panels[0].legend()
    for suffix in ("svg", "png"):
        figure.savefig(into / f"curve.{suffix}", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--siblings", type=Path, default=INTO)
    parser.add_argument("--pair", nargs=2, default=list(SUBJECTS), help="λ = 0, then λ = 1")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--steps", type=int, default=10, help="λ = 0, 1/STEPS … 1")
    parser.add_argument("--texts", type=int, default=50, help="held-out texts a subject")
    parser.add_argument("--tokens", type=int, default=256, help="of a text, at most")
    parser.add_argument("--dtype", default="bfloat16", help="of the live model")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    merged = live([args.siblings / name for name in args.pair], args.dtype, args.threads)
    plan = Plan(args.siblings, data=args.data, texts=args.texts, tokens=args.tokens)
    held_out = judged_on(plan, merged.tokenizer)
    rows = curve(merged, held_out, args.steps)
    args.into.mkdir(parents=True, exist_ok=True)
    about = {
        "command": shlex.join(["python", *sys.argv]),
        "pair": args.pair,
        "dtype": args.dtype,
        "texts": {kind: len(some) for kind, some in held_out.items()},
        "tokens_a_text": args.tokens,
        "share_off_fallback": merged.share_off_fallback,
    }
    with atomic_writer(args.into / "curve.json") as stream:
        json.dump({**about, "rows": rows}, stream, indent=1)
    draw(rows, args.pair, args.into)


if __name__ == "__main__":
    main()
