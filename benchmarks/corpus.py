"""A ReCDS-shaped corpus of any size, and queries of the same kind.

Notes are made by resampling sentences: each note draws from a few case reports, so that it has
a topic and repeats its words as real notes do. Where ../shared/data is absent, a generator of
its own stands in (Zipf words with topics), and the output says so.

    python benchmarks/corpus.py --into /tmp/recds --size 155200 --queries 2900
"""

import argparse
import csv
import gzip
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SENTENCE = re.compile(r"(?<=[.!?])\s+")
MEAN_WORDS = 400
REPORTS_PER_NOTE = 5


def case_reports() -> list[list[str]]:
    """The sentences of each case report in ../shared/data, or of invented ones."""
    if not (SHARED / "e3c").is_dir():
        return invented_reports()
    csv.field_size_limit(sys.maxsize)
    with gzip.open(SHARED / "e3c" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    sample = SHARED / "pmc_patients_sample" / "PMC-Patients-sample.csv"
    with sample.open(encoding="utf-8", newline="") as rows:
        texts += [row["text"] for row in csv.DictReader(rows)]
    return [SENTENCE.split(text) for text in texts]


def invented_reports(reports: int = 8_000, vocabulary: int = 60_000) -> list[list[str]]:
    """Reports of Zipf-distributed pseudo-words; a third of each report's words is its topic's."""
    generator = np.random.default_rng(7)
    syllables = [a + b for a in "bcdfglmnprstv" for b in "aeiou"]
    picks = generator.integers(0, len(syllables), (vocabulary, 4))
    lengths = generator.integers(1, 5, vocabulary)
    words = ["".join(syllables[s] for s in row[:n]) for row, n in zip(picks, lengths, strict=True)]
    made = []
    for _ in range(reports):
        common = np.minimum(generator.zipf(1.15, 160) - 1, vocabulary - 1)
        topic = generator.integers(0, vocabulary, 12)[generator.integers(0, 12, 40)]
        mixed = generator.permutation(np.concatenate([common, topic]))
        made.append([" ".join(words[w] for w in part) + "." for part in np.array_split(mixed, 12)])
    return made


def notes(count: int, *, seed: int, reports: Sequence[Sequence[str]]) -> Iterator[str]:
    """Notes of about MEAN_WORDS words each (log-normal lengths)."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        wanted = MEAN_WORDS * generator.lognormal(-0.1, 0.45)
        chosen = generator.integers(0, len(reports), REPORTS_PER_NOTE)
        pool = [sentence for report in chosen for sentence in reports[report]]
        order = generator.permutation(len(pool))
        sentences: list[str] = []
        words = 0
        while words < wanted:
            for position in order:
                sentences.append(pool[position])
                words += pool[position].count(" ") + 1
                if words >= wanted:
                    break
            chosen = generator.integers(0, len(reports), REPORTS_PER_NOTE)
            pool = [sentence for report in chosen for sentence in reports[report]]
            order = generator.permutation(len(pool))
        yield " ".join(sentences)


def short_queries(count: int, *, seed: int, reports: Sequence[Sequence[str]]) -> Iterator[str]:
    """Queries of 5 to 10 consecutive words of a sentence."""
    generator = np.random.default_rng(seed)
    while count:
        report = reports[int(generator.integers(0, len(reports)))]
        words = report[int(generator.integers(0, len(report)))].split()
        length = int(generator.integers(5, 11))
        if len(words) >= length:
            start = generator.integers(0, len(words) - length + 1)
            yield " ".join(words[start : start + length])
            count -= 1


def write(path: Path, texts: Iterator[str], prefix: str) -> None:
    with path.open("w", encoding="utf-8") as out:
        for number, text in enumerate(texts):
            age, sex = 1 + number * 7 % 90, "FM"[number % 2]
            row = {"_id": f"{prefix}{number}", "title": "", "text": text, "age": age, "sex": sex}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def make(into: Path, size: int, queries: int, seed: int = 1) -> Path:
    """The folder with corpus.jsonl, queries.jsonl and short_queries.jsonl; made once."""
    stamp = into / f"made-{size}-{queries}-{seed}"
    if stamp.exists():
        return into
    into.mkdir(parents=True, exist_ok=True)
    reports = case_reports()
    write(into / "corpus.jsonl", notes(size, seed=seed, reports=reports), "n")
    write(into / "queries.jsonl", notes(queries, seed=seed + 1, reports=reports), "q")
    short = short_queries(300, seed=seed + 2, reports=reports)
    write(into / "short_queries.jsonl", short, "s")
    stamp.touch()
    return into


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--size", type=int, default=155_200)
    parser.add_argument("--queries", type=int, default=2_900)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make(options.into, options.size, options.queries, options.seed)
    origin = "case reports of ../shared/data" if SHARED.is_dir() else "invented pseudo-words"
    print(f"{options.size:,} notes from {origin} in {options.into}")


if __name__ == "__main__":
    main()
