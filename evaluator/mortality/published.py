"""Results that the paper reports for its models (arXiv 2504.17360), and the groups of its table.

The full tables of the paper were not available: these values are from its prose and ablation. Their
column (mortality, mortality-hard or average) is not known.
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


class PublishedResult(NamedTuple):
    """A model of the paper: a pattern of its name, its group, and its known results."""

    pattern: str
    group: str
    auroc_hard: str | None = None
    auprc: str | None = None


_MODELS = (
    PublishedResult(r"patient[-_]?bio[-_]?dx.*8b", "Merged", ".6101"),
    PublishedResult(r"patient[-_]?dx.*8b", "Merged", ".6338"),
    PublishedResult(r"patient[-_]?dx.*7b", "Merged", ".6057"),
    PublishedResult(r"mistral[-_]merged[-_]0[-_]4", "Merged"),
    PublishedResult(r"med42", "BioMedical", None, ".20"),
    PublishedResult(r"meditron", "BioMedical", ".55-.60", "< .16"),
    PublishedResult(r"biomistral", "BioMedical", "~.5", "< .16"),
    PublishedResult(r"mathstral", "Math", "~.5", "< .16"),
    PublishedResult(r"dart[-_]?math", "Math", ".5015", "< .16"),
    PublishedResult(r"llama[-_]?3.*instruct", "Instruct", ".5005", "< .16"),
    PublishedResult(r"mistral.*instruct", "Instruct", ".55-.60", "< .16"),
)

_NAME_PATTERNS = (
    (r"merge|slerp|patient[-_]?dx", "Merged"),
    (r"bio|med|clinic", "BioMedical"),
    (r"math|gsm", "Math"),
    (r"instruct|chat|[-_]it\b", "Instruct"),
)


def find_published(name: str) -> PublishedResult | None:
    """The paper's result for a model of this name, or None."""
    results = (result for result in _MODELS if re.search(result.pattern, name, re.IGNORECASE))
    return next(results, None)


def model_group(name: str) -> str:
    """The group that a model's name suggests, or `OTHER`."""
    result = find_published(name)
    if result is not None:
        return result.group
    groups = (group for pattern, group in _NAME_PATTERNS if re.search(pattern, name, re.IGNORECASE))
    return next(groups, OTHER)
