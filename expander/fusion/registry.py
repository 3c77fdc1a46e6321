"""The fusions by name: RRF, score fusion, and the methods of ranx."""

from collections.abc import Mapping, Sequence
from typing import Any

from patientdx.errors import UsageError

from .fusion import Fusion
from .ranx import RANX_METHODS, RanxFusion
from .rrf import RRF
from .score_fusion import NORMS, Norm, ScoreFusion

FUSIONS = ("rrf", *NORMS, *RANX_METHODS)
"""Every name that `make_fusion` accepts."""


def make_fusion(
    name: str,
    *,
    k: float = 60,
    weights: Sequence[float] | None = None,
    norm: str = "min-max",
    params: Mapping[str, Any] | None = None,
) -> Fusion:
    """The fusion of a name: `rrf` (k, weights), `min-max` or `z-score` (weights), or ranx's.

    `norm` and `params` apply to ranx's methods and are ranx's own; `weights` become one of these
    parameters. Raises UsageError for an unknown name.
    """
    if name not in FUSIONS:
        raise UsageError(f"unknown fusion `{name}`", hint=f"one of {', '.join(FUSIONS)}")
    own_weights = None if weights is None else tuple(weights)
    if name == "rrf":
        return RRF(k, own_weights)
    own_norm: Norm | None = next((candidate for candidate in NORMS if candidate == name), None)
    if own_norm is not None:
        return ScoreFusion(own_norm, own_weights)
    ranx_params = dict(params or {})
    if weights is not None:
        ranx_params.setdefault("weights", list(weights))
    return RanxFusion(name, norm, ranx_params)
