"""Text analysis: Unicode words in lower case, with optional stop words and stemming."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from patientdx.errors import InputError

WORD = re.compile(r"\w+")
STEMMERS = ("none", "porter", "english")
STOPWORDS = ("none", "english")


@dataclass(frozen=True)
class AnalysisSettings:
    """How an index turns text into terms.

    `stopwords` is "none", "english" (the Snowball list) or "file"; in the last case `words` holds
    the words of the file, so that the index does not depend on it. `stemmer` is "none", "porter"
    or "english" (both Snowball, by PyStemmer).
    """

    stopwords: str = "english"
    stemmer: str = "english"
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stemmer not in STEMMERS:
            raise InputError(f"unknown stemmer `{self.stemmer}`", hint=f"one of {STEMMERS}")
        if self.stopwords not in (*STOPWORDS, "file"):
            raise InputError(f"unknown stop list `{self.stopwords}`", hint=f"one of {STOPWORDS}")

    def to_json(self) -> dict[str, Any]:
        """The settings as stored in the manifest."""
        return {"stopwords": self.stopwords, "stemmer": self.stemmer, "words": list(self.words)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AnalysisSettings":
        """The inverse of `to_json`."""
        return cls(data["stopwords"], data["stemmer"], tuple(data["words"]))

    @classmethod
    def from_options(cls, stopwords: str, stemmer: str) -> "AnalysisSettings":
        """Settings from the command line, where `stopwords` may name a file of words."""
        if stopwords in STOPWORDS:
            return cls(stopwords, stemmer)
        return cls("file", stemmer, read_stopwords(Path(stopwords)))

    def stop_set(self) -> frozenset[str]:
        """The stop words, in lower case."""
        if self.stopwords == "none":
            return frozenset()
        if self.stopwords == "file":
            return frozenset(self.words)
        package = __package__ or "indexer"
        text = files(package).joinpath("stopwords/english.txt").read_text(encoding="utf-8")
        return frozenset(text.split())


def read_stopwords(path: Path) -> tuple[str, ...]:
    """The words of a stop list file, in lower case and sorted.

    Words are separated by white space; `#` starts a comment. Raises InputError.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"{path}: the stop list cannot be read ({reason})",
            hint="give `none`, `english`, or a UTF-8 file of words",
        ) from None
    words = {w for line in lines for w in WORD.findall(line.partition("#")[0].lower())}
    if not words:
        raise InputError(f"{path}: the stop list holds no words")
    return tuple(sorted(words))


class Analyzer:
    """Turns texts into terms; caches the term of each distinct word."""

    def __init__(self, settings: AnalysisSettings) -> None:
        self.settings = settings
        self._stop = settings.stop_set()
        self._stem = _stemmer(settings.stemmer)
        self._term_of_word: dict[str, str | None] = {}

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order, without stop words."""
        cache = self._term_of_word
        terms = []
        for word in WORD.findall(text.lower()):
            term = cache[word] if word in cache else self.term(word)
            if term is not None:
                terms.append(term)
        return terms

    def term(self, word: str) -> str | None:
        """The term of a lower-case word; None for a stop word."""
        term = None if word in self._stop else self._stem(word)
        self._term_of_word[word] = term
        return term

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, term) of each indexed word of a text, for highlighting.

        Words are matched in the original text: where lower-casing changes the number of
        characters, a word may be missed but is never misplaced.
        """
        spans = []
        for match in WORD.finditer(text):
            terms = self.terms(match.group())
            spans += [(match.start(), match.end(), term) for term in terms[:1]]
        return spans


def _stemmer(name: str) -> Any:
    if name == "none":
        return str
    import Stemmer

    return Stemmer.Stemmer(name).stemWord
