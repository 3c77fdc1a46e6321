"""The values that tuning tries for a system by default."""

from collections.abc import Sequence

from expander.fusion.score_fusion import NORMS
from expander.strategies.registry import strategy_tuning_axes

from .settings import Value
from .system import System

Axes = dict[str, list[Value]]
"""Setting -> values to try."""
_K1: tuple[float, ...] = (0.3, 0.6, 0.9, 1.2, 2.0, 4.0)
_B: tuple[float, ...] = (0.0, 0.4, 0.75, 1.0)
_FEWER_K1: tuple[float, ...] = (0.6, 0.9, 1.2, 2.0)
_FEWER_B: tuple[float, ...] = (0.4, 0.75)
_RRF_K: tuple[float, ...] = (60, 20, 100)
_WEIGHTS = ("1:1", "1:0.5", "1:0.25")


def default_axes(system: System, k1: float, b: float) -> Axes:
    """The values to try for a system over an index of this k1 and b; defaults come first.

    24 combinations of k1 and b for BM25 alone; fewer where the weights of a fusion, the k of RRF
    or numbers of terms are tried as well.
    """
    more_axes = _fusion_axes(system) | _strategy_axes(system)
    axes: Axes = {
        "k1": _default_first(k1, _FEWER_K1 if more_axes else _K1),
        "b": _default_first(b, _FEWER_B if more_axes else _B),
    }
    return axes | more_axes


def _fusion_axes(system: System) -> Axes:
    axes: Axes = {}
    if len(system.parts) == 2 and system.name in {"rrf", *NORMS}:
        own_weights = ":".join(f"{weight:g}" for weight, _ in system.parts)
        axes["weights"] = _default_first(own_weights, _WEIGHTS)
    if _uses_rrf(system):
        axes["rrf_k"] = list(_RRF_K)
    return axes


def _strategy_axes(system: System) -> Axes:
    return {
        f"{name}.{field_name}": list(values)
        for name in sorted(system.strategies)
        for field_name, values in strategy_tuning_axes(name).items()
    }


def _uses_rrf(system: System) -> bool:
    return bool(system.parts) and (
        system.name == "rrf" or any(_uses_rrf(part) for _, part in system.parts)
    )


def _default_first(default: Value, others: Sequence[Value]) -> list[Value]:
    return [default, *(value for value in others if value != default)]
