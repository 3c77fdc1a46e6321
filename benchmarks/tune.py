"""How long a search for λ takes: ours, in one live model, against writing and loading each merge.

    python benchmarks/tune.py --size tiny
    python benchmarks/tune.py --pair math medical --cohort cohort.parquet --stays 100

Both ways merge the same two models at 11 values of λ and ask the same code about the same stays.
Ours (`MergedModel`) changes the weights of one model in memory. The other is the paper's: for each
λ MergeKit writes the merge, transformers loads it, and it is removed again. Each way runs in a
process of its own, in turn; its clock starts after imports and after a first record was asked
about. What MergeKit writes is not synced, and is read from the page cache, as the inputs are.

Log-odds at each λ are compared before any time is printed: the merges differ by an ulp of bfloat16
here and there, and the benchmark fails where log-odds differ by more than `--within` (float32: .02;
bfloat16, whose logits are themselves rounded to an eighth or so: .5), or at all at both ends, where
both ways give the input itself. AUROCs are printed too; in bfloat16 ties of rounded log-odds
decide them on few stays. Without `--pair` two random models of `--size` are made; without
`--cohort`, stays.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import machine
from tables import markdown
from tune_models import SIZES, differ, read_stays, steps, write_pair

CHILD = Path(__file__).resolve().parent / "tune_child.py"
ROOT = CHILD.parents[1]
LAMBDAS = [n / 10 for n in range(11)]
TITLES = {"ours": "PatientDx, live", "written": "MergeKit, transformers"}
PARTS = ("make", "load", "score")
WITHIN = {"float32": 0.02, "bfloat16": 0.5}  # log-odds
Found = dict[str, list[dict[str, Any]]]


def child(way: str, job: dict[str, Any]) -> dict[str, Any]:
    """Runs one way. Raises SystemExit where it fails."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(CHILD), way, json.dumps(job)]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if ran.returncode:
        raise SystemExit(f"{way} failed:\n{ran.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def compared(runs_by_way: Found, died: Any, within: float) -> str:
    """How far the two ways agree. Raises SystemExit where that is not far enough."""
    from evaluator.statistics.discrimination import auroc

    ours, theirs = ([row["odds"] for row in runs_by_way[way][0]["rows"]] for way in TITLES)
    areas = [
        abs(auroc(died, our_odds) - auroc(died, their_odds))
        for our_odds, their_odds in zip(ours, theirs, strict=True)
    ]
    apart, moved = differ(ours, theirs), steps(ours)
    ends = differ([ours[0], ours[-1]], [theirs[0], theirs[-1]])
    said = (
        f"At 11 λ on {len(died)} stays log-odds differ by {apart:.2g} at most ({ends:.2g} at both "
        f"ends), AUROC by {max(areas):.4f}; one step of λ moves log-odds by {moved:.2g} in the "
        "median."
    )
    if ends > 0 or not apart <= within:
        raise SystemExit(f"the two ways differ. {said}")
    return said


def whole(run: dict[str, Any]) -> float:
    """Seconds of a search, opening included."""
    return float(run["once"] + sum(row[part] for row in run["rows"] for part in PARTS))


def table(runs_by_way: Found) -> str:
    """Medians over λ and rounds of the parts, over rounds of the whole."""
    head = ["11 λ", "once, s", "swap or write, s a λ", "load, s a λ", "score, s a λ"]
    head += ["whole search, s", "× ours", "without scoring, s", "× ours", "peak RSS, MiB"]
    totals = {way: median(map(whole, runs)) for way, runs in runs_by_way.items()}
    bare = {way: median(map(unscored, runs)) for way, runs in runs_by_way.items()}
    rows = []
    for way, runs in runs_by_way.items():
        parts = [median(row[part] for run in runs for row in run["rows"]) for part in PARTS]
        rows.append(
            [
                TITLES[way],
                f"{median(run['once'] for run in runs):.2f}",
                *(f"{part:.3f}" for part in parts),
                f"{totals[way]:.1f}",
                f"{totals[way] / totals['ours']:.2f}",
                f"{bare[way]:.2f}",
                f"{bare[way] / bare['ours']:.1f}",
                f"{max(run['peak_mb'] for run in runs):,.0f}",
            ]
        )
    return markdown(head, rows)


def unscored(run: dict[str, Any]) -> float:
    """Seconds of a search that are not spent on asking about stays."""
    return whole(run) - sum(float(row["score"]) for row in run["rows"])


def swaps(runs: list[dict[str, Any]]) -> str:
    """What a swap takes in the live model. The first only sets one end: it is left out."""
    spent = [row["make"] for run in runs for row in run["rows"][1:]]
    return f"swap of λ: median {median(spent):.3f} s, longest {max(spent):.3f} s ({len(spent)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pair", nargs=2, type=Path, metavar=("FIRST", "SECOND"))
    parser.add_argument("--size", choices=SIZES, default="135m", help="of random models")
    parser.add_argument("--cohort", type=Path, help="a file of `patientdx cohort`")
    parser.add_argument("--stays", type=int, default=100)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--method", choices=("slerp", "linear"), default="slerp")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--within", type=float, help="log-odds that the two ways may differ by")
    parser.add_argument("--folder", type=Path, help="where to work; a new folder is removed")
    parser.add_argument("--json", type=Path, help="write all that was measured")
    args = parser.parse_args()
    stays = read_stays(args.cohort, args.stays)
    with tempfile.TemporaryDirectory(prefix="tune-", dir=args.folder) as scratch:
        texts = [" ".join(record) for record in stays.records]
        pair = args.pair or write_pair(Path(scratch), args.size, texts)
        job = {
            "pair": [str(Path(folder).resolve()) for folder in pair],
            "cohort": args.cohort and str(args.cohort),
            "stays": args.stays,
            "dtype": args.dtype,
            "method": args.method,
            "threads": args.threads,
            "lambdas": LAMBDAS,
            "scratch": scratch,
        }
        runs_by_way: Found = {way: [] for way in TITLES}
        for _ in range(args.rounds):
            for way, runs in runs_by_way.items():
                runs.append(child(way, job))
    if args.json:
        args.json.write_text(json.dumps(runs_by_way, indent=1), encoding="utf-8")
    what = " + ".join(folder.name for folder in args.pair) if args.pair else f"random, {args.size}"
    print(f"{what}; {args.method}, {args.dtype}, {len(stays.died)} stays, {args.rounds} rounds\n")
    print(compared(runs_by_way, stays.died, args.within or WITHIN[args.dtype]))
    print("\n" + table(runs_by_way))
    print(f"\n{swaps(runs_by_way['ours'])}\n\n{machine()}")


if __name__ == "__main__":
    main()
