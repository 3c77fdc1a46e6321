"""Words of normalised texts, character by character, written without a look at the product."""

import unicodedata
from functools import cache

FRACTION = "\u2044"
UNSPACED = (
    *("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING"),
    *("IDEOGRAPHIC NUMBER ZERO", "VERTICAL IDEOGRAPHIC", "HANGZHOU", "HANGUL"),
    *("HIRAGANA", "KATAKANA", "HENTAIGANA", "VERTICAL KANA", "BOPOMOFO", "MASU"),
    *("THAI", "LAO", "MYANMAR", "KHMER", "TAI LE", "NEW TAI LUE", "TAI THAM", "TAI VIET", "AHOM"),
)
MORPHEMES = UNSPACED[:8]
VISIBLE_FORMATS = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
VISIBLE_FORMATS |= {*range(0xFFF9, 0xFFFC), *range(0x13430, 0x13440)}
HIDDEN = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0x3164}
HIDDEN |= {*range(0xFE00, 0xFE10), 0xFFA0, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)}


def is_hidden(character: str) -> bool:
    """Default_Ignorable_Code_Point: formats that are not shown, fillers, variation selectors."""
    code = ord(character)
    if code in HIDDEN:
        return True
    return unicodedata.category(character) == "Cf" and code not in VISIBLE_FORMATS


def is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


@cache
def is_of(character: str, scripts: tuple[str, ...]) -> bool:
    name = unicodedata.name(character, "")
    return character.isalnum() and name.startswith(scripts)


def replaced(character: str) -> str:
    if is_hidden(character):
        return ""
    if character in "\u2122\u2120":
        return " "
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    is_fraction = FRACTION in unicodedata.normalize("NFKC", character) and character != FRACTION
    return f" {character}" if is_fraction else character


def normalized(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in "".join(map(replaced, text)):
        marks = marks + 1 if is_mark(character) else 0
        if marks <= 30:
            kept.append(character)
    lower = unicodedata.normalize("NFKD", "".join(kept)).casefold()
    return unicodedata.normalize("NFKC", lower.replace("i\u0307", "i"))


def normalized_words(text: str, *, query: bool) -> list[str]:
    """Words with their marks; pairs in scripts without blanks, single morphemes too in notes."""
    words: list[str] = []
    run: list[str] = []
    word = ""
    for character in [*normalized(text), " "]:
        if is_mark(character) and (run or word):
            if run:
                run[-1] += character
            else:
                word += character
            continue
        unspaced = is_of(character, UNSPACED)
        if not unspaced:
            words += pairs(run, query=query)
            run = []
        if unspaced or not (character.isalnum() or character == "_"):
            words += [word] if word else []
            word = ""
        if unspaced:
            run.append(character)
        elif character.isalnum() or character == "_":
            word += character
    return words


def pairs(run: list[str], *, query: bool) -> list[str]:
    words: list[str] = []
    for i, unit in enumerate(run):
        if len(run) == 1 or (not query and is_of(unit[0], MORPHEMES)):
            words.append(unit)
        words += ["".join(run[i : i + 2])] if i + 1 < len(run) else []
    return words
