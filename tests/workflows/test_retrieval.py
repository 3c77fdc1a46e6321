"""Search, evaluation, tuning and indexing as functions of Python, beside the command line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import run_successfully

from evaluator import read_tuned_settings
from indexer.analysis import AnalysisSettings
from indexer.bm25 import BM25Settings
from indexer.index import Index
from patientdx.errors import InputError, NotFoundError, UsageError
from patientdx.formats import read_qrels, read_queries
from patientdx.records import Filter
from patientdx.sample import sample_folder
from workflows.indexing import CorpusSource, build_from_corpus
from workflows.judgements import JudgedQueries, find_judged_queries
from workflows.monitor import Progress
from workflows.retrieval_evaluation import evaluate_runs, evaluate_systems, resolve_systems
from workflows.retrieval_tuning import tune_system
from workflows.searching import search_patients, similar_patients

NOTE = "fever and a new murmur in a man who injects drugs"
QUERIES = sample_folder() / "queries.jsonl"
QRELS = sample_folder() / "qrels" / "test.tsv"


class RecordingMonitor:
    """Keeps what a workflow reports."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.warnings: list[str] = []
        self.progress_of: dict[str, list[int]] = {}

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        del total
        steps = self.progress_of.setdefault(label, [])
        yield lambda done, note="": steps.append(done)  # noqa: ARG005 - as Progress has it


@pytest.fixture
def index(sample_index: Path) -> Index:
    return Index.open(sample_index)


@pytest.mark.parametrize("system", ["bm25", "phrases", "rrf(bm25,rm3)"])
def test_a_search_returns_what_the_command_prints(
    index: Index, sample_index: Path, system: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {
        "bm25": (),
        "phrases": ("--expand", "phrases"),
        "rrf(bm25,rm3)": ("--expand", "rm3", "--fuse", "rrf"),
    }
    result = search_patients(index, NOTE, 5, system=system, where=Filter(sex="M"))
    assert capfd.readouterr() == ("", "")
    printed = run_successfully(
        "search", NOTE, "--index", sample_index, "-k", 5, "--sex", "M", "--json", *options[system]
    )
    assert json.loads(json.dumps(result.to_dict()))["hits"] == printed.json["hits"]
    assert repr(result) == f"SearchResult('query', 5 hits, system={str(system)!r})"
    assert NOTE not in result._repr_html_()


def test_hits_turn_into_a_frame(index: Index) -> None:
    pytest.importorskip("pandas")
    result = search_patients(index, NOTE, 3)
    frame = result.to_frame()
    assert frame["patient_id"].tolist() == [hit.doc_id for hit in result.hits]
    assert frame["rank"].tolist() == [1, 2, 3]


def test_similar_patients_are_others(index: Index) -> None:
    result = similar_patients(index, "demo-001", 4)
    assert len(result.hits) == 4
    assert "demo-001" not in {hit.doc_id for hit in result.hits}
    with pytest.raises(NotFoundError):
        similar_patients(index, "nobody")


def test_systems_are_measured_as_by_the_command(index: Index, sample_index: Path) -> None:
    monitor = RecordingMonitor()
    systems = resolve_systems(["bm25", "rm3"], [])
    judged = JudgedQueries(QUERIES, QRELS)
    evaluation = evaluate_systems(index, systems, judged, ["nDCG@10"], monitor=monitor)
    printed = run_successfully(
        *("evaluate-ir", "--index", sample_index, "--data", sample_folder(), "--json"),
        *("--system", "bm25", "--system", "rm3", "--measures", "nDCG@10"),
    ).json
    values = [row["figures"]["nDCG@10"]["value"] for row in printed["rows"]]
    assert [evaluation.evaluations[name].mean("nDCG@10") for name in systems] == values
    assert monitor.progress_of["evaluating"][-1] == 2 * len(judged.qrels)
    assert "nDCG@10" in repr(evaluation)


def test_runs_are_measured_from_memory(index: Index) -> None:
    queries = list(read_queries(QUERIES))
    run = dict(zip((q.query_id for q in queries), index.search_many(queries, 50), strict=True))
    monitor = RecordingMonitor()
    evaluation = evaluate_runs({"bm25": run}, read_qrels(QRELS), ["R@1000"], monitor=monitor)
    assert 0 < evaluation.evaluations["bm25"].mean("R@1000") <= 1
    (notice,) = monitor.notices
    assert notice.startswith("bm25: at most 50 hits a query, and these measures read 1,000")


def test_a_system_is_tuned_out_of_fold(index: Index, tmp_path: Path) -> None:
    monitor = RecordingMonitor()
    judged = JudgedQueries(QUERIES, QRELS)
    tuning = tune_system(
        index, judged, "bm25", grid_values=["k1=0.9,1.2", "b=0.4"], folds=2, monitor=monitor
    )
    assert set(tuning.tuning.settings) == {"system", "k1", "b"}
    assert monitor.notices == [f"2 candidates, {len(judged.qrels)} judged queries"]
    tuning.write_settings(tmp_path / "tuned.json")
    settings = read_tuned_settings(tmp_path / "tuned.json").settings
    assert settings == tuning.tuning.settings


def test_a_corpus_is_indexed_and_its_bad_rows_counted(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "a", "text": "gout"}\n{"_id": "b"}\n', encoding="utf-8")
    monitor = RecordingMonitor()
    result = build_from_corpus(
        CorpusSource(str(corpus), skip_bad=True),
        tmp_path / "index",
        analysis=AnalysisSettings.from_options("english", "english"),
        bm25=BM25Settings(),
        monitor=monitor,
    )
    assert (result.index.size, result.skipped.count) == (1, 1)
    corpus.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="there are no patients in it"):
        build_from_corpus(
            CorpusSource(str(corpus)),
            tmp_path / "other",
            analysis=AnalysisSettings.from_options("english", "english"),
            bm25=BM25Settings(),
        )
    assert not (tmp_path / "other").exists()


def test_judged_queries_are_named_in_one_way() -> None:
    assert find_judged_queries(sample_folder(), "test", None, None).qrels == read_qrels(QRELS)
    with pytest.raises(UsageError, match="give --data FOLDER"):
        find_judged_queries(sample_folder(), "test", None, "qrels.tsv")
