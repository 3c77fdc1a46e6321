"""Random corpora, changes, queries and filters for the tests of the index.

A small vocabulary, repeated notes and few lengths make many ties; the layouts are tiny, so
that rare, blocked and dense terms and several blocks occur among a few dozen notes.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from field_conditions import DATES, PREDICATES, VALUES
from hypothesis import strategies as st
from oracle import Oracle, Tokens, tokens_by

from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from indexer.storage.layout import Layout
from indexer.writer import add_patients, build_index, compact_index, delete_patients
from patientdx.records import Filter, Patient, Query

EXAMPLES = int(os.environ.get("PATIENTDX_EXAMPLES", "200"))

WORDS = (
    *("fever", "fevers", "cough", "running", "ran", "the", "of", "and", "x", "10", "a_b"),
    *("été", "naïve", "İzmir", "σοφός", "日本", "𝒳𝒴", "straße", "e\u0301t", "\U0001f600 grin"),
    *("肺炎患", "\u00b5IU", "\u03bcIU", "\ufb01t", "hyper\u00adten\u200bsion", "5½", "ไข้"),
)
COUNTS = (1, 1, 1, 1, 2, 3, 15, 16, 17, 254, 255, 256, 300)
SEPARATORS = (" ", " ", " ", "\n", ", ", "\u2028")
IDS = tuple(
    f"{stem}{mark}{number}"
    for stem in ("8535945", "a", "Z", "é", "日", "𝒳", "\uffee")
    for mark in ("-", "")
    for number in (*range(12), 100)
)
FIELDS: dict[str, tuple[object, ...]] = {
    "site": ("north", "south"),
    "ward": (1, 2, True),
    "los": VALUES,
    "seen": DATES,
}

words = st.sampled_from(WORDS)
notes = st.lists(st.tuples(words, st.sampled_from(COUNTS)), max_size=5).map(
    lambda pairs: " ".join(" ".join([word] * count) for word, count in pairs)
)
weights = st.dictionaries(
    words,
    st.sampled_from([0.0, 1e-30, 1e-26, 1e-3, 0.1, 0.5, 1.0, 2.75, 1e3, 1e24, 1e30]),
    max_size=4,
)
queries = st.builds(
    lambda chosen, given, taken: Query("q", " ".join(chosen), given, taken),
    st.lists(words, max_size=12),
    st.one_of(st.just({}), weights),
    st.one_of(st.just({}), weights),
)
conditions = st.lists(
    st.sampled_from([("site", "north"), ("site", "south"), ("ward", "1"), ("ward", "True")]),
    max_size=2,
).map(tuple)
ages = st.sampled_from([None, 0.0, 0.25, 17.99, 18.0, 40.5, 80.0, 99.0])
filters = st.one_of(
    st.none(),
    st.builds(
        Filter,
        sex=st.sampled_from([None, None, "F", "M"]),
        age=st.one_of(st.none(), st.tuples(ages, ages)),
        where=conditions,
        exclude_ids=st.frozensets(st.sampled_from(IDS), max_size=40),
        exclude_where=conditions,
        conditions=st.lists(st.sampled_from(list(PREDICATES)), max_size=2).map(tuple),
    ),
)


def fields_are_known(index: Index, where: Filter | None) -> bool:
    """Whether the index has all fields that a filter names; others are refused."""
    if where is None:
        return True
    fields = {name for name, _ in (*where.where, *where.exclude_where)}
    fields |= {condition.field.lower() for condition in where.conditions}
    return fields <= set(index.describe()["fields"])


layouts = st.builds(
    Layout,
    block_docs=st.sampled_from([7, 8, 16, 32]),
    dense_share=st.sampled_from([0.3, 0.6]),
    dense_min_notes=st.sampled_from([4, 4, 100]),
    blocked_per_block=st.sampled_from([0.5, 2.0]),
)
analyses = st.builds(
    AnalysisSettings,
    st.sampled_from(["none", "english"]),
    st.sampled_from(["none", "porter", "english"]),
    normalization=st.sampled_from(["nfkc", "nfkc", "none"]),
)
bm25s = st.builds(
    BM25Settings, st.sampled_from([0.0, 0.9, 1.2, 1000.0]), st.sampled_from([0.0, 0.4, 1.0])
)


def analysis_tokens(analysis: AnalysisSettings, *, query: bool = False) -> Tokens:
    """The definition of an analysis, for notes or for queries."""
    return tokens_by(analysis.stopwords, analysis.stemmer, analysis.normalization, query=query)


@dataclass
class World:
    """An index folder, and what should be in it."""

    folder: Path
    analysis: AnalysisSettings
    live: dict[str, Patient] = field(default_factory=dict)

    def oracle(self, bm25: BM25Settings) -> Oracle:
        """Brute force over the live patients."""
        notes, queries = (analysis_tokens(self.analysis, query=query) for query in (False, True))
        return Oracle(self.live, notes, bm25.k1, bm25.b, queries)

    @property
    def has_words(self) -> bool:
        """True when some live note holds a term."""
        tokens = analysis_tokens(self.analysis)
        return any(tokens(patient.full_text) for patient in self.live.values())


def patient(patient_id: str, text: str, rnd: Random) -> Patient:
    """A patient with random facts about them."""
    return Patient(
        patient_id,
        text,
        title=rnd.choice(["", "", "", "fever of x"]),
        age_years=rnd.choice([None, 0.1, 17.9, 18.0, 40.0, 80.99, 81.0]),
        sex=rnd.choice([None, "F", "M"]),
        metadata={
            name: rnd.choice(values) for name, values in FIELDS.items() if rnd.random() < 0.7
        },
    )


def patients(pool: Sequence[str], ids: Sequence[str], rnd: Random) -> list[Patient]:
    """Patients with these ids and notes out of a pool, many of them the same."""
    return [patient(patient_id, rnd.choice(pool), rnd) for patient_id in ids]


@dataclass(frozen=True)
class Case:
    """How to make a world; drawn by hypothesis."""

    pool: list[str]
    size: int
    changes: list[str]
    analysis: AnalysisSettings
    layout: Layout
    rnd: Random


cases = st.builds(
    Case,
    pool=st.lists(notes, min_size=1, max_size=16),
    size=st.integers(1, 60),
    changes=st.lists(st.sampled_from(["add", "add", "delete", "update", "compact"]), max_size=5),
    analysis=analyses,
    layout=layouts,
    rnd=st.randoms(use_true_random=True),
)


@contextmanager
def make_world(case: Case) -> Iterator[World]:
    """The index of a case, after all its changes."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "index", case.analysis)
        # One note is sure to hold a word: an index of no words cannot be built.
        first = patient("first", "Quaternary", case.rnd)
        rest = patients(case.pool, case.rnd.sample(IDS, case.size), case.rnd)
        build_index(world.folder, [first, *rest], analysis=case.analysis, layout=case.layout)
        world.live = {patient.patient_id: patient for patient in [first, *rest]}
        for change in case.changes:
            CHANGES[change](world, case)
        yield world


def _add(world: World, case: Case) -> None:
    free = [i for i in (*IDS, "first") if i not in world.live]
    chosen = case.rnd.sample(free, min(len(free), case.rnd.randint(1, 9)))
    fresh = patients([*case.pool, "Quaternary x"], chosen, case.rnd)
    _grow(world, fresh, update=False)


def _update(world: World, case: Case) -> None:
    chosen = case.rnd.sample((*IDS, "first"), 6)
    _grow(world, patients([*case.pool, "Quaternary x"], chosen, case.rnd), update=True)


def _grow(world: World, fresh: list[Patient], *, update: bool) -> None:
    fresh[0] = replace(fresh[0], text="Quaternary")
    add_patients(world.folder, fresh, update=update)
    for patient in fresh:
        world.live.pop(patient.patient_id, None)
        world.live[patient.patient_id] = patient


def _delete(world: World, case: Case) -> None:
    ids = sorted(world.live)
    share = case.rnd.choice([0.1, 0.5, 0.9, 1.0])
    gone = case.rnd.sample(ids, min(len(ids), 1 + int(share * len(ids))))
    delete_patients(world.folder, gone)
    for i in gone:
        del world.live[i]


def _compact(world: World, case: Case) -> None:
    if world.has_words or not world.live:
        compact_index(world.folder)


CHANGES = {"add": _add, "update": _update, "delete": _delete, "compact": _compact}
