"""A patient's age and sex from the text of the note.

Precision comes before recall: what the text does not state clearly of the patient is None. Only the
first 1,000 characters of a note are searched, where case reports introduce their patient.
"""

import re
from itertools import islice

from patientdx.records import Sex

from .people import F_NOUN, FEMALE_ELDER, M_NOUN, MALE_ELDER, NOUN, OTHERS
from .stated_ages import StatedAge, find_age
from .values import Age, sex_from_field

_HEAD = 1_000  # characters
_PRONOUN_HEAD = 600  # characters
_NEWBORN = re.compile(
    r"^[^.]{0,80}?\b(?:an?|this|our|the)\s(?:[\w\-]+\s){0,4}(?:newborn|neonate)\b(?!\sscreen)"
)
_GIVES_BIRTH = re.compile(r"\b(?:deliver\w*|birth|bore|mother)\b")
_NO_PERSON = re.compile(
    r"[\s\-](?:pattern|karyotype|genital|phenotyp|partner|donor|sibling|relative|infertil|factor"
    r"|fetus|foetus|nurse|doctor|physician\swho|surgeon|to[\s\-](?:fe)?male|predomin"
    r"|(?:and|or)\s(?:fe)?male|and\s(?:wo)?man\b|colleague)|/(?:fe)?male"
)
_LINK = re.compile(
    rf"\b(?:({F_NOUN})|({M_NOUN}))(?:\s(?:patient|child|infant|baby|neonate))?"
    rf"[\s,(]*(?:who\s)?(?:was|is|of|aged)?[\s,(]*$"
)
_UNCLEAR = ("transgender", "male-to-female", "female-to-male")
_LETTER = re.compile(r"[\s,/\-]*([fm])\b(?!['’.])")
# "89yo F." ends a sentence where "89-year-old F. Smith" would go on.
_WARD_LETTER = re.compile(r"[\s,/\-.]*(?:[wb]|aa)?[\s/]?([fm])\b(?!['’])")
_WARD_AGE = re.compile(r"(?:y\.?\s?/?o\b\.?|(?<![a-z])y)$")
_HEADER_WORDS = ("sex", "gender", "geschlecht", "sesso")
_HEADER = re.compile(
    r"\b(?:sex|gender|geschlecht|sexe|sexo|sesso)(?:(?:\s?/\s?age)?\s*[:=–\-]\s*|\s(?=[fm]\b(?!['’])))"
    r"([^\W\d_]+)\b(?!\s?/\s?(?:[fm]|female|male)\b)"
)
_OPENING = re.compile(r"^\W*([fm])\s?[/,]\s?\d{1,3}(?![\d/.%])")
_AGE_AND_SEX = re.compile(
    r"\bage\s?/\s?(?:sex|gender)\s*[:=]\s*[\d>+]+(?:\s?y\w*)?[\s/,]+([fm]|female|male)\b"
)
_NOT_A_PATIENTS = re.compile(r"(?:\b(?:fo?etal|donor|partner)|(?<!patient)['’]s)\s?$")
_REMOVED_AGE = re.compile(
    r"_{2,}\s?-?\s?(?:y\.?\s?/?o\b\.?|years?[\s\-]old)?\s?([fm])(?=\s(?:with|w/|who|presents|h/o|hx|s/p)|[,.])"
)
_PRONOUN = re.compile(r"\b(?:(she|her|hers|herself)|(he|his|him|himself))\b")
_SENTENCE_END = re.compile(r"[.;]\s")


def demographics_from_text(text: str) -> tuple[Age | None, Sex | None]:
    """(age, sex) from the first 1,000 characters of a note; None for what is unclear.

    Ages and nouns of mothers, donors and other people are skipped, as are ages at an earlier time
    ("since the age of 5"). A header ("Sex:  F") comes before the nouns of the text; without a noun
    the pronouns decide, if they agree.
    """
    head = text[:_HEAD].lower()
    stated = find_age(head)
    age = stated.age if stated else None
    if age is None and _is_newborn(head):
        age = Age(0.0)
    if any(word in head for word in _UNCLEAR):
        return age, None
    sex = _sex_of_header(head) or (_sex_beside(head, stated) if stated else None)
    sex = sex or _sex_beside_removed_age(head)
    return age, sex or _sex_of_nouns(head) or _sex_of_pronouns(head)


def _sex_of_header(head: str) -> Sex | None:
    """The sex of a field of the note's header ("Sex:   F", "AGE/SEX: 67/F")."""
    named = any(word in head for word in _HEADER_WORDS)
    for pattern in (_AGE_AND_SEX, _HEADER, _OPENING) if named else (_OPENING,):
        for match in pattern.finditer(head):
            sex = sex_from_field(match[1])
            if sex and not _NOT_A_PATIENTS.search(head[: match.start()][-20:]):
                return sex
    return None


def _sex_beside(head: str, stated: StatedAge) -> Sex | None:
    """The sex by the words around a stated age."""
    start, end = stated.start, stated.end
    before = _LINK.search(head, max(0, start - 60), start)
    if before:
        return "F" if before[1] else "M"
    is_ward_age = _WARD_AGE.search(head[start:end]) is not None
    letter = (_WARD_LETTER if is_ward_age else _LETTER).match(head, end)
    if letter:
        return "F" if letter[1] == "f" else "M"
    stop = _SENTENCE_END.search(head, end, end + 90)
    after = NOUN.search(head, end, stop.start() if stop else end + 90)
    if after is None or after[3] or _NO_PERSON.match(head, after.end()):
        return None
    return None if OTHERS.search(head[end : after.start()]) else _sex_of(after)


def _sex_beside_removed_age(head: str) -> Sex | None:
    """The sex after an age that de-identification has removed ("___ F with ascites")."""
    letter = _REMOVED_AGE.search(head) if "__" in head else None
    return None if letter is None else "F" if letter[1] == "f" else "M"


def _sex_of(noun: re.Match[str]) -> Sex:
    return "F" if noun[1] else "M"


def _sex_of_nouns(head: str) -> Sex | None:
    """The sex of the first person in the first two sentences who is no relative."""
    ends = [match.end() for match in islice(_SENTENCE_END.finditer(head), 2)]
    region = head[: ends[-1]] if len(ends) == 2 else head
    for noun in NOUN.finditer(region):
        if noun[3] or _NO_PERSON.match(head, noun.end()):
            continue
        if not OTHERS.search(head[max(0, noun.start() - 70) : noun.start()]):
            return _sex_of(noun)
    return None


def _sex_of_pronouns(head: str) -> Sex | None:
    """The sex of the pronouns, when three quarters of them agree.

    After a relative ("a mother brought her child") a single pronoun, or a mixture, is ignored, and
    so are pronouns that may be that relative's.
    """
    women = men = 0
    for pronoun in _PRONOUN.finditer(head, 0, _PRONOUN_HEAD):
        women += pronoun[1] is not None
        men += pronoun[2] is not None
    if 4 * max(women, men) < 3 * (women + men) or women == men:
        return None
    first = _PRONOUN.search(head)
    before = NOUN.finditer(head, 0, first.start() if first else 0)
    relatives = [noun[3] for noun in before if noun[3]]
    if relatives and (women + men == 1 or (women and men)):
        return None
    own = FEMALE_ELDER if women > men else MALE_ELDER
    if any(map(own.fullmatch, relatives)):
        return None
    return "F" if women > men else "M"


def _is_newborn(head: str) -> bool:
    match = _NEWBORN.match(head)
    return match is not None and not _GIVES_BIRTH.search(match[0])
