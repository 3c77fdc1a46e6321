"""Which analysis is the default, and why: dev figures of three collections.

python benchmarks/analysis.py            # a Markdown table; needs ../shared/data
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluator import evaluate_searcher
from indexer.analysis import STEMMERS, STOPWORDS, AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.writer import build_index
from patientdx.formats import evaluation_files, read_patients, read_qrels, read_queries

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("phenopackets", "pmc_plus_e3c", "nfcorpus")
MEASURES = ("RR", "nDCG@10", "R@1000")
WEIGHTS = (BM25Settings(1.2, 0.75), BM25Settings(0.9, 0.4))

Row = tuple[str, str, BM25Settings]


def figures(name: str, folder: Path) -> Iterator[tuple[Row, list[float]]]:
    """The means of every setting on one collection."""
    files = evaluation_files(SHARED / name, "dev")
    queries, qrels = list(read_queries(files.queries)), read_qrels(files.qrels)
    patients = list(read_patients(SHARED / name))
    for stopwords in STOPWORDS:
        for stemmer in STEMMERS:
            analysis = AnalysisSettings(stopwords, stemmer)
            index = build_index(
                folder / f"{name}-{stopwords}-{stemmer}", patients, analysis=analysis
            )
            for bm25 in WEIGHTS:
                searcher = index.with_bm25(bm25.k1, bm25.b)
                evaluation, _, _ = evaluate_searcher(searcher, queries, qrels, MEASURES)
                yield (stopwords, stemmer, bm25), [evaluation.mean(m) for m in MEASURES]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not SHARED.is_dir():
        sys.exit("this benchmark needs ../shared/data")
    with tempfile.TemporaryDirectory() as folder:
        table = {name: dict(figures(name, Path(folder))) for name in SETS}
    print("| stop words | stemmer | k1 / b |", " | ".join(SETS), "| mean nDCG@10 |")
    print("|---|---|---|" + "---|" * len(SETS) + "--:|")
    for row in table[SETS[0]]:
        stopwords, stemmer, bm25 = row
        cells = [" / ".join(f"{v:.4f}" for v in table[name][row]) for name in SETS]
        mean = sum(table[name][row][1] for name in SETS) / len(SETS)
        head = f"| {stopwords} | {stemmer} | {bm25.k1} / {bm25.b} |"
        print(head, " | ".join(cells), f"| {mean:.4f} |")
    print(f"\nCells: {' / '.join(MEASURES)}. Dev judgements: 285, 100 and 161 queries.")


if __name__ == "__main__":
    main()
