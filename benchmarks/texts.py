"""The notes and queries of the benchmark, and the tokens that every engine is given.

Nothing here comes from indexer/: the words are found, counted and numbered anew, so that a
mistake there cannot hide. Only the list of stop words is the same file.
"""

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import corpus
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
STOP_WORDS = ROOT / "indexer" / "stopwords" / "english.txt"
WORD = re.compile(r"\w+")


def corpus_in(folder: Path, size: int, queries: int) -> Path:
    """A folder with at least that many notes and queries: made where there is none yet.

    The notes of a smaller corpus are the first ones of a larger.
    """
    for stamp in folder.glob("made-*-*-1"):
        notes, made = map(int, stamp.name.split("-")[1:3])
        if notes >= size and made >= queries:
            return folder
    return corpus.make(folder / f"corpus-{size}-{queries}", size, queries)


class Note(NamedTuple):
    """One line of the corpus."""

    note_id: str
    text: str
    age: float
    sex: Any


class Words:
    """Text to tokens: `\\w+` of the text in lower case, without the stop words if so asked."""

    def __init__(self, *, without_stop_words: bool) -> None:
        text = STOP_WORDS.read_text(encoding="utf-8") if without_stop_words else ""
        self.stop = frozenset(text.split())

    def __call__(self, text: str) -> list[str]:
        words = WORD.findall(text.lower())
        return [word for word in words if word not in self.stop] if self.stop else words


def read_notes(corpus: Path, size: int) -> Iterator[Note]:
    """The first `size` notes. Every engine reads and parses the corpus with this."""
    with corpus.open(encoding="utf-8") as lines:
        for line in islice(lines, size):
            row = json.loads(line)
            yield Note(row["_id"], row["text"], row["age"], row["sex"])


def read_texts(path: Path, count: int) -> list[str]:
    """The texts of the first `count` queries."""
    return [note.text for note in read_notes(path, count)]


@dataclass(frozen=True)
class TokenStore:
    """A tokenised corpus. `numbers[offsets[i]:offsets[i + 1]]` are the tokens of note i."""

    numbers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vocabulary: list[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def documents(self) -> Iterator[list[str]]:
        """The tokens of each note; equal tokens are one object."""
        words = self.vocabulary
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield [words[number] for number in self.numbers[start:end].tolist()]

    @classmethod
    def open(cls, folder: Path) -> "TokenStore":
        """What `write_tokens` wrote; the tokens stay on disk until they are read."""
        return cls(
            np.load(folder / "numbers.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n"),
        )


def write_tokens(corpus: Path, size: int, words: Words, folder: Path) -> dict[str, Any]:
    """Tokenises the corpus into `folder` and tells how much there is."""
    vocabulary: dict[str, int] = {}
    numbers, offsets = array("i"), array("q", [0])
    for note in read_notes(corpus, size):
        numbers.extend([vocabulary.setdefault(w, len(vocabulary)) for w in words(note.text)])
        offsets.append(len(numbers))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "numbers.npy", np.frombuffer(numbers, dtype=np.int32))
    np.save(folder / "offsets.npy", np.frombuffer(offsets, dtype=np.int64))
    (folder / "vocabulary.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    return {"notes": len(offsets) - 1, "tokens": len(numbers), "terms": len(vocabulary)}


def write_queries(source: Path, count: int, words: Words, tokens: Path, into: Path) -> int:
    """Copies queries that hold at least one term of the corpus; the number that remain.

    bm25s and rank-bm25 have no answer for a query without any.
    """
    known = set(TokenStore.open(tokens).vocabulary)
    kept = [note for note in read_notes(source, count) if not known.isdisjoint(words(note.text))]
    rows = ({"_id": n.note_id, "text": n.text, "age": n.age, "sex": n.sex} for n in kept)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    into.write_text(text, encoding="utf-8")
    return len(kept)
