"""Text analysis: Unicode words in lower case, with optional stop words and stemming."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patientdx.characters import fold, folded_pieces, folded_words, word_pattern
from patientdx.errors import InputError

from .languages import default_stop_list, english_stop_words, stemmer_names, stop_list
from .spelling import SPELLINGS, american_spellings, speller

WORD = re.compile(r"\w+")
_CHUNK = re.compile(r"\S+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f\s]\S*")
STEMMERS = ("none", "porter", "english")
STOPWORDS = ("none", "english")
NORMALIZATIONS = ("none", "nfkc")


@dataclass(frozen=True)
class AnalysisSettings:
    """How an index turns text into terms.

    `stopwords` is "none", "english" (the Snowball list), "file", or another language of the package
    `stop-words` (the extra `languages`). For a file or another language `words` holds the words, so
    that the index depends on neither. `stemmer` is "none" or an algorithm of Snowball by PyStemmer
    ("porter", "english", "french" ...). `normalization` is "nfkc" (see
    `patientdx.characters`) or "none": letters and digits as written, but in lower case, as in
    indexes that were made before there was a choice. `spelling` is "none" or "american": British
    words have their American spelling before they are stemmed (see `indexer.spelling`), by the
    pairs in `spellings`, which are stored for the same reason as `words`.
    """

    stopwords: str = "english"
    stemmer: str = "english"
    words: tuple[str, ...] = ()
    normalization: str = "nfkc"
    spelling: str = "none"
    spellings: str = ""

    def __post_init__(self) -> None:
        if self.stemmer not in STEMMERS and self.stemmer not in stemmer_names():
            names = ", ".join(stemmer_names())
            raise InputError(f"unknown stemmer `{self.stemmer}`", hint=f"one of {names}")
        if self.stopwords not in (*STOPWORDS, "file") and not self.words:
            object.__setattr__(self, "words", stop_list(self.stopwords))
        if self.normalization not in NORMALIZATIONS:
            raise InputError(
                f"unknown normalization `{self.normalization}`", hint=f"one of {NORMALIZATIONS}"
            )
        if self.spelling not in SPELLINGS:
            raise InputError(f"unknown spelling `{self.spelling}`", hint="none or american")
        if self.spelling == "american" and not self.spellings:
            object.__setattr__(self, "spellings", american_spellings())

    def to_json(self) -> dict[str, Any]:
        """The settings as stored in the manifest.

        Without normalization the key is left out, as in manifests that were written before it; so
        are the keys of the spelling.
        """
        data = {"stopwords": self.stopwords, "stemmer": self.stemmer, "words": list(self.words)}
        chosen = {"normalization": self.normalization} if self.normalization != "none" else {}
        if self.spelling != "none":
            chosen |= {"spelling": self.spelling, "spellings": self.spellings}
        return data | chosen

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AnalysisSettings":
        """The inverse of `to_json`. Raises ValueError for a list without its words or pairs."""
        stopwords, words = data["stopwords"], tuple(data["words"])
        if stopwords not in (*STOPWORDS, "file") and not words:
            raise ValueError("the words of the stop list are missing")
        normalization = data.get("normalization", "none")
        spelling, spellings = data.get("spelling", "none"), data.get("spellings", "")
        if (spelling == "none") != (spellings == ""):
            raise ValueError("a spelling without its list, or a list without its spelling")
        speller(spellings)  # which refuses an odd list
        return cls(stopwords, data["stemmer"], words, normalization, spelling, spellings)

    @classmethod
    def from_options(
        cls,
        stopwords: str | None,
        stemmer: str,
        normalization: str = "nfkc",
        spelling: str = "none",
    ) -> "AnalysisSettings":
        """Settings from the command line, where `stopwords` may name a file of words.

        None stands for the list of the stemmer's language.
        """
        if stopwords is None:
            stopwords = default_stop_list(stemmer)
        is_name = stopwords.isalpha() and not Path(stopwords).exists()
        if stopwords in STOPWORDS or is_name:
            return cls(stopwords, stemmer, normalization=normalization, spelling=spelling)
        words = read_stopwords(Path(stopwords))
        return cls("file", stemmer, words, normalization, spelling)

    def stop_set(self) -> frozenset[str]:
        """The stop words, in lower case."""
        return frozenset(english_stop_words() if self.stopwords == "english" else self.words)


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
            hint="give `none`, a language such as `english`, or a UTF-8 file of words",
        ) from None
    pattern = word_pattern()
    words = {w for line in lines for w in pattern.findall(line.partition("#")[0].lower())}
    if not words:
        raise InputError(f"{path}: the stop list holds no words")
    return tuple(sorted(words))


class Analyzer:
    """Turns texts into terms; caches the term of each distinct word."""

    def __init__(self, settings: AnalysisSettings) -> None:
        self.settings = settings
        self.normalizes = settings.normalization != "none"
        self._stop = frozenset(map(self.normalize, settings.stop_set()))
        self._spell = speller(settings.spellings)
        self._stem = _stemmer(settings.stemmer)
        self._term_of_word: dict[str, str | None] = {}

    def terms(self, text: str) -> list[str]:
        """The terms of a note, in order, without stop words."""
        return self._terms_of(self.words(text))

    def query_terms(self, text: str) -> list[str]:
        """The terms of a query, which are among those of a note with the same text.

        They differ in scripts without blanks only: notes hold pairs of characters and single
        characters, queries ask for the pairs, and for a character that stands alone.
        """
        return self._terms_of(self.query_words(text))

    def words(self, text: str) -> list[str]:
        """The words of a note in lower case, with stop words, not stemmed."""
        return self._words(text, single=True)

    def query_words(self, text: str) -> list[str]:
        """The words of a query in lower case, with stop words, not stemmed."""
        return self._words(text, single=False)

    def normalize(self, text: str) -> str:
        """A text in lower case and in the form that its equivalents share."""
        return fold(text) if self.normalizes else text.lower()

    def term(self, word: str) -> str | None:
        """The term of a lower-case word; None for a stop word."""
        term = None if word in self._stop else self._stem(self._spell(word))
        self._term_of_word[word] = term
        return term

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """(start, end, term) of each indexed word of a text as given, for highlighting.

        Without normalization words are matched in the original text: where lower-casing changes
        the number of characters, a word may be missed but is never misplaced.
        """
        spans = []
        for start, end, word in self._places(text):
            spans += [(start, end, term) for term in self._terms_of(self._parts(word))[:1]]
        return spans

    def _places(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, word) of each word of a text as given, the word in lower case."""
        if text.isascii() or not self.normalizes:
            yield from _plain_places(text)
            return
        for match in _CHUNK.finditer(text):
            chunk = match.group()
            places = _plain_places(chunk) if chunk.isascii() else _folded_places(chunk)
            for start, end, word in places:
                yield match.start() + start, match.start() + end, word

    def _parts(self, word: str) -> list[str]:
        """The words in a word of the original text, which lower-casing may part."""
        return [word] if self.normalizes else WORD.findall(word)

    def _words(self, text: str, *, single: bool) -> list[str]:
        if text.isascii() or not self.normalizes:
            return WORD.findall(text.lower())
        # Texts without blanks fold independently, and most of a note is ASCII: only the others
        # take the slow path, by which queries would take several times as long.
        words: list[str] = []
        at = 0
        for match in _BEYOND_ASCII.finditer(text):
            start, end = match.span()
            while start > at and not text[start - 1].isspace():
                start -= 1
            words += WORD.findall(text[at:start].lower())
            words += [word for _, _, word in folded_words(fold(text[start:end]), single=single)]
            at = end
        return words + WORD.findall(text[at:].lower())

    def _terms_of(self, words: Iterable[str]) -> list[str]:
        cache = self._term_of_word
        terms = []
        for word in words:
            term = cache[word] if word in cache else self.term(word)
            if term is not None:
                terms.append(term)
        return terms


def _plain_places(text: str) -> Iterator[tuple[int, int, str]]:
    return ((match.start(), match.end(), match.group().lower()) for match in WORD.finditer(text))


def _folded_places(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, word) of each folded word of a text without blanks, with its place there."""
    starts: list[int] = []
    ends: list[int] = []
    parts: list[str] = []
    for start, end, folded in folded_pieces(text):
        parts.append(folded)
        starts += [start] * len(folded)
        ends += [end] * len(folded)
    for first, last, word in folded_words("".join(parts), single=True):
        yield starts[first], ends[last - 1], word


def _stemmer(name: str) -> Any:
    if name == "none":
        return str
    import Stemmer

    return Stemmer.Stemmer(name).stemWord
