"""The other fusion methods, under their names in ranx and computed by ranx.

ranx is Bassani's library (2022; `pip install ranx`, extra `report`). It is imported only when one
of its methods is used; its first call compiles for about half a minute.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from patientdx.capabilities import require_package
from patientdx.errors import InputError, UsageError
from patientdx.records import Qrels, Run

from .fusion import hits_by_query
from .ranking import rank_hits

_METHODS = """
anz gmnz max med min mnz sum isr log_isr logn_isr rbc wmnz mixed bordafuse w_bordafuse condorcet
w_condorcet bayesfuse mapfuse posfuse probfuse segfuse slidefuse
"""
RANX_METHODS = tuple(_METHODS.split())
RANX_NORMS = ("min-max", "min-max-inverted", "max", "sum", "zmuv", "rank", "borda", "none")


@dataclass(frozen=True)
class RanxFusion:
    """A method of ranx, one of its norms (or "none"), and the parameters that the method needs.

    Some methods need parameters learned from judged runs: see `fit`. Raises UsageError for an
    unknown method or norm; `fuse` raises InputError for missing or unknown parameters.
    """

    method: str
    norm: str = "min-max"
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in RANX_METHODS:
            hint = f"one of {', '.join(RANX_METHODS)}"
            raise UsageError(f"unknown fusion `{self.method}`", hint=hint)
        if self.norm not in RANX_NORMS:
            raise UsageError(f"unknown norm `{self.norm}`", hint=f"one of {', '.join(RANX_NORMS)}")

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.method

    def fuse(self, runs: Sequence[Run], depth: int | None = None) -> Run:
        """The run fused by ranx, in the order of `records.ranked`."""
        lists = dict(hits_by_query(runs))
        if len(runs) < 2:
            raise InputError("ranx fuses two runs or more")
        self._check_params()
        query_ids = [query_id for query_id, hits in lists.items() if any(hits)]
        if not query_ids:
            return {query_id: [] for query_id in lists}
        if self.norm == "zmuv" and not all(all(lists[query_id]) for query_id in query_ids):
            # ranx 0.3.21 then divides by zero in a thread, and other queries come back empty.
            raise InputError(
                "ranx's norm zmuv needs hits for every query in every run", hint="use z-score"
            )
        fused = _without_warnings(
            _import_ranx().fuse,
            _to_ranx(runs, query_ids),
            norm=self._ranx_norm,
            method=self.method,
            params=dict(self.params),
        )
        scores = {query_id: dict(fused.run[query_id]) for query_id in query_ids}
        return {query_id: rank_hits(scores.get(query_id, {}), depth) for query_id in lists}

    def fit(self, qrels: Qrels, runs: Sequence[Run], metric: str = "ndcg@10") -> "RanxFusion":
        """The same method with the parameters that ranx finds best on judged runs.

        `metric` is spelt as in ranx. Methods whose parameters are not optimised ignore it.
        """
        judged = [query_id for query_id, _ in hits_by_query(runs) if query_id in qrels]
        ranx = _import_ranx()
        params = _without_warnings(
            ranx.optimize_fusion,
            ranx.Qrels({query_id: qrels[query_id] for query_id in judged}),
            _to_ranx(runs, judged),
            norm=self._ranx_norm,
            method=self.method,
            metric=metric,
        )
        return RanxFusion(self.method, self.norm, params)

    @property
    def _ranx_norm(self) -> str | None:
        return None if self.norm == "none" else self.norm

    def _check_params(self) -> None:
        require_package("ranx", "report")
        method = import_module("ranx.fusion").fusion_switch(self.method)
        known = dict(inspect.signature(method).parameters)
        for name in ("runs", "name"):
            known.pop(name)
        unknown = [name for name in self.params if name not in known]
        missing = [n for n, p in known.items() if p.default is p.empty and n not in self.params]
        if unknown or missing:
            problem = f"has no parameter `{unknown[0]}`" if unknown else f"needs `{missing[0]}`"
            hint = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
            raise InputError(f"the fusion `{self.method}` {problem}", hint=hint)


def _import_ranx() -> Any:
    require_package("ranx", "report")
    return _without_warnings(import_module, "ranx")


def _to_ranx(runs: Sequence[Run], query_ids: Sequence[str]) -> list[Any]:
    """Runs as ranx's objects, all of which must hold the same queries."""
    ranx = _import_ranx()
    if any(not any(run.get(query_id) for query_id in query_ids) for run in runs):
        raise InputError("ranx cannot fuse a run without a single hit", hint="leave that run out")
    return [
        _without_warnings(
            ranx.Run, {query_id: dict(run.get(query_id, ())) for query_id in query_ids}
        )
        for run in runs
    ]


def _without_warnings(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls without the warnings of numba's type inference, which do not concern the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)
