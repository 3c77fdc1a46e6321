"""What is shown of an index: its size, settings and origin."""

from collections.abc import Sequence
from typing import Any

from .bm25 import BM25Settings
from .facets import field_names
from .segments.segment import Segment
from .storage.manifest import Manifest


def describe_state(
    manifest: Manifest,
    segments: Sequence[Segment],
    patients: int,
    average_length: float,
    bm25: BM25Settings,
) -> dict[str, Any]:
    """Size, settings and origin of a committed state, searched with `bm25`."""
    return {
        "patients": patients,
        "notes": manifest.notes,
        "tokens": manifest.tokens,
        "mean_length": round(average_length, 1),
        "segments": len(manifest.segments),
        "deleted": sum(s.notes - s.live_notes for s in manifest.segments),
        "corpus": list(manifest.corpus),
        "stop_words": manifest.analysis.stopwords,
        "stemmer": manifest.analysis.stemmer,
        "normalization": manifest.analysis.normalization,
        "spelling": manifest.analysis.spelling,
        "bm25": {"k1": bm25.k1, "b": bm25.b},
        "fields": field_names(segments),
        "generation": manifest.generation,
        "digest": manifest.digest,
        "software": manifest.software,
        "understood": [dict(source) for source in manifest.understood],
    }
