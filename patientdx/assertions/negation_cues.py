"""Cue phrases of negation: "no fever", "denies pain", "rash was absent", "Fever: no".

The lists are short and English. In ConText's terms "before" phrases are pre-negations, "after"
phrases post-negations, "apparent" ones pseudo-negations, and "end" ones terminations.
"""

from .scopes import Cues, split_phrases

_BEFORE = """
no; not; never; without; denies; denied; denying; deny; lacks; lacked; lacking; nor; neither;
absence of; lack of; free of; free from; negative for; was negative for; were negative for;
is negative for; no evidence of; no sign of; no signs of; no history of; without evidence of;
without any; without signs of; no symptoms of; rules out; ruled out; rule out; excludes; excluded;
failed to reveal; fails to reveal; did not; does not; do not; didn t; doesn t; don t; was not;
were not; is not; wasn t; weren t; isn t; cannot; did not show; did not reveal; did not have;
does not have; did not report; not demonstrate; unremarkable for
"""
_AFTER = """
was absent; were absent; is absent; are absent; was negative; were negative; is negative;
was not present; were not present; not present; was ruled out; were ruled out; been ruled out;
was excluded; were excluded; not seen; was not seen; were not seen; not found; was not found;
were not found; not observed; was not observed; were not observed; not detected; was not detected;
were not detected; was denied; were denied; unlikely; was unlikely; were unlikely
"""
_APPARENT = """
no increase; no change; no significant change; no interval change; no further; no longer;
not only; not necessarily; not certain if; not certain whether; without difficulty;
without further; not rule out; not ruled out; not been ruled out; not be ruled out;
cannot be ruled out; cannot be excluded; cannot rule out; cannot exclude; could not be excluded;
could not be ruled out; gram negative; not responding; not respond; did not respond;
did not improve; not improve; no improvement; no response; not resolve; did not resolve;
no relief; not relieved; was not relieved; negative pressure; no fewer than; no less than
"""
_END = """
was present; were present; is present; are present;
but; however; although; though; except; except for; apart from; aside from; nevertheless; yet;
still; besides; other than; which; who; because; due to; secondary to; caused by; associated with;
revealed; reveals; showed; shows; shown; demonstrated; demonstrates; presented; presents;
developed; develops; complained; complains; reported; reports; had; has; was; were; is; are;
experienced; suffered; underwent; received; became; found; noted; disclosed; indicated; suggested;
admitted; diagnosed; confirmed; exhibited; showing; revealing; presenting
"""

NEGATION = Cues.from_phrases(
    {
        "end": split_phrases(_END),
        "before": split_phrases(_BEFORE),
        "after": split_phrases(_AFTER),
        "apparent": split_phrases(_APPARENT),
    },
    answers=("no", "none", "negative", "neg", "absent", "nil", "denied", "denies", "never", "0"),
)
