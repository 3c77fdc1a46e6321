"""The merge policy: which segments are merged into the next one, to bound their number."""

from indexer.storage.manifest import Manifest

MAX_SEGMENTS = 8


def choose_segments_to_merge(manifest: Manifest) -> tuple[list[int], list[int]]:
    """The segments to keep, and those to merge into the next one, by number.

    At most MAX_SEGMENTS remain. When there are too many, the smaller half is merged, so that each
    note is rewritten a logarithmic number of times over the life of an index.
    """
    segments = list(range(len(manifest.segments)))
    if len(segments) < MAX_SEGMENTS:
        return segments, []
    by_size = sorted(segments, key=lambda s: manifest.segments[s].live_notes)
    merged = sorted(by_size[: len(segments) // 2])
    return [s for s in segments if s not in merged], merged
