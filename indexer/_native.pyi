from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

API_VERSION: int

class Segment:
    def __init__(
        self,
        notes: int,
        block_docs: int,
        blocks: int,
        rows: int,
        columns: int,
        stride: int,
        arrays: tuple[Array, ...],
        /,
    ) -> None: ...
    def dense_impacts(self, first: int, out: Array, /) -> None: ...

class Scan:
    def __init__(
        self,
        segment: Segment,
        starts: Array,
        numbers: Array,
        weights: Array,
        k: int,
        capacity: int,
        relative_error: float,
        floors: Array | None,
        allowed: Array | None,
        /,
    ) -> None: ...
    def run(self) -> None: ...
    def run_blocks(self, first: int, last: int, shares: Array, /) -> None: ...
    def top_notes(self, q: int, notes: Array, scores: Array, /) -> int: ...

class WordTable:
    def __init__(self, fold: Array, /) -> None: ...
    def needing_python(self, notes: list[str | bytes], /) -> list[int]: ...
    def tokenize(self, notes: list[str | bytes], /) -> int: ...
    def words(self, first: int, /) -> list[str]: ...
    def count_terms(
        self,
        term_of_word: Array,
        place: Array,
        terms: Array,
        tfs: Array,
        bounds: Array,
        lengths: Array,
        /,
    ) -> int: ...

def sort_by_term(
    terms: Array, tfs: Array, bounds: Array, starts: Array, notes: Array, out_tfs: Array, /
) -> None: ...
def encode_blocked(
    rows: Array,
    starts: Array,
    notes: Array,
    tfs: Array,
    block_docs: int,
    counts: Array,
    pointers: Array,
    entries: Array,
    /,
) -> None: ...
