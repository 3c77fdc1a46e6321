"""Cue phrases of what is past, and of what only might come: "history of", "return if"."""

from itertools import product

from .scopes import Cues, split_phrases

_PAST = """
history of; past history of; past medical history of; medical history of; prior history of;
previous history of; remote history of; known history of; hx of; pmh of; pmhx of; h o; s p;
status post; past medical history; past surgical history; past medical history significant for;
medical history significant for; medical history notable for; history significant for;
history notable for; history includes; history included
"""
_PAST_NEXT = """
prior; previous; previously; former; formerly; remote; past; old; childhood
"""
_PAST_AFTER = """
in the past; years ago; year ago; months ago; as a child; in childhood; in his youth;
in her youth; has resolved; had resolved; since resolved; now resolved
"""
_NOT_PAST = """
history of present illness; history of the present illness; present history of; prior to;
previous to; previously healthy; previously well; previously fit; past week; past day; past month;
past few days; past few weeks; past few months; past several days; past several weeks;
past 24 hours; old man; old woman; old boy; old girl; old male; old female; old patient; year old;
month old; week old; day old; years old; months old; weeks old; days old; family history of;
family history; compared to prior; compared with prior; compared to previous;
compared with previous; from prior; from previous; years previously; months previously;
weeks previously; days previously; previous month; previous week; previous day; previous year;
previous months; previous weeks; previous days; previous years; previous night
"""
_NUMBERS = split_phrases("""
one; two; three; four; five; six; seven; eight; nine; ten; several; few; long; short
""")
_SPANS = split_phrases("""
hour; hours; day; days; week; weeks; month; months; year; years
""")

_MAY_COME = """
if; in case of; in the event of; risk of; risk for; at risk of; at risk for; risks of;
should you; should he; should she; should there; should the patient; as needed for; prn for;
return for; come back for; call for; watch for; to prevent; prevention of; prophylaxis for;
prophylaxis against; prophylaxis of
"""
_NOT_HYPOTHETICAL = """
as if; asked if; unclear if; unsure if; unknown if; uncertain if; wondered if; even if;
not certain if; not sure if; to see if
"""
_CURRENT = """
presented; presents; presenting; admitted; now; currently; today; but; however; developed;
develops; complained; complains; complaining; which; came; brought; referred; was; is; were; are;
has; had; underwent; revealed; showed; found; noted
"""


def _durations() -> list[str]:
    """Spans of time before "history of": what the patient has now, as in "3 day history of"."""
    return [f"{unit} history of" for unit in _SPANS] + [
        f"{number} {unit} history of" for number, unit in product(_NUMBERS, _SPANS)
    ]


HISTORY = Cues.from_phrases(
    {
        "end": split_phrases(_CURRENT),
        "before": split_phrases(_PAST),
        "next": split_phrases(_PAST_NEXT),
        "after": split_phrases(_PAST_AFTER),
        "apparent": [*split_phrases(_NOT_PAST), *_durations()],
    }
)
HYPOTHESIS = Cues.from_phrases(
    {
        "end": ["then", "but", "however"],
        "before": split_phrases(_MAY_COME),
        "apparent": split_phrases(_NOT_HYPOTHETICAL),
    }
)
