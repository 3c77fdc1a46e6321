"""Cue phrases of relatives: "family history of", "her mother had", "cancer in a maternal aunt".

Relatives who only report ("his mother noticed a rash", "according to her father") are no cues.
"""

from itertools import product

from .scopes import Cues, split_phrases

_RELATIVES = split_phrases("""
mother; father; brother; brothers; sister; sisters; sibling; siblings; parent; parents;
grandmother; grandfather; grandparents; grandparent; aunt; aunts; uncle; uncles; cousin;
cousins; nephew; niece; son; sons; daughter; daughters; mom; mum; dad; twin
""")
_HISTORY = """
family history of; family history; family hx of; family hx; fh of; fhx of; fhx;
family medical history; positive family history; familial
"""
_OWNERS = split_phrases("""
his; her; their; the; a; an; one; two; patient; s; maternal; paternal
""")
_SOURCES = split_phrases("""
by; per; to; with; from; both; of
""")
_REPORTS = split_phrases("""
reports; reported; report; states; stated; state; says; said; noticed; notices; noted; notes;
denies; denied; describes; described; gave; gives; brought; brings; called; calls; observed;
observes; felt; thought; saw; heard; found; believes; confirmed; accompanied; is; was; and; are;
were; consented; refused; requested; declined; wanted; wants; asked
""")
_STATES = split_phrases("""
had; has; have; with; died; suffered; suffers; developed; affected; diagnosed; carries; carrier;
who
""")
_END = """
he; she; patient; the patient; patient s; presented; presents; presenting; on examination; but;
however; personal history; past medical history; medical history; admitted
"""


def _relatives_with_findings() -> list[str]:
    """A relative with what is said of them: "mother had", "sister with"."""
    states = [f"{relative} {state}" for relative, state in product(_RELATIVES, _STATES)]
    return [
        *states,
        *(f"{relative} {verb} {more}" for relative in _RELATIVES for verb, more in _VERBS),
    ]


_VERBS = (
    ("was", "diagnosed"),
    ("was", "affected"),
    ("is", "affected"),
    ("were", "affected"),
    ("are", "affected"),
    ("is", "a"),
    ("was", "a"),
)


def _reporting() -> list[str]:
    """A relative who only reports, brings or is visited by the patient."""
    reports = [f"{relative} {verb}" for relative, verb in product(_RELATIVES, _REPORTS)]
    sources = [
        f"{source} {owner} {relative}"
        for source, owner, relative in product(_SOURCES, _OWNERS, _RELATIVES)
    ]
    bare = [f"{source} {relative}" for source, relative in product(_SOURCES, _RELATIVES)]
    patient = [f"old {relative}" for relative in _RELATIVES] + [f"{r} of" for r in _RELATIVES]
    return [*reports, *sources, *bare, *patient]


def _findings_of_relatives() -> list[str]:
    """A relative named behind a finding: "cancer in her mother", "in a maternal aunt"."""
    near = [f"in {relative}" for relative in _RELATIVES]
    owned = [f"in {owner} {relative}" for owner, relative in product(_OWNERS, _RELATIVES)]
    sided = [
        f"in {owner} {side} {relative}"
        for owner, side, relative in product(_OWNERS, ("maternal", "paternal"), _RELATIVES)
    ]
    return [*near, *owned, *sided]


FAMILY = Cues.from_phrases(
    {
        "end": split_phrases(_END),
        "apparent": _reporting(),
        "before": [*split_phrases(_HISTORY), *_relatives_with_findings()],
        "after": ["runs in the family", *_findings_of_relatives()],
    },
    labels=_RELATIVES,
)
