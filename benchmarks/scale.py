"""How build and search grow with the corpus: 20 k, 155 k, 1 M, 5 M generated notes.

    python benchmarks/scale.py --sizes 20000,155200,1000000,5000000 --into /tmp/scale

Each size is built and searched in processes of its own. The first 155,200 notes are generated and
kept in a file; a note beyond them is the first half of one of these and the second half of
another. Reading them is part of the build. Peak memory is the process's VmHWM, which counts the
mapped pages of the index that were touched.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import corpus
import numpy as np

from indexer.analysis import AnalysisSettings
from indexer.index import Index
from indexer.writer import build_index
from patientdx.records import Patient, Query

POOL = 155_200


def peak_mib() -> float:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


class Pool:
    """Notes kept in a file, a line each, read one at a time so that they take no memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        sizes = np.fromiter((len(line) for line in self._file), dtype=np.int64)
        self._ends = np.cumsum(sizes).tolist()
        self._starts = [0, *self._ends[:-1]]

    @classmethod
    def made(cls, path: Path, size: int) -> "Pool":
        """The pool in a file, which is written if it is not there."""
        if not path.exists():
            reports = corpus.case_reports()
            with path.open("w", encoding="utf-8") as out:
                for text in corpus.notes(size, seed=1, reports=reports):
                    out.write(" ".join(text.split()) + "\n")
        return cls(path)

    def __getitem__(self, number: int) -> str:
        count = len(self._ends)
        if number < count:
            return self._line(number)
        first, second = (
            self._line(number * 7919 % count),
            self._line((number // count + number) % count),
        )
        head, tail = first.find(" ", len(first) // 2), second.find(" ", len(second) // 2)
        return first[:head] + second[tail:]

    def _line(self, number: int) -> str:
        self._file.seek(self._starts[number])
        return self._file.read(self._ends[number] - self._starts[number]).decode()


def patients(size: int, pool: Pool) -> Iterator[Patient]:
    """Generated patients."""
    for number in range(size):
        sex: Literal["F", "M"] = "M" if number % 2 else "F"
        yield Patient(f"n{number}", pool[number], age_years=number % 90, sex=sex)


def measure_build(folder: Path, size: int) -> dict[str, float]:
    pool = Pool.made(folder.parent / f"notes-{min(size, POOL)}", min(size, POOL))
    start = time.perf_counter()
    build_index(folder, patients(size, pool), analysis=AnalysisSettings("none", "none"))
    seconds = time.perf_counter() - start
    size_mib = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    return {"build_s": seconds, "build_mib": peak_mib(), "index_mib": size_mib}


def measure_search(folder: Path) -> dict[str, float]:
    texts = list(corpus.notes(128, seed=2, reports=corpus.case_reports()))
    start = time.perf_counter()
    Index.open(folder).search(texts[0], 1000)
    cold = time.perf_counter() - start
    index = Index.open(folder, engine="compiled")
    weighed = [index.weigh(Query(str(i), text)) for i, text in enumerate(texts)]
    index.rank_terms(weighed[:2], 1000)
    index.rank_terms(weighed[:1], 1000)
    start = time.perf_counter()
    for query in weighed[:32]:
        index.rank_terms([query], 1000)
    single = (time.perf_counter() - start) / 32
    start = time.perf_counter()
    index.rank_terms(weighed, 1000)
    batch = (time.perf_counter() - start) / len(weighed)
    return {
        "cold_ms": 1e3 * cold,
        "single_ms": 1e3 * single,
        "batch_ms": 1e3 * batch,
        "search_mib": peak_mib(),
    }


def child(folder: Path, size: int, part: str) -> dict[str, float]:
    """One part measured in a fresh process."""
    command = [sys.executable, __file__, "--into", str(folder), "--sizes", str(size)]
    done = subprocess.run([*command, "--part", part], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def table(into: Path, sizes: list[int]) -> None:
    print("| notes | build s | notes/s | build peak MiB | index MiB | cold ms | single ms "
          "| batch ms | search peak MiB |")  # fmt: skip
    print("|--:" * 9 + "|")
    for size in sizes:
        folder = into / f"scale-{size}"
        shutil.rmtree(folder, ignore_errors=True)
        row = {**child(folder, size, "build"), **child(folder, size, "search")}
        shutil.rmtree(folder)
        cells = [
            f"{size:,}", f"{row['build_s']:.1f}", f"{size / row['build_s']:,.0f}",
            f"{row['build_mib']:,.0f}", f"{row['index_mib']:,.0f}", f"{row['cold_ms']:,.0f}",
            f"{row['single_ms']:.1f}", f"{row['batch_ms']:.1f}", f"{row['search_mib']:,.0f}",
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path("/tmp"))
    parser.add_argument("--sizes", default="20000,155200,1000000")
    parser.add_argument("--part", choices=("build", "search"))
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.part == "build":
        print(json.dumps(measure_build(options.into, sizes[0])))
    elif options.part == "search":
        print(json.dumps(measure_search(options.into)))
    else:
        options.into.mkdir(parents=True, exist_ok=True)
        table(options.into, sizes)


if __name__ == "__main__":
    main()
