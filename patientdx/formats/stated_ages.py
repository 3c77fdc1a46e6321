"""The patient's age as a note states it, exactly or as a range ("in his 60s", "over 90")."""

import re
from typing import NamedTuple

from .people import CHILDREN, F_NOUN, M_NOUN, OTHERS, RELATIVE
from .values import OLDEST, YEARS_IN, Age, possible_age

_HEAD = 1_000  # characters
_SHORT_HEAD = 400  # characters; rarer forms of an age stand early or not at all
_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {
    **{word: number for number, word in enumerate(_ONES + _TEENS, 1)},
    **{word: 10 * number for number, word in enumerate(_TENS, 2)},
}
_D = r"[\s\-‐‑‒–—]"  # what stands between the words of "44-year-old"
_S = rf"{_D}{{0,3}}"
_SPOKEN = (
    rf"\b(?:(?:{'|'.join(_TENS)})(?:{_D}?(?:{'|'.join(_ONES)}))?"
    rf"|{'|'.join(reversed(_ONES + _TEENS))})\b"
)
_N = rf"(?:(?<![\d.,])\d{{1,3}}(?:\.\d)?|{_SPOKEN})"
_UNIT = r"(?:years?|yrs?\.?|y|months?|mos?|weeks?|wks?|days?|hours?|h)"
_SIMPLE_NOUN = r"(?:(?:fe)?male|(?:wo)?man|boy|girl|lady|gentleman|[fm])"
_OLD = re.compile(
    rf"(?P<n>{_N})(?P<half>½|\s1/2|{_S}and{_D}+(?:a{_D}+)?half)?(?P<plus>\+)?{_S}"
    rf"(?:y\.?\s?/?o\b\.?|(?P<unit>{_UNIT})"
    rf"(?:[\s,\-–]{{0,3}}(?:and\b)?{_S}(?P<n2>{_N}){_S}(?P<unit2>{_UNIT}|m\b))?"
    rf"(?:{_S}(?:old\b|of{_D}+age\b)|(?={_S}/?\s*{_SIMPLE_NOUN}\b)))"
)
_DECADES = ["", "", "twenties", "thirties", "forties", "fifties", "sixties", "seventies"]
_DECADES += ["eighties", "nineties"]
_HEADER_AGE = re.compile(
    rf"\b(?:age|alter)(?:\s?/\s?(?:sex|gender))?\s*[:=]\s*(?P<over>>)?\s?"
    rf"(?P<n>\d{{1,3}}(?:\.\d)?)(?!\d|[./]\d)(?P<plus>\+)?(?:{_S}(?P<unit>{_UNIT})\b)?"
)
# (pattern, one of the words that it always contains, number of characters searched)
_AGES = (
    (_HEADER_AGE, (":", "="), _SHORT_HEAD),
    (
        re.compile(
            r"\b(?:sex|gender)\s?/\s?age\s*[:=]\s*(?:f|m|female|male)\s?[/,\s]\s?(?P<n>\d{1,3})\b"
        ),
        ("/age", "/ age"),
        _SHORT_HEAD,
    ),
    (re.compile(r"\[\*\*\s?age (?P<plus>over) (?P<n>\d{2})\s?\*\*\]"), ("age over",), _HEAD),
    (_OLD, (), _HEAD),
    (
        re.compile(
            rf"\baged:?\s+(?P<n>{_N})(?![\d.]|{_S}(?:to|and)?{_S}\d)(?:{_S}(?P<unit>{_UNIT}))?\b"
        ),
        ("aged",),
        _SHORT_HEAD,
    ),
    (re.compile(r"^\W*(?P<n>\d{1,3})\s?(?=/?\s?[fm]\b(?!['’./]))"), (), _SHORT_HEAD),
    (re.compile(r"^\W*[fm]\s?[/,]\s?(?P<n>\d{1,3})(?![\d/.%])"), (), _SHORT_HEAD),
    (re.compile(r"\bage\s(?P<n>\d{1,3}),?\s(?=sex|gender)"), ("age ",), _SHORT_HEAD),
    (
        re.compile(
            rf"\b(?:{F_NOUN}|{M_NOUN}|patient)[,:]? (?P<n>\d{{1,3}})\s?(?:years?|yrs?|y)"
            rf"(?=[,;.)]|\s(?:who|with|was|presented|had|has|came)\b|$)"
        ),
        ("year", "yr", " y", *(f"{digit}y" for digit in range(10))),
        _SHORT_HEAD,
    ),
    (
        re.compile(r"(?P<n>(?<![\d.,])\d{1,3})\s?(?:years?|yrs?|y),\s?(?=(?:fe)?male\b)"),
        (", male", ", female", ",male", ",female"),
        _SHORT_HEAD,
    ),
    (
        re.compile(
            rf"\b(?:{F_NOUN}|{M_NOUN}|patient)(?: of |, )(?P<n>\d{{1,3}})"
            rf"(?=[,;.)]?(?:\s(?:who|with|was|presented|had|has|came)\b|$)|,\s|\.\s|;)"
        ),
        (),
        _SHORT_HEAD,
    ),
    (re.compile(r"^(?:an? |the )?[a-z][a-z \-]{2,60}, (?P<n>\d{1,3})(?=, )"), (), _SHORT_HEAD),
    (
        re.compile(
            rf"\b(?:{F_NOUN}|{M_NOUN}|patient|person|individual|adult|s?he(?=\sis\s))[\s,(]*(?:who\s)?(?:is|was)?"
            rf"[\s,(]*in\s(?:his|her|their|the)\s(?:(?:very\s)?(?:early|mid|middle|late)[\s\-]*)?"
            rf"(?:(?P<tens>[1-9])0['’]?s|(?P<decade>{'|'.join(filter(None, _DECADES))}))\b"
        ),
        ("in his ", "in her ", "in their ", "in the "),
        _SHORT_HEAD,
    ),
)
_OPENINGS = frozenset({"", "a ", "an ", "the ", "this "})
_MORE_THAN = re.compile(r"(?:>|\b(?:over|above|older\sthan|more\sthan))\s?$")
_NOT_A_PATIENTS = re.compile(
    r"(?:\b(?:gestational|maternal|paternal|bone|donor|recipient|mental|fo?etal|mean|median"
    r"|menstrual|corrected|developmental|mother|father)\s?|(?<!patient)['’]s\s?)$"
)
_A_RELATIVE = re.compile(rf"\b(?!(?:mother|father){CHILDREN}){RELATIVE}\b")
_ANOTHER_TIME = re.compile(
    r"(?:\b(?:at|since|until|till|before|after|by|from|around)"
    r"(?:\s(?:the\sage\sof|age|an\sage\sof|about|approximately))?"
    r"|\b(?:when|while|since|until|after|before|as)\s(?:s?he|the\spatient|they)\s(?:was|is|were)(?:\s(?:about|only))?"
    r"|\d\s?(?:to|or|and)\s|\d[\-–](?:to[\-–]|to\s|\sto\s)?)\s?$"
)
_SEVERAL = re.compile(r"\b(?:mean|median|average|range[ds]?)(?:\s\w+){0,3}\s?$")
_SOMETHING_ELSE = re.compile(
    rf"[\s,\-]*(?:(?!(?:with|and|whose|his|her|patient|(?:wo)?man|girl|boy|lady)\b)[\w\-]+\s){{0,2}}"
    rf"(?:(?!(?:mother|father){CHILDREN}){RELATIVE}\b"
    r"|(?<!male\s)(?:scar|fracture|wound|infarct|implant|prosthesis|thrombus)\b(?!\s(?:patient|victim)))"
)


class StatedAge(NamedTuple):
    """The patient's age in a note, and the characters that state it."""

    age: Age
    start: int
    end: int


def find_age(head: str) -> StatedAge | None:
    """The patient's age in the lowercase beginning of a note; None without a clear one."""
    for pattern, words, end in _AGES:
        if words and not any(word in head for word in words):
            continue
        for match in pattern.finditer(head, 0, end):
            before = head[max(0, match.start() - 70) : match.start()]
            if _ANOTHER_TIME.search(before):
                continue
            if pattern is _HEADER_AGE and _NOT_A_PATIENTS.search(before):
                continue
            # Past a relative's age, the next one may be a relative's as well.
            if not _is_patients(before) or _SOMETHING_ELSE.match(head, match.end()):
                return None
            if _A_RELATIVE.search(head, match.start(), match.end()):
                return None
            age = _age(match.groupdict(), more=_MORE_THAN.search(before) is not None)
            if age is not None:
                return StatedAge(age, match.start(), match.end())
    return None


def _is_patients(before: str) -> bool:
    """False when the words before an age refer it to another person or a group."""
    return before in _OPENINGS or not (OTHERS.search(before) or _SEVERAL.search(before))


def _age(parts: dict[str, str | None], *, more: bool) -> Age | None:
    """The age by the groups of a pattern; `more` says that it is over the number."""
    if parts.get("tens") or parts.get("decade"):
        decade = int(parts.get("tens") or _DECADES.index(parts["decade"] or ""))
        return Age(10.0 * decade, 10.0 * decade + 9)
    years = possible_age(_years(parts))
    if years is None:
        return None
    if more or parts.get("over"):
        return Age(years + 1, OLDEST) if years < OLDEST else None
    return Age(years, OLDEST) if parts.get("plus") else Age(years)


def _years(parts: dict[str, str | None]) -> float:
    years = 0.0
    for number, unit in (("n", "unit"), ("n2", "unit2")):
        value = parts.get(number)
        if value:
            half = 0.5 if number == "n" and parts.get("half") else 0.0
            years += (_number(value) + half) * YEARS_IN[(parts.get(unit) or "y")[0]]
    return years


def _number(text: str) -> float:
    if text[0].isdigit():
        return float(text)
    return float(sum(_WORDS[word] for word in _WORD.findall(text)))


_WORD = re.compile(r"|".join(sorted(_WORDS, key=len, reverse=True)))
