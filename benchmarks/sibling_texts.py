"""The two subjects of the siblings: word problems of GSM8K and case reports of E3C.

Training and held-out texts never overlap: GSM8K has its own test part; of E3C's reports every
`HELD_OUT_EVERY`-th by the sha256 of its text is held out, so that equal reports fall together.
"""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from patientdx.formats import read_patients

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SUBJECTS = ("math", "medical")
HELD_OUT_EVERY = 20
_CALCULATION = re.compile(r"<<[^>]*>>")  # GSM8K's notes to a calculator


class Texts(NamedTuple):
    """Texts to learn from, and others to be judged by."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def texts(subject: str, data: Path = SHARED) -> Texts:
    """All texts of a subject, in the order of their files."""
    return {"math": _math, "medical": _medical}[subject](data)


def _math(data: Path) -> Texts:
    parts = (data / "gsm8k" / f"{part}.jsonl" for part in ("train", "test"))
    return Texts(*(tuple(_problems(path)) for path in parts))


def _problems(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            answer = _CALCULATION.sub("", row["answer"])
            yield f"Question: {row['question']}\nAnswer: {answer}"


def _medical(data: Path) -> Texts:
    reports = dict.fromkeys(patient.text for patient in read_patients(data / "e3c"))
    held_out = {text for text in reports if _is_held_out(text)}
    return Texts(
        tuple(text for text in reports if text not in held_out),
        tuple(text for text in reports if text in held_out),
    )


def _is_held_out(text: str) -> bool:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number % HELD_OUT_EVERY == 0


def chosen(some: Sequence[str], count: int, seed: int) -> list[str]:
    """A seeded choice of texts, in random order."""
    return random.Random(seed).sample(list(some), min(count, len(some)))


def shortened(some: Sequence[str], tokenizer: Any, tokens: int) -> list[str]:
    """Texts cut to their first tokens."""
    cut = tokenizer(list(some), truncation=True, max_length=tokens)["input_ids"]
    return [tokenizer.decode(row, skip_special_tokens=True) for row in cut]


def packed(some: Sequence[str], tokenizer: Any, length: int) -> list[list[int]]:
    """Texts one after another, each ended by the end-of-text token, cut into equal rows."""
    row: list[int] = []
    for tokens in tokenizer(list(some))["input_ids"]:
        row += [*tokens, tokenizer.eos_token_id]
    return [row[start : start + length] for start in range(0, len(row) - length + 1, length)]
