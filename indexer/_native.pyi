from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

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
    def impacts(self, first: int, out: Array, /) -> None: ...

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
    def blocks(self, first: int, last: int, shares: Array, /) -> None: ...
    def finish(self, q: int, notes: Array, scores: Array, /) -> int: ...

class Words:
    def __init__(self, fold: Array, /) -> None: ...
    def hard(self, notes: list[str | bytes], /) -> list[int]: ...
    def split(self, notes: list[str | bytes], /) -> int: ...
    def words(self, first: int, /) -> list[str]: ...
    def count(
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
def place_blocked(
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
