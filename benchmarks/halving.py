"""How good halving's λ is for three tenths of the scores, and how honest nested figures are.

    python benchmarks/halving.py                 # 2,000 and 1,000 runs, some minutes
    python benchmarks/halving.py --runs 200 --nested 100

Simulated scores (tests/simulated_merges.py): 1,000 patients, 100 deaths, 11 λ, a true AUROC from
.50 to .63 along λ with its peak anywhere and five shapes, correlations of .5 to .8 between
neighbouring λ. Halving against the full grid: how often its choice is at most .02 true AUROC
worse. Nested and apparent AUROC of 200 patients with 40 deaths: their bias.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulated_merges import SHAPES, flat, simulated

from evaluator.selection import (
    AUROC,
    GridSearch,
    PatientFolds,
    SelectionSettings,
    Strategy,
    SuccessiveHalving,
    select_candidate,
)
from evaluator.statistics.bootstrap import Resampling


def losses(shape: str, runs: range) -> tuple[list[float], float, float]:
    """Of each run what halving loses to the grid; the grid's own mean regret; scores needed."""
    regrets, regret, spent = [], 0.0, 0.0
    for run in runs:
        cohort = simulated(run, shape)
        evaluator = cohort.evaluator()
        everywhere = evaluator.instances.all_indices
        grid = GridSearch().search(evaluator, AUROC, everywhere)
        halving = SuccessiveHalving().search(evaluator, AUROC, everywhere)
        regrets.append(cohort.truth(grid.chosen) - cohort.truth(halving.chosen))
        regret += (cohort.true.max() - cohort.truth(grid.chosen)) / len(runs)
        spent = max(spent, halving.evaluations / halving.exhaustive)
    return regrets, regret, spent


def biases(strategy: Strategy, kind: str, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Nested and apparent AUROC minus the true AUROC of what each names."""
    nested, apparent = [], []
    for seed in range(runs):
        cohort = (flat if kind == "all alike" else simulated)(seed, patients=200, deaths=40)
        settings = SelectionSettings(PatientFolds(2, seed), Resampling(resamples=1))
        selection = select_candidate(strategy, cohort.evaluator(), AUROC, settings)
        true = np.mean([cohort.truth(fold.chosen) for fold in selection.folds])
        nested.append(selection.held_out.value - true)
        apparent.append(selection.apparent.value - cohort.truth(selection.chosen))
    return np.array(nested), np.array(apparent)


def shown(values: np.ndarray) -> str:
    error = values.std(ddof=1) / np.sqrt(values.size)
    return f"{values.mean():+.4f} ± {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--nested", type=int, default=1000)
    args = parser.parse_args()
    each = args.runs // len(SHAPES)
    print(f"| shape | runs | within .02 | mean loss | grid's regret | scores |\n{'|--' * 6}|")
    for at, shape in enumerate(SHAPES):
        regrets, regret, spent = losses(shape, range(at * each, (at + 1) * each))
        good = np.mean(np.array(regrets) <= 0.02)
        cells = f"{good:.1%} | {np.mean(regrets):+.4f} | {regret:.4f} | {spent:.1%}"
        print(f"| {shape} | {each} | {cells} |", flush=True)
    print(f"\n| strategy | λ | runs | bias, nested | bias, apparent |\n{'|--' * 5}|")
    for strategy in (GridSearch(), SuccessiveHalving()):
        for kind in ("all alike", "one is best"):
            nested, apparent = biases(strategy, kind, args.nested)
            cells = f"{shown(nested)} | {shown(apparent)}"
            print(f"| {strategy.name} | {kind} | {args.nested} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
