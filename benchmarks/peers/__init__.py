"""The engines that are compared, one file each. The packages are imported when asked for."""

from texts import Words

from .base import Engine

NAMES = ("ours", "bm25s", "tantivy", "lucene", "rank-bm25")


def load(name: str, words: Words) -> Engine:
    """An engine by name. Raises ModuleNotFoundError where its package is not installed."""
    if name == "ours":
        from .ours import Ours

        return Ours(words)
    if name == "bm25s":
        from .bm25s import BM25S

        return BM25S(words)
    if name == "tantivy":
        from .tantivy import Tantivy

        return Tantivy(words)
    if name == "lucene":
        from .lucene import Lucene

        return Lucene(words)
    if name == "rank-bm25":
        from .rank_bm25 import RankBM25

        return RankBM25(words)
    raise ValueError(f"no engine `{name}`; there are {', '.join(NAMES)}")
