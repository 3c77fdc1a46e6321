"""The tensors of a model that an adapter means, which may have other prefixes in the model's files.

Adapters name modules as transformers has them in memory. Files of models of text and images, and
old files of GPT-2 and BLOOM, have other prefixes, which transformers translates on loading.
"""

from collections.abc import Iterable

_PREFIXES = {"model", "language_model", "transformer"}
_INNER = {"vision_model"}


def match_adapted_tensors(adapted: Iterable[str], tensors: Iterable[str]) -> dict[str, str]:
    """The tensor of a model for each name in an adapter, which may lack or add prefixes of parts.

    Names that fit no tensor, several, or one that another name fits better, stay as they are.
    """
    names = list(tensors)
    by_core: dict[str, list[str]] = {}
    for name in names:
        by_core.setdefault(_core(name), []).append(name)
    known = frozenset(names)
    exact = known.intersection(adapted := list(adapted))
    matches: dict[str, str] = {}
    for name in adapted:
        candidates = [] if name in exact else by_core.get(_core(name), [])
        free = len(candidates) == 1 and candidates[0] not in exact.union(matches.values())
        matches[name] = candidates[0] if free else name
    return matches


def _core(name: str) -> str:
    """A name without the prefixes that differ between files and memory."""
    segments = name.split(".")
    while segments and segments[0] in _PREFIXES:
        segments.pop(0)
    return ".".join(segment for segment in segments if segment not in _INNER)
