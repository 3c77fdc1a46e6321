"""Retrieval systems over an index: what their strategies need, and the searchers made of them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator import read_tuned_settings
from expander import (
    STRATEGIES,
    Expansion,
    GenerationProgress,
    PhraseSearcher,
    StrategyResources,
    SystemSettings,
    expansion_row,
    make_strategy,
    parse_system_settings,
    read_vocabulary,
)
from expander.systems.builder import build_searcher
from expander.systems.system import PHRASES, parse_system
from patientdx.errors import UsageError
from patientdx.protocols import Expander, PatientIndex, Searcher
from patientdx.records import Filter, Query
from patientdx.wording import count_patients

from .generators import GeneratorSettings, open_generator, report_generation
from .monitor import LOG, Monitor
from .patient_unit import PooledSearcher, feedback_view

FUSION_DEPTH = 1000
"""How many hits a fusion takes of each of its parts."""

KEYWORDS_NOTE = "the prompt of `keywords` is reconstructed from a translation of the paper"

Wrap = Callable[[str, Searcher], Searcher]


def uses_generator(strategies: Collection[str]) -> bool:
    """Whether any of these strategies asks a language model."""
    return any("generator" in STRATEGIES[name].needs for name in strategies if name in STRATEGIES)


@contextmanager
def open_resources(
    strategies: Collection[str],
    index: PatientIndex | None,
    *,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    where: Filter | None = None,
    monitor: Monitor = LOG,
    on_progress: Callable[[GenerationProgress], None] | None = None,
) -> Iterator[StrategyResources]:
    """What strategies of these names need: model, index and vocabulary; closed at the end.

    The model is opened only where a strategy asks one. Reports at the end how many queries went
    on unexpanded and why, and how many notes were cut to fit the model's context.
    """
    with ExitStack() as stack:
        opened = None
        if uses_generator(strategies):
            settings = generator or GeneratorSettings()
            opened = stack.enter_context(open_generator(settings, monitor, on_progress))
        concepts = [concept for path in vocabularies for concept in read_vocabulary(path)]
        searcher, corpus = (None, None) if index is None else feedback_view(index)
        yield StrategyResources(
            generator=opened,
            searcher=searcher,
            corpus=corpus,
            vocabulary=concepts or None,
            where=where,
        )
        if opened is not None:
            report_generation(opened, monitor)


@dataclass(frozen=True)
class SystemBuilder:
    """Builds the searchers of systems over one index, out of opened resources."""

    index: PatientIndex
    resources: StrategyResources

    def build_searcher(
        self, settings: SystemSettings, depth: int = FUSION_DEPTH, wrap: Wrap | None = None
    ) -> Searcher:
        """The searcher of a system under its k1 and b; `wrap` may replace each part of a fusion."""
        index = self.index.with_bm25(settings.k1, settings.b)
        return build_searcher(
            settings.system,
            index,
            self._strategies(settings, index),
            phrases=_patient_phrases(settings, index),
            rrf_k=settings.rrf_k,
            depth=depth,
            wrap=wrap,
        )

    def expand_query(self, settings: SystemSettings, query: Query) -> Query:
        """The query that a system searches; of a fusion, what all its strategies add together."""
        index = self.index.with_bm25(settings.k1, settings.b)
        if PHRASES in settings.system.leaves:
            return _phrase_searcher(settings, index).weigh_queries([query], self.resources.where)[0]
        make = self._strategies(settings, index)
        for name in sorted(settings.system.strategies):
            query = make(name).expand_many([query])[0]
        return query

    def _strategies(
        self, settings: SystemSettings, index: PatientIndex
    ) -> Callable[[str], Expander]:
        searcher, corpus = feedback_view(index)
        resources = replace(self.resources, searcher=searcher, corpus=corpus)
        return lambda name: make_strategy(name, resources, settings.strategy_settings(name))


def resolve_system(
    expand: str | None,
    fuse: str | None,
    settings_file: Path | None,
    k1: float | None,
    b: float | None,
) -> SystemSettings:
    """The system of a strategy and a fusion, or of a settings file; k1 and b win over the file.

    Raises UsageError for a fusion alone and for both ways at once.
    """
    if settings_file is None:
        return SystemSettings(parse_system(_system_name(expand, fuse)), k1, b)
    if expand is not None or fuse is not None:
        raise UsageError("--settings names the system itself", hint="leave --expand and --fuse out")
    tuned = parse_system_settings(read_tuned_settings(settings_file).settings)
    return replace(tuned, k1=tuned.k1 if k1 is None else k1, b=tuned.b if b is None else b)


def _system_name(expand: str | None, fuse: str | None) -> str:
    if expand is None:
        if fuse is not None:
            raise UsageError("--fuse goes with --expand", hint="--expand rm3 --fuse rrf")
        return "bm25"
    return f"{fuse}(bm25,{expand})" if fuse else expand


def added_terms(query: Query, expanded: Query) -> dict[str, float]:
    """Words and index terms that an expansion added, by weight in descending order."""
    row = expansion_row(Expansion(query, expanded, None))
    added = {**row["weights"], **row["terms"]}
    return dict(sorted(added.items(), key=lambda item: (-item[1], item[0])))


def index_notes(
    index: PatientIndex, k1: float | None = None, b: float | None = None
) -> dict[str, str]:
    """What was searched and how BM25 was set, for notes below tables."""
    facts, bm25 = index.describe(), index.with_bm25(k1, b).bm25
    suffix = unit_suffix(index)
    unit = {"hits": suffix.removeprefix("-by-").replace("-", " ")} if suffix else {}
    return {
        **unit,
        "corpus": f"{count_patients(index.patient_count, index.size)}, index {index.digest[:12]}",
        "system": f"bm25: k1 {bm25.k1}, b {bm25.b}, stop words {facts['stop_words']}, "
        f"stemmer {facts['stemmer']}; RR over the whole ranking",
    }


def unit_suffix(index: PatientIndex) -> str:
    """What follows the name of a system where hits are not patients scored by their best note."""
    if index.by == "note":
        return "-by-note"
    return "" if index.pool == "max" else f"-by-{index.pool}"


def _patient_phrases(settings: SystemSettings, index: PatientIndex) -> Searcher:
    """The system `phrases`: it scores notes, whose scores are pooled to patients."""
    notes = _phrase_searcher(settings, index)
    return PooledSearcher(notes, index) if index.pools_notes else notes


def _phrase_searcher(settings: SystemSettings, index: PatientIndex) -> PhraseSearcher:
    numbers = settings.phrase_settings(index.bm25.k1, index.bm25.b)
    feedback, _ = feedback_view(index)
    notes = index.with_unit("note") if index.pools_notes else index
    return PhraseSearcher(numbers, searcher=notes, corpus=notes, feedback=feedback)
