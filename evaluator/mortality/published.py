"""What the paper says of its models (arXiv 2504.17360), and which group a model belongs to.

The full tables of the paper are not at hand: these figures stand in its prose and ablation. To
which of its columns (mortality, mortality-hard, average) they belong is not known.
"""

import re
from typing import NamedTuple

GROUPS = ("BioMedical", "Instruct", "Math", "Merged")
"""The groups of the paper's main table, in its order."""

OTHER = "Other"
BASELINE = "Baseline"

SOURCE = (
    "paper: figures of arXiv 2504.17360 from its prose and ablation (its column is not known);"
    " its AUROC is that of hard yes/no answers, so it stands beside auroc-hard only"
)


class Published(NamedTuple):
    """A model of the paper: what its name looks like, its group, and its known figures."""

    pattern: str
    group: str
    auroc_hard: str | None = None
    auprc: str | None = None


_MODELS = (
    Published(r"patient[-_]?bio[-_]?dx.*8b", "Merged", ".6101"),
    Published(r"patient[-_]?dx.*8b", "Merged", ".6338"),
    Published(r"patient[-_]?dx.*7b", "Merged", ".6057"),
    Published(r"mistral[-_]merged[-_]0[-_]4", "Merged"),
    Published(r"med42", "BioMedical", None, ".20"),
    Published(r"meditron", "BioMedical", ".55-.60", "< .16"),
    Published(r"biomistral", "BioMedical", "~.5", "< .16"),
    Published(r"mathstral", "Math", "~.5", "< .16"),
    Published(r"dart[-_]?math", "Math", ".5015", "< .16"),
    Published(r"llama[-_]?3.*instruct", "Instruct", ".5005", "< .16"),
    Published(r"mistral.*instruct", "Instruct", ".55-.60", "< .16"),
)

_KINDS = (
    (r"merge|slerp|patient[-_]?dx", "Merged"),
    (r"bio|med|clinic", "BioMedical"),
    (r"math|gsm", "Math"),
    (r"instruct|chat|[-_]it\b", "Instruct"),
)


def published(name: str) -> Published | None:
    """What the paper says of a model, known by its name."""
    return next((one for one in _MODELS if re.search(one.pattern, name, re.IGNORECASE)), None)


def group_of(name: str) -> str:
    """The group that a model's name tells, or `OTHER`."""
    known = published(name)
    if known is not None:
        return known.group
    kinds = (kind for pattern, kind in _KINDS if re.search(pattern, name, re.IGNORECASE))
    return next(kinds, OTHER)
