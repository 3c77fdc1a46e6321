"""Which segments to fold into the next one, so that their number stays bounded."""

from indexer.storage.manifest import Manifest

MAX_SEGMENTS = 8


def choose_segments_to_merge(manifest: Manifest) -> tuple[list[int], list[int]]:
    """Segments to keep and to fold into the next one, so that at most MAX_SEGMENTS remain.

    When there are too many, the smaller half goes: each note is rewritten a logarithmic number
    of times over the life of an index.
    """
    everyone = list(range(len(manifest.segments)))
    if len(everyone) < MAX_SEGMENTS:
        return everyone, []
    by_size = sorted(everyone, key=lambda s: manifest.segments[s].live_notes)
    folded = sorted(by_size[: len(everyone) // 2])
    return [s for s in everyone if s not in folded], folded
