"""Queries of a collection in British spelling, as JSON lines.

python benchmarks/british.py ../shared/data/nfcorpus > british.jsonl

A word changes where the notes of the three collections in ../shared/data or the list of
`indexer.spelling` have a British word of that American spelling, the most frequent if several.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from indexer.spelling import american_spellings, speller
from patientdx.formats import read_patients, read_queries

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("phenopackets", "pmc_plus_e3c", "nfcorpus")
WORD = re.compile(r"\w+")


def british_words() -> dict[str, str]:
    """American spelling -> British word."""
    spellings = american_spellings()
    listed = (word for word in spellings.split()[::2] if "-" not in word)
    words = Counter(dict.fromkeys(listed, 0))
    for name in SETS:
        for patient in read_patients(SHARED / name):
            words.update(WORD.findall(patient.text.lower()))
    spell = speller(spellings)
    ordered = sorted(words, key=lambda word: (words[word], word))
    return {spell(word): word for word in ordered if spell(word) != word}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the collection")
    british = british_words()
    for query in read_queries(parser.parse_args().data / "queries.jsonl.gz"):
        text = WORD.sub(lambda m: british.get(m.group().lower(), m.group()), query.text)
        print(json.dumps({"_id": query.query_id, "text": text}, ensure_ascii=False))


if __name__ == "__main__":
    main()
