"""How fast a MIMIC-IV becomes a cohort, and within what memory, beside pandas on a slice.

    python benchmarks/mimic.py --stays 70000 --into /tmp/mimic

A synthetic database is written first (70,000 stays: about 100 million chart rows, 2 GB of csv.gz,
and room to spill). The slice is a database of its own; both programs turn it into a cohort, and
every value is compared before any time is told. Each run is a process of its own; peak memory is
its VmHWM; CPU seconds are those of all its threads, which a busy machine changes less.
`--stays 500 --slice 500` takes seconds anywhere.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mimic_made
from tables import markdown


def peak_gib() -> float:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def ours(folder: Path, into: Path, memory: str, threads: int | None) -> dict[str, Any]:
    """Our cohort, and what it cost."""
    from evaluator.cohorts.builder import build_cohort
    from evaluator.cohorts.database import DatabaseOptions
    from evaluator.cohorts.sources.mimic import MimicReader

    laps: list[tuple[str, float]] = []
    start, cpu = time.perf_counter(), time.process_time()
    made = build_cohort(
        MimicReader("mimic-iv", folder),
        into,
        database_options=DatabaseOptions(memory=memory, threads=threads),
        on_step=lambda text: laps.append((text, time.perf_counter() - start)),
    )
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    first = {step.of: step.left for step in made.flow if step.step == "all"}
    stays = [step.left for step in made.flow if step.of == "stays"][-1]
    ends = [at for _, at in laps[1:]] + [seconds]
    parts = {text: end - at for (text, at), end in zip(laps, ends, strict=True)}
    cost = {"seconds": seconds, "cpu": cpu, "gib": peak_gib()}
    return {**cost, "rows": first, "stays": stays, "parts": parts}


def theirs(folder: Path, into: Path) -> dict[str, Any]:
    """The cohort in pandas, compared with ours value by value."""
    import mimic_pandas

    start, cpu = time.perf_counter(), time.process_time()
    cohort = mimic_pandas.cohort(folder)
    cost = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    cost["gib"] = peak_gib()
    compare(into, cohort)
    return cost


def compare(path: Path, cohort: dict[str, Any]) -> None:
    """Raises AssertionError unless both cohorts are the same."""
    from evaluator.cohorts import read_cohort

    compared = {"charts": 0, "medications": 0, "procedures": 0, "outputs": 0}
    ours_died = {}
    for stay in read_cohort(path):
        number = int(stay.stay_id)
        ours_died[number] = stay.died
        for section in ("charts", "medications"):
            for series in getattr(stay, section):
                item = 220000 + int(series.name.split()[1])
                value = cohort[section][number, item]
                assert math.isclose(series.mean, value, rel_tol=1e-9, abs_tol=1e-9), (
                    series.mean,
                    value,
                )
                compared[section] += 1
        for section in ("procedures", "outputs"):
            items = {220000 + int(name.split()[1]) for name in getattr(stay, section)}
            assert all((number, item) in cohort[section] for item in items)
            compared[section] += len(items)
    assert ours_died == cohort["died"]
    assert compared == {section: len(cohort[section]) for section in compared}


def child(part: str, folder: Path, options: argparse.Namespace) -> Any:
    """One part in a fresh process."""
    command = [sys.executable, __file__, "--part", part, "--into", str(folder)]
    command += ["--memory", options.memory]
    command += ["--threads", str(options.threads)] if options.threads else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def report(options: argparse.Namespace) -> None:
    table, shares = [], []
    sizes = [("slice", options.slice)] if options.slice else []
    for name, stays in [*sizes, ("whole", options.stays)]:
        folder = options.into / name
        mimic_made.make(folder, stays, packing=options.packing)
        runs = {"PatientDx": child("ours", folder, options)}
        rows = sum(runs["PatientDx"]["rows"].values())
        if name == "slice":
            runs["pandas"] = child("theirs", folder, options)
        for program, run in runs.items():
            table.append(
                [
                    program,
                    f"{stays:,}",
                    f"{runs['PatientDx']['rows']['chart events']:,}",
                    f"{run['seconds']:.1f}",
                    f"{rows / run['seconds']:,.0f}",
                    f"{run['cpu']:.1f}",
                    f"{run['gib']:.2f}",
                ]
            )
        shares += [
            [name, part, f"{spent:.1f}"] for part, spent in runs["PatientDx"]["parts"].items()
        ]
        if not options.keep:
            shutil.rmtree(folder)
    if sizes:
        print("the slice: both cohorts are equal, value by value (1e-9)\n")
    head = ["program", "stays", "chart rows", "seconds", "rows/s (all events)", "CPU s", "peak GiB"]
    print(markdown(head, table))
    print()
    print(markdown(["database", "part", "seconds"], shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stays", type=int, default=70_000)
    parser.add_argument("--slice", type=int, default=2_000, help="stays of the slice; 0 for none")
    parser.add_argument("--into", type=Path, default=Path("/tmp/patientdx-mimic"))
    parser.add_argument("--memory", default="6GB", help="the database's share of the 8 GB")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--packing", choices=("csv", "csv.gz"), default="csv.gz")
    parser.add_argument("--keep", action="store_true", help="keep the synthetic tables")
    parser.add_argument("--part", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    into = options.into / "cohort.parquet"
    if options.part == "ours":
        print(json.dumps(ours(options.into, into, options.memory, options.threads)))
    elif options.part == "theirs":
        print(json.dumps(theirs(options.into, into)))
    else:
        report(options)


if __name__ == "__main__":
    main()
