"""Characters beyond ASCII: one form for all spellings of a word, and words with their marks.

`fold` gives texts that Unicode holds equivalent one form: composed and decomposed letters, micro
sign and mu, ligatures, full-width letters, presentation forms, capitals. It is NFKC with case
folding (Unicode Standard Annex 15), with these differences:

* decimal digits of every script become those of ASCII;
* a fraction is parted from the number before it (5½ is 5 1/2), trade mark signs part words;
* the Turkish capital İ becomes i, without a dot above of its own;
* of marks in a row the first 30 count (the limit of Annex 15's stream-safe format), so that the
  time stays linear in the text.

Characters without a width (soft hyphens, joiners, marks of direction) are removed.
"""

import re
from collections.abc import Iterator
from functools import cache
from unicodedata import category, decimal, normalize

MAX_MARKS = 30

# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# Scripts in which a character is a morpheme, so that it is a word of its own too: Han and Hangul.
_MORPHEMES = (
    "\u1100-\u11ff\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3131-\u318e\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U000323af"
)
_MORPHEME = re.compile(f"[{_MORPHEMES}]")
# Other scripts without blanks between words: kana, bopomofo, and those of south-east Asia that
# Unicode's LineBreak.txt calls SA (Thai, Lao, Myanmar, Khmer, Tai, Ahom).
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3031-\u3035\u303c"
    "\u3040-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\ua9e0-\ua9ff\uaa60-\uaadf"
    "\U00011700-\U0001174f\U0001aff0-\U0001b16f"
)
# Letters that become marks or the later letters of a Hangul syllable.
_JOINING = "\u0e33\u0eb3\u1160-\u11ff\u3131-\u318e\ud7b0-\ud7ff\uff9e-\uffdc"
_FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅟↉"


def fold(text: str) -> str:
    """The form that a text shares with its equivalents, in lower case; ASCII is only lowered."""
    if text.isascii():
        return text.lower()
    # Nothing joins over a blank, and most parts of a note are ASCII: lower case is enough there.
    parts = text.split(" ")
    return " ".join([part.lower() if part.isascii() else _fold_part(part) for part in parts])


def _fold_part(part: str) -> str:
    decomposed = normalize("NFKD", _prepare(part)).casefold().replace("i\u0307", "i")
    return normalize("NFKC", decomposed)


def compose(text: str) -> str:
    """A text in NFKC without characters that have no width; its case is kept."""
    return text if text.isascii() else normalize("NFKC", _prepare(text))


def has_unspaced_script(text: str) -> bool:
    """Whether a text holds letters of a script without blanks between words."""
    return not text.isascii() and _unit().search(text) is not None


def folded_words(folded: str, *, single: bool = False) -> Iterator[tuple[int, int, str]]:
    """(start, end, word) of each word of a folded text, in order.

    A word is a run of letters, digits, `_` and their marks. Scripts without blanks become
    overlapping pairs of characters (with their marks); with `single` the characters of Han and
    Hangul are words of their own too. A character that stands alone always is.
    """
    for match in _word_or_run().finditer(folded):
        if match.lastgroup is None:
            yield match.start(), match.end(), match.group()
        else:
            yield from _pairs(folded, match.start(), match.end(), single=single)


def folded_pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, folded) of the pieces of a text that fold independently of each other.

    Pieces are characters with what belongs to them: marks, letters of a Hangul syllable.
    Characters without a width at the end of a piece lie outside it.
    """
    fold_piece = cache(fold)
    for match in _piece().finditer(text):
        visible = match.group().rstrip(_ignorable())
        yield match.start(), match.start() + len(visible), fold_piece(match.group())


@cache
def word_pattern() -> re.Pattern[str]:
    """Matches the words of a text as written: with marks and characters without a width."""
    return re.compile(f"\\w[\\w{extending_class()}]*")


@cache
def context_pattern() -> re.Pattern[str]:
    """Matches what joins with its neighbours, and letters of scripts without blanks."""
    return re.compile(f"[{extending_class()}{_letters_without_blanks()}]")


@cache
def extending_class() -> str:
    """Characters that fold together with the one before them, as the inside of a regex class."""
    return _marks() + _JOINING + _IGNORABLE


def _prepare(text: str) -> str:
    """A text before normalisation: digits of ASCII, nothing hidden, no long runs of marks."""
    prepared = text.translate(_replacements())
    if len(prepared) <= MAX_MARKS:
        return prepared
    return _long_run_of_marks().sub(r"\1", prepared)


def _pairs(folded: str, start: int, end: int, *, single: bool) -> Iterator[tuple[int, int, str]]:
    places = [match.span() for match in _unit().finditer(folded, start, end)]
    for i, (first, last) in enumerate(places):
        if len(places) == 1 or (single and _MORPHEME.match(folded, first)):
            yield first, last, folded[first:last]
        if i + 1 < len(places):
            yield first, places[i + 1][1], folded[first : places[i + 1][1]]


@cache
def _replacements() -> dict[int, str | None]:
    """What `fold` replaces before it normalises, for str.translate."""
    replacements: dict[int, str | None] = {ord(sign): " " for sign in "™℠"}
    replacements |= {ord(sign): f" {sign}" for sign in _FRACTIONS}
    digits = (c for c in _scripts() if c.isdecimal() and category(c) == "Nd")
    replacements |= {ord(c): str(decimal(c)) for c in digits}
    return replacements | dict.fromkeys(map(ord, _ignorable()))


@cache
def _scripts() -> str:
    """The characters of the first two planes, without the large blocks of ideographs and signs."""
    blocks = ((0, 0x3400), (0xA000, 0xAC00), (0xD7B0, 0xD800), (0xF900, 0x12000))
    astral = ((0x16800, 0x17000), (0x1AFF0, 0x1B170), (0x1BC00, 0x1F000), (0x1FBF0, 0x1FC00))
    return "".join(chr(code) for block in blocks + astral for code in range(*block))


@cache
def _ignorable() -> str:
    """All characters without a width."""
    tags = "".join(map(chr, range(0xE0000, 0xE1000)))
    return "".join(re.findall(f"[{_IGNORABLE}]", _scripts())) + tags


@cache
def _marks() -> str:
    """All marks (category M), as the inside of a character class."""
    marks = [c for c in _scripts() if not c.isalnum() and category(c).startswith("M")]
    return _class_of("".join(marks)) + "\U000e0100-\U000e01ef"


@cache
def _letters_without_blanks() -> str:
    """The letters of the scripts without blanks: marks and punctuation lie in their blocks too."""
    blocks = re.findall(f"[{_UNSPACED}]", _scripts())
    return _MORPHEMES + _class_of("".join(c for c in blocks if c.isalnum()))


def _class_of(characters: str) -> str:
    """Characters in ascending order as ranges of a character class."""
    ends = [
        i for i in range(1, len(characters)) if ord(characters[i]) != ord(characters[i - 1]) + 1
    ]
    bounds = zip([0, *ends], [*ends, len(characters)], strict=True)
    return "".join(f"{characters[i]}-{characters[j - 1]}" for i, j in bounds)


@cache
def _long_run_of_marks() -> re.Pattern[str]:
    return re.compile(f"([{_marks()}]{{{MAX_MARKS}}})[{_marks()}]+")


@cache
def _unit() -> re.Pattern[str]:
    """A character of a script without blanks, with its marks."""
    return re.compile(f"[{_letters_without_blanks()}][{_marks()}]*")


@cache
def _word_or_run() -> re.Pattern[str]:
    """A word, or a run of a script without blanks, which is the group `run`."""
    letters, marks = _letters_without_blanks(), _marks()
    return re.compile(
        f"(?P<run>(?:[{letters}][{marks}]*)+)|[^\\W{letters}](?:[^\\W{letters}]|[{marks}])*"
    )


@cache
def _piece() -> re.Pattern[str]:
    return re.compile(f".[{extending_class()}]*", re.DOTALL)
