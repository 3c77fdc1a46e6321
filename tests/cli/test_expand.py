"""Expansion by the command line: search, similar, expand and evaluate-ir with systems."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import NOTE, SECRET, Outcome, patientdx, rows, run_successfully, sample
from fault_server import Answer, Script, failure, reply, serving
from paths import ROOT

from patientdx.sample import sample_folder

QRELS = ("--data", sample_folder(), "--split", "test")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def run(cache: Path, *args: object, stdin: bytes | str = b"") -> Outcome:
    return patientdx(*args, stdin=stdin, env={"PATIENTDX_CACHE": str(cache)})


def keywords(body: Any) -> Answer:
    """What a helpful model would say: words of the note itself, and one of its own."""
    assert "missing keywords" in body["messages"][0]["content"]
    return reply("Keywords:\n1. vegetation\n2. endocarditis\n3. Staphylococcus aureus")


@pytest.fixture
def script() -> Script:
    return Script(keywords)


@pytest.fixture
def server(script: Script) -> Iterator[str]:
    with serving(script) as url:
        yield url


def test_search_shows_what_was_added_and_moved(
    sample_index: Path, cache: Path, server: str, script: Script
) -> None:
    args = ("search", NOTE, "--index", sample_index, "-k", 5, "--expand", "keywords")
    plain = run_successfully("search", NOTE, "--index", sample_index, "-k", 200, "--json").json[
        "hits"
    ]
    before = {hit["patient_id"]: hit["rank"] for hit in plain}
    outcome = run(cache, *args, "--model", server, "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert result["system"] == "keywords"
    assert set(result["added"]) >= {"endocarditis", "Staphylococcus aureus"}
    assert [hit["bm25_rank"] for hit in result["hits"]] == [
        before.get(hit["patient_id"]) for hit in result["hits"]
    ]
    assert len(script.bodies()) == 1
    shown = run(cache, *args, "--model", server)
    assert "keywords added: " in shown.lines[0]
    assert "endocarditis" in shown.lines[0]
    for rank, hit in enumerate(result["hits"], 1):
        line = next(line for line in shown.lines if line.lstrip().startswith(f"{rank}. "))
        moved = hit["bm25_rank"] != rank
        assert ("(was " in line or "(new)" in line) is moved
    # The replies were kept: the model was asked once in all.
    assert len(script.bodies()) == 1


def test_the_cache_is_private_and_may_be_done_without(
    sample_index: Path, cache: Path, server: str, script: Script
) -> None:
    args = ("search", NOTE, "--index", sample_index, "--expand", "keywords", "--model", server)
    assert run(cache, *args, "--no-cache").code == 0
    assert not list(cache.rglob("*.sqlite3"))
    assert run(cache, *args).code == 0
    assert len(script.bodies()) == 2
    (kept,) = cache.rglob("*.sqlite3")
    assert kept.stat().st_mode & 0o077 == 0
    assert "removed" in run(cache, "expand", "--clear").err
    assert not kept.exists()
    assert "no cache" in run(cache, "expand", "--clear").err


@pytest.mark.parametrize("strategy", ["rm3", "rocchio", "reduce", "phrases"])
def test_strategies_without_a_model(sample_index: Path, cache: Path, strategy: str) -> None:
    note = " ".join([NOTE, *(row["text"] for row in sample("corpus.jsonl")[:2])])
    args = ("search", note, "--index", sample_index, "--expand", strategy, "--json")
    alone = run(cache, *args)
    assert alone.code == 0, alone.err
    assert alone.json["added"]
    fused = run(cache, *args, "--fuse", "rrf").json
    assert fused["system"] == f"rrf(bm25,{strategy})"
    assert all(hit["score"] < 2 / 60 for hit in fused["hits"])


def test_similar_never_finds_the_patient_itself(sample_index: Path, cache: Path) -> None:
    args = ("similar", "demo-001", "--index", sample_index, "-k", 300, "--json")
    for more in ((), ("--fuse", "min-max")):
        outcome = run(cache, *args, "--expand", "rm3", *more)
        assert outcome.code == 0, outcome.err
        ids = [hit["patient_id"] for hit in outcome.json["hits"]]
        assert "demo-001" not in ids
        assert len(ids) == len(set(ids)) > 100


def test_filters_hold_for_every_part(sample_index: Path, cache: Path) -> None:
    args = ("search", NOTE, "--index", sample_index, "--sex", "F", "--age", "20-50", "--json")
    hits = run(cache, *args, "--expand", "rm3", "--fuse", "rrf", "-k", 300).json["hits"]
    assert hits
    assert all(hit["sex"] == "F" and 20 <= hit["age_years"] < 51 for hit in hits)


def test_synonyms_come_from_a_vocabulary(sample_index: Path, cache: Path, tmp_path: Path) -> None:
    vocabulary = tmp_path / "terms.csv"
    vocabulary.write_text("name,synonym\nfever,pyrexia\nmurmur,bruit\n", encoding="utf-8")
    args = ("search", "no fever but a murmur", "--index", sample_index, "--json")
    outcome = run(cache, *args, "--expand", "synonyms", "--vocabulary", vocabulary)
    assert outcome.code == 0, outcome.err
    assert set(outcome.json["added"]) == {"bruit"}


def test_runs_are_written_for_systems(sample_index: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.trec"
    queries = sample_folder() / "queries.jsonl"
    common = ("--index", sample_index, "--expand", "rm3", "--fuse", "rrf", "-k", 7)
    assert run(cache, "search", "--queries", queries, "--write-run", out, *common).code == 0
    first = sample("queries.jsonl")[0]
    hits = run(cache, "search", first["text"], *common, "--json").json["hits"]
    lines = [line.split() for line in out.read_text(encoding="utf-8").splitlines()]
    own = [line[2] for line in lines if line[0] == first["_id"]]
    assert own == [hit["patient_id"] for hit in hits]


def expanded(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.lines]


@pytest.mark.parametrize(
    ("system", "hint"),
    [
        ("phrases", "search --expand phrases --queries FILE"),
        ("rrf(bm25,rm3)", "evaluate-ir --system 'rrf(bm25,rm3)'"),
    ],
)
def test_a_system_that_is_no_strategy_is_sent_to_the_command_that_has_it(
    sample_index: Path, system: str, hint: str
) -> None:
    queries = sample_folder() / "queries.jsonl"
    outcome = patientdx("expand", system, "--queries", queries, "--index", sample_index)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"`{system}` ranks hits itself" in outcome.err
    assert hint in outcome.err


def test_expand_writes_ids_and_additions_never_notes(cache: Path, server: str) -> None:
    queries = rows(*({"_id": f"q{i}", "text": f"{SECRET} murmur {i}"} for i in range(9)))
    args = ("expand", "keywords", "--queries", "-", "--model", server)
    outcome = run(cache, *args, stdin=queries)
    done_rows = expanded(outcome)
    assert [row["query_id"] for row in done_rows] == [f"q{i}" for i in range(9)]
    assert all("endocarditis" in row["weights"] for row in done_rows)
    assert {row["origin"] for row in done_rows} == {"model"}
    assert SECRET not in outcome.out + outcome.err
    again = expanded(run(cache, *args, "--with-replies", stdin=queries))
    assert {row["origin"] for row in again} == {"cache"}
    assert "vegetation" in again[0]["reply"]


def test_a_query_without_a_reply_goes_on_unexpanded(cache: Path) -> None:
    def answer(body: Any) -> Answer:
        broken = "murmur 3" in body["messages"][0]["content"]
        return failure(400) if broken else keywords(body)

    queries = rows(*({"_id": f"q{i}", "text": f"{SECRET} murmur {i}"} for i in range(5)))
    with serving(Script(answer)) as url:
        outcome = run(cache, "expand", "--queries", "-", "--model", url, stdin=queries)
    origins = {row["query_id"]: row["origin"] for row in expanded(outcome)}
    assert origins == {f"q{i}": "failed" if i == 3 else "model" for i in range(5)}
    assert "1 query went on unexpanded" in outcome.err
    assert SECRET not in outcome.out + outcome.err


def test_the_prompt_is_shown_and_marked_as_reconstructed(cache: Path) -> None:
    outcome = run(cache, "expand", "keywords", "--show-prompt")
    assert "missing keywords" in outcome.out
    assert "{patient_data}" in outcome.out
    assert "reconstructed" in outcome.err
    assert run(cache, "expand", "rm3", "--show-prompt").code == 2


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--expand", "nothing"), 2, "unknown system `nothing`"),
        (("--fuse", "rrf"), 2, "--fuse goes with --expand"),
        (("--expand", "rm3", "--fuse", "blend"), 2, "unknown fusion `blend`"),
        (("--expand", "synonyms"), 2, "needs a vocabulary"),
        (("--expand", "keywords", "--model", "no-such-model"), 1, "no-such-model"),
        (("--expand", "keywords", "--model", "http://192.0.2.1:1"), 1, "another machine"),
    ],
)
def test_what_cannot_be_done_is_reported_in_a_sentence(
    sample_index: Path, cache: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    outcome = run(cache, "search", SECRET, "--index", sample_index, *args)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert SECRET not in outcome.err
    assert outcome.err.count("\n") <= 3


def test_evaluate_compares_systems(sample_index: Path, cache: Path, tmp_path: Path) -> None:
    args = ("evaluate-ir", "--index", sample_index, *QRELS, "--measures", "nDCG@10 P@5")
    systems = ("--system", "bm25", "--system", "rm3", "--system", "rrf(bm25,rm3)")
    outcome = run(cache, *args, *systems, "--json")
    assert outcome.code == 0, outcome.err
    table = outcome.json
    alone = run(cache, *args, "--json").json
    means = {row["system"]: row["figures"]["nDCG@10"]["value"] for row in table["rows"]}
    assert means["bm25"] == alone["rows"][0]["figures"]["nDCG@10"]["value"]
    compared = {
        (comparison["system"], comparison["measure"]): comparison
        for comparison in table["comparisons"]
    }
    assert set(compared) == {(s, m) for s in ("rm3", "rrf(bm25,rm3)") for m in ("nDCG@10", "P@5")}
    comparison = compared["rm3", "nDCG@10"]
    assert comparison["difference"]["value"] == pytest.approx(means["rm3"] - means["bm25"])
    text = run(cache, *args, *systems).out
    assert "wins/ties/losses" in text
    per_query = tmp_path / "values.csv"
    assert run(cache, *args, *systems, "--per-query", per_query).code == 0
    assert "rrf(bm25,rm3)" in per_query.read_text(encoding="utf-8")


def test_evaluating_a_model_says_which_and_what_is_reconstructed(
    sample_index: Path, cache: Path, server: str, script: Script
) -> None:
    args = ("evaluate-ir", "--index", sample_index, *QRELS, "--model", server)
    outcome = run(cache, *args, "--system", "bm25", "--system", "rrf(bm25,keywords)")
    assert outcome.code == 0, outcome.err
    assert "reconstructed" in outcome.out
    assert server in outcome.out
    queries = [body["messages"][0]["content"] for body in script.bodies()]
    assert len(queries) == len(set(queries)) == len(sample("queries.jsonl"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--system", "bm25", "--system", "bm25"), "named twice"),
        (
            ("--system", "bm25", "--system", "rm3", "--write-run", "x"),
            "--write-run writes one system",
        ),
        (("--plot", "x.png"), "--plot compares systems"),
        (("--system", "rrf(bm25)"), "is not a system"),
    ],
)
def test_evaluations_that_make_no_sense(
    sample_index: Path, cache: Path, args: tuple[str, ...], message: str
) -> None:
    outcome = run(cache, "evaluate-ir", "--index", sample_index, *QRELS, *args)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_plots_are_drawn(sample_index: Path, cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `report`")
    plot = tmp_path / "differences.png"
    args = ("evaluate-ir", "--index", sample_index, *QRELS, "--plot", plot)
    outcome = run(cache, *args, "--system", "bm25", "--system", "rm3")
    assert outcome.code == 0, outcome.err
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_killed_expansion_goes_on_where_it_stopped(cache: Path, tmp_path: Path) -> None:
    """200 queries; the process is killed in the middle, and pays for one batch twice at most."""
    queries = tmp_path / "queries.jsonl"
    queries.write_bytes(
        rows(*({"_id": f"q{i}", "text": f"a murmur, number {i}"} for i in range(200)))
    )
    out = tmp_path / "expanded.jsonl"

    def slowly(body: Any) -> Answer:
        answer = keywords(body)
        answer.wait_s = 0.02
        return answer

    script = Script(slowly)
    with serving(script) as url:
        command = [sys.executable, "cli.py", "expand", "--queries", queries, "-o", out, "-m", url]
        env = {**os.environ, "PATIENTDX_CACHE": str(cache)}
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=env)
        while len(script.bodies()) < 90:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists()
        subprocess.run([str(part) for part in command], cwd=ROOT, env=env, check=True)
    assert 200 <= len(script.bodies()) <= 200 + 8
    assert len(out.read_text(encoding="utf-8").splitlines()) == 200
