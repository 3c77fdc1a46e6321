"""How fast two models are merged, and in how much memory: ours, MergeKit's, and the disk's floor.

    python benchmarks/merge.py                       # 1.1 billion parameters: 9 GB of disk
    python benchmarks/merge.py --size 8b --rounds 1  # 8 billion: 65 GB of disk
    python benchmarks/merge.py --size 8b --rounds 1 --linked --no-memory  # 49 GB, little memory
    python benchmarks/merge.py --size tiny

Two random bfloat16 models of a Llama's shape are written, merged by all engines in turn, and the
results compared before any time is printed. Of task arithmetic the first model is the base. With
`--linked`, the files of the second model are hard links to those of the first, so both have the
same numbers, and 32 GB of inputs of 8 billion parameters take 16 GB of disk; the output says it.
That is also done where the disk is too small for two. `--layers` makes models of fewer layers.

The floor reads both models and writes one, without arithmetic.
Every merge ends when its files are synced (fsync); inputs are in the page cache, or
dropped from it before every merge with `--cold`. Memory is the peak of anonymous pages (RssAnon,
sampled every 10 ms): what a process holds beyond the page cache. In memory, 11 values of t are
merged of two loaded models (MergeKit's `merge_state_dicts`: `--mergekit-lambdas` of them);
`--no-memory` leaves that out, which holds several models at once.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import machine
from merge_models import SIZES, Agreement, compare, link_model, slots, write_model
from tables import markdown

CHILD = Path(__file__).resolve().parent / "merge_child.py"
ROOT = CHILD.parents[1]
LAMBDAS = tuple(n / 10 for n in range(11))
TITLES = {"ours": "PatientDx", "mergekit": "mergekit-yaml", "floor": "floor: read both, write one"}


class Run(NamedTuple):
    """What was measured of one process. `peak_mb` is of anonymous memory, in MiB."""

    facts: dict[str, Any]
    whole: float
    peak_mb: float


def child(engine: str, inputs: tuple[Path, Path], out: object, method: str, ts: str) -> Run:
    """Runs one engine. Raises SystemExit where it fails."""
    command = [sys.executable, CHILD, engine, *inputs, out, method, ts]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    begun = perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=log, env=env
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, anonymous_mb(process.pid))
            sleep(0.01)
        whole = perf_counter() - begun
        assert process.stdout is not None
        lines = process.stdout.read().decode().splitlines()
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{engine} failed:\n{log.read().decode(errors='replace')[-2000:]}")
    return Run(json.loads(lines[-1]), whole, peak)


def anonymous_mb(pid: int) -> float:
    """Memory of a process that is no page of a file, in MiB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    lines = (line.split() for line in status.splitlines())
    return sum(int(line[1]) for line in lines if line and line[0] == "RssAnon:") / 1024


def drop(folders: tuple[Path, Path]) -> None:
    """Takes the inputs out of the page cache."""
    for folder in folders:
        for file in folder.glob("*.safetensors"):
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def on_disk(
    inputs: tuple[Path, Path], folder: Path, method: str, rounds: int, *, cold: bool
) -> tuple[dict[str, list[Run]], Agreement]:
    """All engines in turn, so many times; the outputs of the first round are compared."""
    runs_by_engine: dict[str, list[Run]] = {"floor": [], "ours": [], "mergekit": []}
    agreement = None
    for _ in range(rounds):
        for engine, runs in runs_by_engine.items():
            os.sync()
            if cold:
                drop(inputs)
            runs.append(child(engine, inputs, folder / engine, method, "0.4"))
            if engine == "floor":
                shutil.rmtree(folder / engine)
        if agreement is None:
            agreement = compare(folder / "ours", folder / "mergekit", inputs)
            check(agreement)
        for engine in ("ours", "mergekit"):
            shutil.rmtree(folder / engine)
    assert agreement is not None
    return runs_by_engine, agreement


def check(agreement: Agreement) -> None:
    """Raises SystemExit where merges differ by more than an ulp."""
    if agreement.ulps > 1:
        raise SystemExit(f"the merges differ by {agreement.ulps:.1f} ulps of bfloat16")


def middle(runs: list[Run], key: str = "seconds") -> float:
    return median(float(run.facts[key]) for run in runs)


def least(runs: list[Run], key: str = "seconds") -> float:
    return min(float(run.facts[key]) for run in runs)


def disk_table(runs_by_engine: dict[str, list[Run]]) -> str:
    """Medians and least times, and their ratios to ours and to the floor."""
    head = ["one merge on disk", "s", "× ours", "× floor"]
    head += ["least s", "× ours", "× floor", "s with start and imports", "peak MiB"]
    rows = []
    for engine in ("ours", "mergekit", "floor"):
        row = [TITLES[engine]]
        for of in (middle, least):
            spent = of(runs_by_engine[engine])
            row += [f"{spent:.2f}"]
            row += [f"{spent / of(runs_by_engine[other]):.2f}" for other in ("ours", "floor")]
        whole = median(run.whole for run in runs_by_engine[engine])
        peak = max(run.peak_mb for run in runs_by_engine[engine])
        rows.append([*row, f"{whole:.2f}", f"{peak:,.0f}"])
    return markdown(head, rows)


def memory_table(inputs: tuple[Path, Path], method: str, mergekit_lambdas: int) -> str:
    """Seconds for a t, of models in memory."""
    ours = child("ours-memory", inputs, "-", method, ",".join(map(str, LAMBDAS))).facts
    some = LAMBDAS[1 : 1 + mergekit_lambdas]
    theirs = child("mergekit-memory", inputs, "-", method, ",".join(map(str, some))).facts
    inner = median(ours["each"][1:-1])  # at the ends one model is copied
    slow = median(theirs["each"])
    sweep = (ours["once"] + sum(ours["each"])) / len(LAMBDAS)
    rows = [
        ("one λ into the live weights, in place", inner),
        ("11 λ one after another, with what is done once", sweep),
        ("11 λ from one read of the models, into new memory", ours["together"]),
        ("merge_state_dicts", slow),
    ]
    head = [f"{method} in memory", "s per λ", "merge_state_dicts takes"]
    return markdown(head, [[name, f"{s:.3f}", f"{slow / s:.1f}×"] for name, s in rows])


def disk(
    inputs: tuple[Path, Path], folder: Path, method: str, options: argparse.Namespace, nbytes: int
) -> None:
    """Merges on disk and prints the speed."""
    runs_by_engine, agreement = on_disk(inputs, folder, method, options.rounds, cold=options.cold)
    print(f"\n{method}: {agreement.equal:.4%} of the numbers equal MergeKit's, none differs")
    print(f"by more than {agreement.ulps:.2f} ulp of bfloat16.\n")
    print(disk_table(runs_by_engine))
    print("\n" + rates(runs_by_engine["floor"], nbytes), flush=True)


def rates(floor: list[Run], nbytes: int) -> str:
    """What the disk did in every round: where it differs much, medians say little."""
    read = [f"{2 * nbytes / run.facts['read'] / 1e9:.2f}" for run in floor]
    write = [f"{nbytes / run.facts['write'] / 1e9:.2f}" for run in floor]
    return f"GB/s of the floor, round by round: read {', '.join(read)}; wrote {', '.join(write)}."


def write_inputs(folder: Path, nbytes: int, options: argparse.Namespace) -> tuple[Path, Path]:
    """Two models; the second is linked if that is wanted, or if the disk is too small for two.

    Raises SystemExit where it is too small for one, and two outputs.
    """
    free = shutil.disk_usage(folder).free - (1 << 30)
    outputs = 0 if options.no_disk else 2
    linked = options.linked or free < (2 + outputs) * nbytes
    if free < (1 + outputs) * nbytes:
        raise SystemExit(
            f"{folder}: {(1 + outputs) * nbytes / 1e9:.0f} GB are needed, {free / 1e9:.0f} free: "
            f"try fewer --layers than {SIZES[options.size][2]}"
        )
    first, second = folder / "a", folder / "b"
    write_model(first, options.size, 0, options.layers)
    if linked:
        link_model(second, first)
        sizes = f"{2 * nbytes / 1e9:.1f} GB of inputs take {nbytes / 1e9:.1f} GB of disk"
        print(f"The second model's files are hard links to the first's, so that {sizes}:")
        print("both have the same numbers.\n")
    else:
        write_model(second, options.size, 1, options.layers)
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="1b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=0, help="so many layers instead")
    parser.add_argument(
        "--linked", action="store_true", help="the second model's files are links to the first's"
    )
    parser.add_argument("--methods", default="slerp,linear,task_arithmetic")
    parser.add_argument("--no-disk", action="store_true", help="only what is done in memory")
    parser.add_argument("--no-memory", action="store_true", help="only what is done on disk")
    parser.add_argument("--mergekit-lambdas", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="inputs are not in the page cache")
    parser.add_argument("--folder", type=Path, help="where to work; a new folder in it is removed")
    options = parser.parse_args()
    nbytes = sum(slot.nbytes for slot in slots(options.size, options.layers))
    with tempfile.TemporaryDirectory(prefix="merge-", dir=options.folder) as name:
        folder = Path(name)
        inputs = write_inputs(folder, nbytes, options)
        print(f"{nbytes / 2e9:.2f} billion parameters, bfloat16; {options.rounds} rounds, medians")
        for method in options.methods.split(","):
            if not options.no_disk:
                disk(inputs, folder, method, options, nbytes)
            if not options.no_memory:
                print("\n" + memory_table(inputs, method, options.mergekit_lambdas), flush=True)
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
