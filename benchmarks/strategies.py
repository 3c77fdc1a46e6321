"""Which systems help where: four collections, k1 and b by cross-validation, judged out of fold.

    python benchmarks/strategies.py                      # needs ../shared/data
    python benchmarks/strategies.py --size 40 --sets nfcorpus

Three are the dev halves of ../shared/data. The fourth is known-item search among whole notes: the
first half of each PMC note as query, its second half in the corpus among the E3C reports. k1 and
b of every system are chosen on four folds of the queries and judged on the fifth (seed 0), BM25's
as well; everything else is at its default. `--model` adds the strategies that ask one.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluator import (
    Evaluation,
    SettingValue,
    build_sets_table,
    parameter_grid,
    render_table,
    tune_searcher,
)
from expander import PhraseSearcher, PhraseSettings, StrategyResources, make_strategy
from expander.concepts.concept import Concept
from expander.concepts.vocabulary import read_vocabulary
from expander.systems.builder import build_searcher
from expander.systems.system import parse_system
from indexer.index import Index
from indexer.writer import build_index
from patientdx.formats import evaluation_files, read_patients, read_qrels, read_queries
from patientdx.protocols import Expander, Generator, Searcher
from patientdx.records import Patient, Qrels, Query

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
HALVES = "pmc_halves"
SETS = ("phenopackets", "pmc_plus_e3c", "nfcorpus", HALVES)
SYSTEMS = ("bm25", "rm3", "rocchio", "synonyms", "reduce", "rrf(bm25,rm3)", "phrases")
PROMPTED = ("keywords", "rrf(bm25,keywords)", "rrf(bm25,keywords,rm3,synonyms)")
MEASURES = ("nDCG@10",)
SENTENCE = re.compile(r"(?<=[.!?])\s+")
CANDIDATES = parameter_grid({"k1": [0.9, 0.3, 0.6, 1.2, 2.0, 4.0], "b": [0.4, 0.0, 0.75, 1.0]})


class Collection(NamedTuple):
    """Notes, and queries with judgements."""

    patients: list[Patient]
    queries: list[Query]
    qrels: Qrels


def collection(name: str) -> Collection:
    """One of SETS."""
    if name == HALVES:
        return halves()
    files = evaluation_files(SHARED / name, "dev")
    queries = list(read_queries(files.queries))
    return Collection(list(read_patients(SHARED / name)), queries, read_qrels(files.qrels))


def halves() -> Collection:
    """First halves of the PMC notes as queries, second halves among the E3C reports."""
    notes = {
        patient.patient_id: patient for patient in read_patients(SHARED / "pmc_patients_sample")
    }
    reports = [
        patient
        for patient in read_patients(SHARED / "pmc_plus_e3c")
        if patient.patient_id not in notes
    ]
    cut = {name: _halves_of(patient.text) for name, patient in notes.items()}
    seconds = [Patient(name, second) for name, (_, second) in cut.items()]
    queries = [Query(f"q-{name}", first) for name, (first, _) in cut.items()]
    return Collection([*reports, *seconds], queries, {f"q-{name}": {name: 1} for name in notes})


def _halves_of(text: str) -> tuple[str, str]:
    """A note cut between sentences, nearest to its middle word; within it if it has but one."""
    sentences = SENTENCE.split(text.strip())
    if len(sentences) == 1:
        words = text.split()
        return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])
    counts = [len(sentence.split()) for sentence in sentences]
    total = sum(counts)
    at = min(range(1, len(sentences)), key=lambda i: abs(2 * sum(counts[:i]) - total))
    return " ".join(sentences[:at]), " ".join(sentences[at:])


def vocabulary() -> list[Concept]:
    """The phenotypes of HPO."""
    return list(read_vocabulary(SHARED / "vocab" / "hp.obo.gz", root="HP:0000118"))


def searcher_of(
    system: str, index: Index, concepts: list[Concept], generator: Generator | None
) -> Callable[[Mapping[str, object]], Searcher]:
    """What makes the searcher of a system under some k1 and b."""

    def made(settings: Mapping[str, object]) -> Searcher:
        k1, b = float(str(settings["k1"])), float(str(settings["b"]))
        tuned = index.with_bm25(k1, b)
        means = StrategyResources(generator, tuned, tuned, concepts)

        def strategy(name: str) -> Expander:
            return make_strategy(name, means)

        phrases = PhraseSearcher(PhraseSettings(k1, b), searcher=tuned, corpus=tuned)
        return build_searcher(parse_system(system), tuned, strategy, phrases=phrases, depth=100)

    return made


def evaluations(
    name: str,
    size: int | None,
    systems: list[str],
    candidates: list[dict[str, SettingValue]],
    generator: Generator | None,
    kept: "Kept",
) -> dict[str, Evaluation]:
    """The out-of-fold values of every system on one collection."""
    dataset = collection(name)
    qrels = dict(list(dataset.qrels.items())[:size])
    concepts = vocabulary() if any("synonyms" in system for system in systems) else []
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(Path(folder) / "index", dataset.patients)
        for system in systems:
            key = f"{name} {len(qrels)} {system} {len(candidates)}"
            if key not in kept.values:
                made = searcher_of(system, index, concepts, generator)
                tuning = tune_searcher(
                    made, candidates, dataset.queries, qrels, MEASURES, depth=100
                )
                kept.add(key, tuning.out_of_fold)
            print(f"{name}: {system}", file=sys.stderr, flush=True)
    return {
        system: kept.values[f"{name} {len(qrels)} {system} {len(candidates)}"] for system in systems
    }


class Kept:
    """Evaluations that were made already, so that a run that was stopped goes on."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        content = json.loads(path.read_text()) if path and path.exists() else {}
        self.values = {key: Evaluation(MEASURES, values) for key, values in content.items()}

    def add(self, key: str, evaluation: Evaluation) -> None:
        """Keeps one."""
        self.values[key] = evaluation
        if self._path:
            content = {name: dict(values.per_query) for name, values in self.values.items()}
            self._path.write_text(json.dumps(content))


def _generator(spec: str) -> Generator:
    from expander import CachedGenerator, ReplyCache
    from patientdx.models import ModelSettings, open_model

    cache = Path.home() / ".cache" / "patientdx"
    model = open_model(spec, ModelSettings(cache=cache))
    return CachedGenerator(model, ReplyCache(cache / "expansions.sqlite3"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--size", type=int, help="queries of each set, for a small run")
    parser.add_argument("--untuned", action="store_true", help="k1 and b as an index has them")
    parser.add_argument("--model", help="adds keywords and fusions with it, by this model")
    parser.add_argument("--keep", type=Path, help="evaluations made before; goes on from them")
    parser.add_argument("--format", default="markdown")
    options = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit("this benchmark needs ../shared/data")
    generator = _generator(options.model) if options.model else None
    systems = [*options.systems, *(PROMPTED if generator else ())]
    kept = Kept(options.keep)
    names = options.sets.split(",")
    candidates = CANDIDATES[:1] if options.untuned else CANDIDATES
    sets = {
        name: evaluations(name, options.size, systems, candidates, generator, kept)
        for name in names
    }
    tuned = f"k1 and b of every system, {len(candidates)} candidates, 5 folds, seed 0"
    notes = {"tuning": f"none: {candidates[0]}" if options.untuned else tuned}
    print(render_table(build_sets_table(sets, notes), options.format), end="")


if __name__ == "__main__":
    main()
