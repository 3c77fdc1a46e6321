"""Proxies in reports: how far cheap figures rank the candidates as the metric does."""

from collections.abc import Mapping
from typing import Any

from evaluator.reporting.documents import DocumentPart
from evaluator.reporting.text_table import TextTable
from evaluator.selection.estimates import Estimate
from evaluator.selection.evidence.proxies import ProxyCorrelation
from evaluator.selection.nested_selection import Selection

from .estimate_format import estimate_data, format_estimate

_NOTE = (
    "Rank correlations over the λ of a pair: 1 where a proxy ranks them as {metric} does, -1 where "
    "it ranks them in reverse. Intervals resample {unit}; the λ themselves are no sample."
)


def proxy_part(selections: Mapping[str, Selection]) -> DocumentPart:
    """The table of the correlations of all pairs."""
    rows = [
        [
            pair,
            proxy.name,
            f"{len(proxy.values)}",
            _cell(proxy.spearman),
            _cell(proxy.kendall),
        ]
        for pair, selection in selections.items()
        for proxy in selection.proxies
    ]
    first = next(iter(selections.values()))
    table = TextTable.build(["pair", "proxy", "λ", "Spearman", "Kendall"], rows, words=2)
    return DocumentPart("Proxies", table, _NOTE.format(metric=first.metric, unit=first.unit))


def proxy_data(proxy: ProxyCorrelation) -> dict[str, Any]:
    """A proxy as plain values."""
    return {
        "name": proxy.name,
        "spearman": None if proxy.spearman is None else estimate_data(proxy.spearman),
        "kendall": None if proxy.kendall is None else estimate_data(proxy.kendall),
        "values": [
            {"candidate": dict(candidate.values), "value": value}
            for candidate, value in proxy.values.items()
        ],
    }


def _cell(estimate: Estimate | None) -> str:
    return "-" if estimate is None else format_estimate(estimate, signed=True)
