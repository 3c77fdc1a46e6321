"""A patient's age and sex from the text of the note.

Precision comes before recall: what the text does not state clearly of the patient is None. Only the
first 1,000 characters of a note are searched, where case reports introduce their patient.
"""

import re
from itertools import islice

from patientdx.records import Sex

from .values import YEARS_IN, possible_age

_HEAD = 1_000  # characters
_PRONOUN_HEAD = 600  # characters
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
_CHILDREN = r"(?=\sof\s(?:two|three|four|five|\d|an?\b))"
_F_NOUN = (
    r"(?:woman|girl|female|lady|schoolgirl|housewife|primigravida|primipara|multigravida"
    r"|multipara|nullipara|(?:multi|primi|nulli)(?:gravid|par)ous|gravida|pregnant|mrs"
    rf"|mother{_CHILDREN})"
)
_M_NOUN = rf"(?:man|boy|male|gentleman|schoolboy|businessman|fisherman|policeman|father{_CHILDREN})"
_SIMPLE_NOUN = r"(?:(?:fe)?male|(?:wo)?man|boy|girl|lady|gentleman|[fm])"
_RELATIVE = (
    r"(?:(?:grand|step)?-?(?:mother|father|son|daughter|parents?)|brother|sister|sibling|husband"
    r"|wife|spouse|partner|uncle|aunt|cousin|nephew|niece|donor|mom|mum|dad|boyfriend|girlfriend"
    r"|friend|colleague)"
)
_NOUN = re.compile(rf"\b(?:({_F_NOUN})|({_M_NOUN})|({_RELATIVE}))\b")

_OLD = re.compile(
    rf"(?P<n>{_N})(?P<half>½|\s1/2|{_S}and{_D}+(?:a{_D}+)?half)?{_S}"
    rf"(?:y\.?/?o\b\.?|(?P<unit>{_UNIT})"
    rf"(?:[\s,\-–]{{0,3}}(?:and\b)?{_S}(?P<n2>{_N}){_S}(?P<unit2>{_UNIT}))?"
    rf"(?:{_S}(?:old\b|of{_D}+age\b)|(?={_S}/?\s*{_SIMPLE_NOUN}\b)))"
)
# (pattern, a word that it always contains, number of characters searched)
_AGES = (
    (_OLD, "", _HEAD),
    (re.compile(r"\bage\s?[:=]\s?(?P<n>\d{1,3})\b"), "age", _SHORT_HEAD),
    (
        re.compile(
            rf"\baged:?\s+(?P<n>{_N})(?![\d.]|{_S}(?:to|and)?{_S}\d)(?:{_S}(?P<unit>{_UNIT}))?\b"
        ),
        "aged",
        _SHORT_HEAD,
    ),
    (re.compile(r"^\W*(?P<n>\d{1,3})\s?(?=[fm]\b(?!['’.]))"), "", _SHORT_HEAD),
    (
        re.compile(
            rf"\b(?:{_F_NOUN}|{_M_NOUN}|patient)(?: of |, )(?P<n>\d{{1,3}})"
            rf"(?=[,;.)]?(?:\s(?:who|with|was|presented|had|has|came)\b|$)|,\s|\.\s|;)"
        ),
        "",
        _SHORT_HEAD,
    ),
    (re.compile(r"^(?:an? |the )?[a-z][a-z \-]{2,60}, (?P<n>\d{1,3})(?=, )"), "", _SHORT_HEAD),
)
_OPENINGS = frozenset({"", "a ", "an ", "the ", "this "})
_NEWBORN = re.compile(
    r"^[^.]{0,80}?\b(?:an?|this|our|the)\s(?:[\w\-]+\s){0,4}(?:newborn|neonate)\b(?!\sscreen)"
)
_GIVES_BIRTH = re.compile(r"\b(?:deliver\w*|birth|bore|mother)\b")

# Words before an age or a noun that refer it to another person or another time.
_OTHERS = re.compile(
    rf"(?:\b(?:born(?:\s\w+){{0,3}}\s(?:to|of)|deliver(?:ed|y)\s(?:by|to|from|of)|birth\sto|married\sto"
    rf"|(?:son|daughter|baby|infant|neonate|newborn|fetus|foetus|child|twins?|{_RELATIVE})"
    rf"\s(?:of|to|from))\s(?:an?\s|the\s|her\s|his\s)?(?:[\w\-]+,?\s){{0,4}}"
    rf"|(?:\b(?:his|her|their|whose|the|my)|['’]s|s['’])\s(?:[\w\-]+\s){{0,2}}{_RELATIVE}"
    rf"(?:\s(?:was|is|who|aged)|,|\s\()*\s?(?:an?\s)?(?:[\w\-]+,?\s){{0,3}})$"
)
_ANOTHER_TIME = re.compile(
    r"(?:\b(?:at|since|until|till|before|after|by|from|around)"
    r"(?:\s(?:the\sage\sof|age|an\sage\sof|about|approximately))?"
    r"|\b(?:when|while|since|until|after|before|as)\s(?:s?he|the\spatient|they)\s(?:was|is|were)(?:\s(?:about|only))?"
    r"|\d\s?(?:to|or|and)\s|\d[\-–](?:to[\-–]|to\s|\sto\s)?)\s?$"
)
_SEVERAL = re.compile(r"\b(?:mean|median|average|range[ds]?)(?:\s\w+){0,3}\s?$")
_SOMETHING_ELSE = re.compile(
    rf"[\s,\-]*(?:(?!(?:with|and|whose|his|her|patient|(?:wo)?man|girl|boy|lady)\b)[\w\-]+\s){{0,2}}"
    rf"(?:(?!(?:mother|father){_CHILDREN}){_RELATIVE}\b"
    r"|(?<!male\s)(?:scar|fracture|wound|infarct|implant|prosthesis|thrombus)\b(?!\s(?:patient|victim)))"
)
_NO_PERSON = re.compile(
    r"[\s\-](?:pattern|karyotype|genital|phenotyp|partner|donor|sibling|relative|infertil|factor"
    r"|fetus|foetus|nurse|doctor|physician\swho|surgeon|to[\s\-](?:fe)?male|predomin"
    r"|(?:and|or)\s(?:fe)?male|and\s(?:wo)?man\b|colleague)|/(?:fe)?male"
)
_LINK = re.compile(
    rf"\b(?:({_F_NOUN})|({_M_NOUN}))(?:\s(?:patient|child|infant|baby|neonate))?"
    rf"[\s,(]*(?:who\s)?(?:was|is|of|aged)?[\s,(]*$"
)
_UNCLEAR = ("transgender", "male-to-female", "female-to-male")
_LETTER = re.compile(r"[\s,/\-]*([fm])\b(?!['’.])")
_PRONOUN = re.compile(r"\b(?:(she|her|hers|herself)|(he|his|him|himself))\b")
_SENTENCE_END = re.compile(r"[.;]\s")


def demographics_from_text(text: str) -> tuple[float | None, Sex | None]:
    """(age in years, sex) from the first 1,000 characters of a note; None for what is unclear.

    Ages and nouns of mothers, donors and other people are skipped, as are ages at an earlier time
    ("since the age of 5"). Without a noun the pronouns decide, if they agree.
    """
    head = text[:_HEAD].lower()
    age, start, end = _stated_age(head)
    if age is None and _is_newborn(head):
        age = 0.0
    if any(word in head for word in _UNCLEAR):
        return age, None
    sex = _sex_beside(head, start, end) if end else None
    return age, sex or _sex_of_nouns(head) or _sex_of_pronouns(head)


def _stated_age(head: str) -> tuple[float | None, int, int]:
    """The patient's age in years, and its start and end; (None, 0, 0) without one."""
    for pattern, needle, end in _AGES:
        if needle not in head:
            continue
        for match in pattern.finditer(head, 0, end):
            before = head[max(0, match.start() - 70) : match.start()]
            if _ANOTHER_TIME.search(before):
                continue
            # Past a relative's age, the next one may be a relative's as well.
            if not _is_patients(before) or _SOMETHING_ELSE.match(head, match.end()):
                return None, 0, 0
            years = _years(match.groupdict())
            if years is not None:
                return years, match.start(), match.end()
    return None, 0, 0


def _is_patients(before: str) -> bool:
    """False when the words before an age refer it to another person or a group."""
    return before in _OPENINGS or not (_OTHERS.search(before) or _SEVERAL.search(before))


def _years(parts: dict[str, str | None]) -> float | None:
    years = 0.0
    for number, unit in (("n", "unit"), ("n2", "unit2")):
        value = parts.get(number)
        if value:
            half = 0.5 if number == "n" and parts.get("half") else 0.0
            years += (_number(value) + half) * YEARS_IN[(parts.get(unit) or "y")[0]]
    return possible_age(years)


def _number(text: str) -> float:
    if text[0].isdigit():
        return float(text)
    return float(sum(_WORDS[word] for word in _WORD.findall(text)))


_WORD = re.compile(r"|".join(sorted(_WORDS, key=len, reverse=True)))


def _sex_beside(head: str, start: int, end: int) -> Sex | None:
    """The sex by the words around a stated age."""
    before = _LINK.search(head, max(0, start - 60), start)
    if before:
        return "F" if before[1] else "M"
    letter = _LETTER.match(head, end)
    if letter:
        return "F" if letter[1] == "f" else "M"
    stop = _SENTENCE_END.search(head, end, end + 90)
    after = _NOUN.search(head, end, stop.start() if stop else end + 90)
    if after is None or after[3] or _NO_PERSON.match(head, after.end()):
        return None
    return None if _OTHERS.search(head[end : after.start()]) else _sex_of(after)


def _sex_of(noun: re.Match[str]) -> Sex:
    return "F" if noun[1] else "M"


def _sex_of_nouns(head: str) -> Sex | None:
    """The sex of the first person in the first two sentences who is no relative."""
    ends = [match.end() for match in islice(_SENTENCE_END.finditer(head), 2)]
    region = head[: ends[-1]] if len(ends) == 2 else head
    for noun in _NOUN.finditer(region):
        if noun[3] or _NO_PERSON.match(head, noun.end()):
            continue
        if not _OTHERS.search(head[max(0, noun.start() - 70) : noun.start()]):
            return _sex_of(noun)
    return None


def _sex_of_pronouns(head: str) -> Sex | None:
    """The sex of the pronouns, when three quarters of them agree.

    After a relative ("a mother brought her son") a single pronoun, or a mixture, is ignored.
    """
    women = men = 0
    for pronoun in _PRONOUN.finditer(head, 0, _PRONOUN_HEAD):
        women += pronoun[1] is not None
        men += pronoun[2] is not None
    if 4 * max(women, men) < 3 * (women + men) or women == men:
        return None
    if women + men == 1 or (women and men):
        first = _PRONOUN.search(head)
        if first and any(noun[3] for noun in _NOUN.finditer(head, 0, first.start())):
            return None
    return "F" if women > men else "M"


def _is_newborn(head: str) -> bool:
    match = _NEWBORN.match(head)
    return match is not None and not _GIVES_BIRTH.search(match[0])
