"""Hospital folders of many notes a patient beside a corpus of one note a patient.

For each format: build, search, find similar patients, delete a patient; every hit list is checked
to hold no patient twice, and never the patient it is for. Each format is measured in a process of
its own.

    python benchmarks/hospital.py --folder /tmp/hospital --json hospital.json
    python benchmarks/hospital.py --folder /tmp/small --size 2000
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from hospital_made import WRITERS, made_notes
from measure import disk_mb, machine, peak_mb, seconds
from tables import markdown

ROOT = Path(__file__).resolve().parents[1]
TOP = 100


class CheckError(Exception):
    """Hits that are wrong: the figures mean nothing."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=100_000, help="notes")
    parser.add_argument("--patients", type=int, help="of the notes (default: 3 of 10 notes)")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, required=True, help="sources and indexes go here")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.patients = chosen.patients or max(1, chosen.size * 3 // 10)
    return chosen


def make_source(name: str, chosen: argparse.Namespace) -> Path:
    """The folder or file of a format."""
    folder: Path = chosen.folder / f"source-{list(WRITERS).index(name)}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return WRITERS[name](folder, made_notes(chosen.size, chosen.patients), chosen.patients)


def measure(source: Path, folder: Path, count: int) -> dict[str, Any]:
    """Figures of one source; runs in a process of its own."""
    sys.path.insert(0, str(ROOT))
    from indexer.index import Index
    from indexer.writer import build_index, delete_patients
    from patientdx.formats import read_patients
    from patientdx.records import Query

    figures: dict[str, Any] = {
        "reading": seconds(lambda: sum(1 for _ in read_patients(source))),
        "reading_mb": peak_mb(),
        "building": seconds(lambda: build_index(folder, read_patients(source))),
        "building_mb": peak_mb(),
        "disk_mb": disk_mb(folder),
    }
    index = Index.open(folder)
    figures |= {"notes": index.size, "patients": index.patient_count}
    ids = list(dict.fromkeys(note.patient_id for note in index.patients()))[:count]
    queries = [Query(i, index.note(note.document_id).text) for i, note in _first(index, ids)]
    index.search_many(queries[:2], TOP)
    rankings: list[Any] = []
    figures["batch"] = seconds(lambda: rankings.extend(index.search_many(queries, TOP)))
    alone = [seconds(lambda q=query: index.search_many([q], TOP)) for query in queries]  # type: ignore[misc]
    similar = {i: index.similar(i, TOP) for i in ids}
    times = [seconds(lambda i=i: index.similar(i, TOP)) for i in ids[:50]]  # type: ignore[misc]
    figures |= {"alone": median(alone), "similar": median(times)}
    for hits in [*rankings, *similar.values()]:
        if len({hit.doc_id for hit in hits}) != len(hits) or not hits:
            raise CheckError(f"{source}: a patient stands twice among hits, or there are none")
    if any(i in {hit.doc_id for hit in hits} for i, hits in similar.items()):
        raise CheckError(f"{source}: a patient is similar to themselves")
    figures["deleting"] = seconds(lambda: delete_patients(folder, [ids[0]]))
    left = Index.open(folder)
    deleted = {hit.doc_id for hits in left.search_many(queries, TOP) for hit in hits}
    if ids[0] in deleted or left.patient_count != index.patient_count - 1:
        raise CheckError(f"{source}: a deleted patient is there")
    return figures


def _first(index: Any, ids: list[str]) -> list[tuple[str, Any]]:
    return [(i, index.notes(i)[0]) for i in ids]


def in_own_process(source: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of `measure`."""
    folder = chosen.folder / "index"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, __file__, "--folder", folder, "--source", source]
    command += ["--queries", str(chosen.queries)]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, Any] = json.loads(shown)
    return figures


def table(rows: dict[str, dict[str, Any]]) -> str:
    head = [
        *("source", "notes", "patients", "read, notes/s", "build, notes/s", "peak memory"),
        *("on disk", "batch, queries/s", "one query", "similar", "delete"),
    ]
    return markdown(head, (_cells(name, row) for name, row in rows.items()))


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    return [
        name,
        f"{row['notes']:,}",
        f"{row['patients']:,}",
        f"{row['notes'] / row['reading']:,.0f}",
        f"{row['notes'] / row['building']:,.0f}",
        f"{row['building_mb']:,.0f} MiB",
        f"{row['disk_mb']:,.0f} MiB",
        f"{row['queries'] / row['batch']:,.0f}",
        f"{row['alone'] * 1e3:.1f} ms",
        f"{row['similar'] * 1e3:.1f} ms",
        f"{row['deleting'] * 1e3:.0f} ms",
    ]


def main() -> None:
    chosen = options()
    if chosen.source is not None:
        print(json.dumps(measure(chosen.source, chosen.folder, chosen.queries)))
        return
    rows = {}
    for name in WRITERS:
        figures = in_own_process(make_source(name, chosen), chosen)
        rows[name] = {**figures, "queries": min(chosen.queries, figures["patients"])}
    print(table(rows))
    print(f"\nNo hit list holds a patient twice, or the patient it is for. {machine()}")
    if chosen.json:
        figures = {"command": sys.argv, "rows": rows, "machine": machine()}
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
