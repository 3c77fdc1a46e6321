"""Every evaluation of a search: asked for once, stored, counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from patientdx.errors import EvaluationError

from .candidates import Candidate
from .instances import Factory, Floats, Instances, Places, Ratings, Scorer
from .score_store import Score, ScoreStore, score_key

AT_ONCE = 256
"""Instances that a scorer gets together; what a killed run loses at most."""


@dataclass(frozen=True)
class _Page:
    """What is known of a candidate, by place; answers are nan where there are none."""

    known: npt.NDArray[np.bool_]
    scores: Floats
    answers: Floats


class Ledger:
    """Scores of candidates on instances, each computed once, by the factory's scorers.

    `digest` names what all candidates share (inputs, method, question); with a `store`, scores
    that it has under that name are taken from there, so that an interrupted search goes on where
    it stood. A candidate with a score that is not finite has failed, everywhere and for good.
    `on_progress` is told how many scores were added, by computing or from the store.
    """

    def __init__(
        self,
        factory: Factory,
        instances: Instances,
        *,
        digest: str = "",
        store: ScoreStore | None = None,
        at_once: int = AT_ONCE,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.instances = instances
        self._factory = factory
        self._digest = digest
        self._store = store
        self._at_once = at_once
        self._tell = on_progress or (lambda _: None)
        self._pages: dict[Candidate, _Page] = {}
        self._ready: tuple[Candidate, Scorer] | None = None
        self._failed: set[Candidate] = set()
        self._computed = 0

    @property
    def failed(self) -> frozenset[Candidate]:
        """Candidates that gave a score that is not finite."""
        return frozenset(self._failed)

    @property
    def asked(self) -> int:
        """How many scores were needed so far, stored ones among them."""
        return sum(int(page.known.sum()) for page in self._pages.values())

    @property
    def computed(self) -> int:
        """How many of them were computed, not found in the store."""
        return self._computed

    def rate(self, candidate: Candidate, places: Places) -> Ratings | None:
        """What a candidate says of some instances; None where it has failed."""
        if candidate in self._failed:
            return None
        found = self._rated(candidate, places, to_the_end=False)
        return None if candidate in self._failed else found

    def rate_all(self, candidate: Candidate) -> Ratings:
        """What a candidate says of all instances, with scores that are not finite left in it."""
        return self._rated(candidate, self.instances.everywhere, to_the_end=True)

    def _rated(self, candidate: Candidate, places: Places, *, to_the_end: bool) -> Ratings:
        page = self._pages.setdefault(candidate, _blank(len(self.instances)))
        wanted = places[~page.known[places]]
        for start in range(0, wanted.size, self._at_once):
            if candidate in self._failed and not to_the_end:
                break
            self._fill(candidate, page, wanted[start : start + self._at_once])
        if not np.all(np.isfinite(page.scores[places][page.known[places]])):
            self._failed.add(candidate)
        answers = page.answers[places]
        return Ratings(page.scores[places], None if np.isnan(answers).any() else answers)

    def _fill(self, candidate: Candidate, page: _Page, places: Places) -> None:
        stored = self._stored(candidate, places)
        new = places[[place not in stored for place in places.tolist()]]
        if new.size:
            self._compute(candidate, page, new)
        for place, one in stored.items():
            page.scores[place] = one.score
            page.answers[place] = np.nan if one.answer is None else one.answer
        page.known[places] = True
        if not np.all(np.isfinite(page.scores[places])):
            self._failed.add(candidate)
        self._tell(places.size)

    def _stored(self, candidate: Candidate, places: Places) -> dict[int, Score]:
        if self._store is None:
            return {}
        keys = self._keys(candidate, places)
        found = self._store.find(list(keys.values()))
        return {place: found[key] for place, key in keys.items() if key in found}

    def _keys(self, candidate: Candidate, places: Places) -> dict[int, bytes]:
        names = self.instances.keys
        return {
            place: score_key(self._digest, candidate.key, str(names[place]))
            for place in places.tolist()
        }

    def _compute(self, candidate: Candidate, page: _Page, places: Places) -> None:
        """Asks the scorer. That of another candidate is no longer of use after this."""
        if self._ready is None or self._ready[0] != candidate:
            self._ready = None
            self._ready = (candidate, self._factory(candidate))
        scores, answers = _checked(places, self._ready[1](places))
        page.scores[places] = scores
        page.answers[places] = np.nan if answers is None else answers
        self._computed += places.size
        if self._store is not None:
            keys = self._keys(candidate, places)
            self._store.store(
                {
                    keys[place]: Score(float(scores[at]), answers[at] if answers else None)
                    for at, place in enumerate(places.tolist())
                }
            )


def _blank(size: int) -> _Page:
    return _Page(np.zeros(size, bool), np.full(size, np.nan), np.full(size, np.nan))


def _checked(
    places: Places, said: Ratings | Floats | Sequence[float]
) -> tuple[Floats, list[float] | None]:
    ratings = said if isinstance(said, Ratings) else Ratings(np.asarray(said, np.float64))
    scores = np.asarray(ratings.scores, dtype=np.float64)
    answers = None if ratings.answers is None else np.asarray(ratings.answers, np.float64)
    if scores.shape != places.shape or (answers is not None and answers.shape != places.shape):
        raise EvaluationError("a scorer gives one score for each instance that it is asked about")
    if answers is not None and not np.all((answers >= 0) & (answers <= 1)):
        raise EvaluationError("an answer counts from 0 (no) to 1 (yes)")
    return scores, None if answers is None else answers.tolist()
