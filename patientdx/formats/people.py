"""Words for people in notes: patients by their sex, and relatives, who are somebody else."""

import re

_AN_AGE = (
    r"(?:an?\s)?(?:[\w\-]+\s)?(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten)"
    r"[\s\-‐‑‒–—]{0,3}(?:yo|y/o|y|years?|yrs?|months?|mos?|weeks?|wks?|days?)\b"
)
# A mother of two may be the patient; a mother of a three-year-old has come with the patient.
CHILDREN = rf"(?=\sof\s(?!{_AN_AGE})(?:two|three|four|five|\d|an?\b))"
F_NOUN = (
    r"(?:woman|girl|female|lady|schoolgirl|housewife|primigravida|primipara|multigravida"
    r"|multipara|nullipara|nulligravida|primip|multip|nullip|(?:multi|primi|nulli)(?:gravid|par)ous|gravida|pregnant|mrs"
    rf"|mother{CHILDREN})"
)
M_NOUN = rf"(?:man|boy|male|gentleman|schoolboy|businessman|fisherman|policeman|father{CHILDREN})"
RELATIVE = (
    r"(?:(?:grand|step)?-?(?:mother|father|son|daughter|parents?)|brother|sister|sibling|husband"
    r"|wife|spouse|partner|uncle|aunt|cousin|nephew|niece|donor|mom|mum|dad|boyfriend|girlfriend"
    r"|friend|colleague)"
)
FEMALE_ELDER = re.compile(r"(?:(?:grand|step)?-?mother|sister|wife|aunt|mom|mum|girlfriend)")
MALE_ELDER = re.compile(r"(?:(?:grand|step)?-?father|brother|husband|uncle|dad|boyfriend)")
NOUN = re.compile(rf"\b(?:({F_NOUN})|({M_NOUN})|({RELATIVE}))\b")

# Words before an age or a noun that refer it to another person.
OTHERS = re.compile(
    rf"(?:\b(?:born(?:\s\w+){{0,3}}\s(?:to|of)|deliver(?:ed|y)\s(?:by|to|from|of)|birth\sto|married\sto"
    rf"|(?:son|daughter|baby|infant|neonate|newborn|fetus|foetus|child|twins?|{RELATIVE})"
    rf"\s(?:of|to|from))\s(?:an?\s|the\s|her\s|his\s)?(?:[\w\-]+,?\s){{0,4}}"
    rf"|(?:\b(?:his|her|their|whose|the|my)|['’]s|s['’])\s(?:[\w\-]+\s){{0,2}}{RELATIVE}"
    rf"(?:\s(?:was|is|who|aged)|,|\s\()*\s?(?:an?\s)?(?:[\w\-]+,?\s){{0,3}})$"
)
