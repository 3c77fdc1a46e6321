"""Every other fusion by its name in ranx, computed by ranx, which is imported only then.

ranx is Bassani's library (2022; `pip install ranx`, extra `report`). Its first call compiles for
about half a minute.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from patientdx.capabilities import require
from patientdx.errors import InputError, UsageError
from patientdx.records import Qrels, Run

from .methods import NORMS, RRF, Fusion, Norm, ScoreFusion, by_query, top

_METHODS = """
anz gmnz max med min mnz sum isr log_isr logn_isr rbc wmnz mixed bordafuse w_bordafuse condorcet
w_condorcet bayesfuse mapfuse posfuse probfuse segfuse slidefuse
"""
RANX_METHODS = tuple(_METHODS.split())
RANX_NORMS = ("min-max", "min-max-inverted", "max", "sum", "zmuv", "rank", "borda", "none")
FUSIONS = ("rrf", *NORMS, *RANX_METHODS)
"""Every name that `make_fusion` knows."""


@dataclass(frozen=True)
class RanxFusion:
    """A method of ranx, one of its norms (or "none"), and the parameters it needs.

    Some need numbers that judged runs give: see `trained`. Raises InputError for parameters
    that are missing or unknown.
    """

    method: str
    norm: str = "min-max"
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in RANX_METHODS:
            raise UsageError(f"unknown fusion `{self.method}`", hint=f"one of {', '.join(FUSIONS)}")
        if self.norm not in RANX_NORMS:
            raise UsageError(f"unknown norm `{self.norm}`", hint=f"one of {', '.join(RANX_NORMS)}")

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.method

    def fuse(self, runs: Sequence[Run], depth: int | None = None) -> Run:
        """The runs fused by ranx, in the order of `records.ranked`."""
        lists = dict(by_query(runs))
        if len(runs) < 2:
            raise InputError("ranx fuses two runs or more")
        self._check_params()
        found = [query_id for query_id, hits in lists.items() if any(hits)]
        if not found:
            return {query_id: [] for query_id in lists}
        if self.norm == "zmuv" and not all(all(lists[query_id]) for query_id in found):
            # ranx 0.3.21 then divides by zero in a thread, and other queries come back empty.
            raise InputError(
                "ranx's norm zmuv needs hits for every query in every run", hint="use z-score"
            )
        fused = _quietly(
            _ranx().fuse,
            _as_ranx(runs, found),
            norm=self._norm,
            method=self.method,
            params=dict(self.params),
        )
        scores = {query_id: dict(fused.run[query_id]) for query_id in found}
        return {query_id: top(scores.get(query_id, {}), depth) for query_id in lists}

    def trained(self, qrels: Qrels, runs: Sequence[Run], metric: str = "ndcg@10") -> "RanxFusion":
        """The same method with the parameters that ranx finds best on judged runs.

        `metric` is spelt as ranx spells it; methods without a choice of parameters ignore it.
        """
        judged = [query_id for query_id, _ in by_query(runs) if query_id in qrels]
        ranx = _ranx()
        params = _quietly(
            ranx.optimize_fusion,
            ranx.Qrels({query_id: qrels[query_id] for query_id in judged}),
            _as_ranx(runs, judged),
            norm=self._norm,
            method=self.method,
            metric=metric,
        )
        return RanxFusion(self.method, self.norm, params)

    @property
    def _norm(self) -> str | None:
        return None if self.norm == "none" else self.norm

    def _check_params(self) -> None:
        require("ranx", "report")
        method = import_module("ranx.fusion").fusion_switch(self.method)
        known = dict(inspect.signature(method).parameters)
        for name in ("runs", "name"):
            known.pop(name)
        unknown = [name for name in self.params if name not in known]
        missing = [n for n, p in known.items() if p.default is p.empty and n not in self.params]
        if unknown or missing:
            what = f"has no parameter `{unknown[0]}`" if unknown else f"needs `{missing[0]}`"
            hint = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
            raise InputError(f"the fusion `{self.method}` {what}", hint=hint)


def make_fusion(
    name: str,
    *,
    k: float = 60,
    weights: Sequence[float] | None = None,
    norm: str = "min-max",
    params: Mapping[str, Any] | None = None,
) -> Fusion:
    """The fusion of a name: `rrf` (k, weights), `min-max`, `z-score` (weights), or ranx's.

    For ranx's methods `norm` and `params` are ranx's own; `weights` are among the parameters.
    Raises UsageError for an unknown name.
    """
    given = None if weights is None else tuple(weights)
    if name == "rrf":
        return RRF(k, given)
    kind: Norm | None = next((one for one in NORMS if one == name), None)
    if kind is not None:
        return ScoreFusion(kind, given)
    all_params = dict(params or {})
    if given is not None:
        all_params.setdefault("weights", list(given))
    return RanxFusion(name, norm, all_params)


def _ranx() -> Any:
    require("ranx", "report")
    return _quietly(import_module, "ranx")


def _as_ranx(runs: Sequence[Run], query_ids: Sequence[str]) -> list[Any]:
    """Runs as ranx has them, which must hold the same queries each."""
    ranx = _ranx()
    if any(not any(run.get(query_id) for query_id in query_ids) for run in runs):
        raise InputError("ranx cannot fuse a run without a single hit", hint="leave that run out")
    return [
        _quietly(ranx.Run, {query_id: dict(run.get(query_id, ())) for query_id in query_ids})
        for run in runs
    ]


def _quietly(call: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A call without the warnings of numba's type inference, which say nothing to the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*given, **named)
