"""Building the searcher of a system."""

from collections.abc import Callable

from expander.fusion.fusion import Fusion
from expander.fusion.registry import make_fusion
from patientdx.protocols import Expander, Searcher

from .searchers import FusedSearcher, expanding_searcher
from .system import BM25, PHRASES, System


def build_searcher(
    system: System,
    base: Searcher,
    make_expander: Callable[[str], Expander],
    *,
    phrases: Searcher | None = None,
    rrf_k: float = 60,
    depth: int = 1000,
    wrap: Callable[[str, Searcher], Searcher] | None = None,
) -> Searcher:
    """The searcher of a system over the BM25 searcher `base`.

    `make_expander` makes the strategy of a name, `phrases` is the searcher of the system
    `phrases`, `rrf_k` the k of reciprocal rank fusion, and `depth` the number of hits of each part
    that a fusion uses. `wrap` may replace the searcher of each part that is not a fusion, given
    its name and searcher.
    """

    def build_leaf(name: str) -> Searcher:
        if name == PHRASES and phrases is not None:
            return phrases
        return base if name == BM25 else expanding_searcher(base, make_expander(name))

    def build(node: System) -> Searcher:
        if not node.parts:
            leaf = build_leaf(node.name)
            return wrap(node.name, leaf) if wrap else leaf
        searchers = [build(part) for _, part in node.parts]
        return FusedSearcher(searchers, _fusion_of(node, rrf_k), depth)

    return build(system)


def _fusion_of(system: System, rrf_k: float) -> Fusion:
    weights = tuple(weight for weight, _ in system.parts)
    is_unweighted = all(weight == 1 for weight in weights)
    return make_fusion(system.name, k=rrf_k, weights=None if is_unweighted else weights)
