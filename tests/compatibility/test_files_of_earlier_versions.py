"""Files that an earlier version wrote still open, and hold what they held.

`make_files.py` tells how they were made. Names on disk (columns, keys of JSON, fields that go into
a digest) are frozen: where a name changes, a kept reply is
not found again, and a test here fails.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fault_server import Script
from kept_files import (
    ADAPTER,
    COHORTS,
    CSV_FILES,
    EXPANDED,
    FILES,
    GENERATIONS,
    JSON_COMMANDS,
    MATH,
    MEDICAL,
    MODEL_RUNS,
    PREDICTED,
    PROMPTS,
    QUESTIONS,
    RECORDS,
    SCOPES,
    SEARCHES,
    SEARCHES_OF_NOTES,
    TUNED,
    Command,
    answer_keys,
    answering,
    expand,
    folder_digests,
    gguf_digest,
    head,
    invented_reply,
    invented_server,
    live_digests,
    prompts_sent,
    recorded,
    refusing,
    reply_keys,
    rounded,
    run,
    score_keys,
    scored,
    scripted,
    served_digests,
    shape,
    stores,
    tune_ir,
    vllm_digest,
)

from evaluator.cohorts import read_cohort
from evaluator.mortality.answer_store import AnswerStore
from evaluator.mortality.answering import answer_questions
from evaluator.retrieval.settings_file import read_tuned_settings
from evaluator.selection.score_store import ScoreStore
from expander.cached_generator import CachedGenerator
from expander.reply_cache import ReplyCache
from expander.strategies.recorded import read_expansions
from indexer.index import Index
from patientdx.formats import read_queries
from patientdx.models.scripted import ScriptedModel


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A copy of the files as the working directory, beside a server that gives no reply."""
    shutil.copytree(FILES, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")
    with invented_server(refusing) as script:
        yield script


def need(packages: tuple[str, ...]) -> None:
    """Skips a test where a package of an extra is missing."""
    for package in packages:
        pytest.importorskip(package, reason=f"{package} comes with an extra")


def need_version(package: str) -> None:
    """Skips a test whose digests hold the version of a package, under another version."""
    if version(package) != recorded("versions")[package]:
        pytest.skip(f"the digests were taken with another version of {package}")


# The index ---------------------------------------------------------------------------------------


def test_the_index_verifies_and_reports_what_it_holds() -> None:
    assert "29 patients, every byte as committed" in run("index", "verify", "--index", "index").err
    facts = run("index", "info", "--index", "index", "--json").json
    assert (facts["patients"], facts["segments"], facts["deleted"]) == (29, 2, 3)
    assert len(list(Path("index").glob("deletions-*.pdx"))) == 1


def test_every_patient_of_the_index_reads() -> None:
    patients = recorded("patients")
    rows = [asdict(patient) for patient in Index.open(Path("index")).patients()]
    # What notes of later versions say besides was not known of these.
    added = {"note_id": "", "date": "", "age_until": None}
    assert json.loads(json.dumps(rows)) == [patient | added for patient in patients]
    ids = run("index", "info", "--index", "index", "--ids").lines
    assert ids == [patient["patient_id"] for patient in patients]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_gives_the_hits_it_gave(name: str, server: Script) -> None:
    hits = scored(run(*SEARCHES[name], "--json"))
    assert rounded(hits) == rounded(recorded("searches")[name])
    assert prompts_sent(server) == []


def test_queries_give_the_run_they_gave() -> None:
    run(
        "search",
        "--queries",
        "queries.jsonl",
        "--index",
        "index",
        "--write-run",
        "new.trec",
        "-k",
        5,
    )
    columns = [
        [line.split()[:4] + line.split()[5:] for line in Path(name).read_text().splitlines()]
        for name in ("run.trec", "new.trec")
    ]
    assert columns[0] == columns[1]


def test_an_index_can_still_be_changed() -> None:
    run("index", "add", "changes.jsonl", "--update", "--index", "index")
    run("index", "delete", "demo-001", "--index", "index")
    run("index", "compact", "--index", "index")
    facts = run("index", "info", "--index", "index", "--json").json
    assert (facts["patients"], facts["segments"], facts["deleted"]) == (28, 1, 0)
    run("index", "verify", "--index", "index")


# An index of patients with several notes ---------------------------------------------------------


def test_an_index_of_notes_verifies_and_holds_its_notes() -> None:
    verified = run("index", "verify", "--index", "index-of-notes").err
    assert "5 patients, 7 notes, every byte as committed" in verified
    facts = run("index", "info", "--index", "index-of-notes", "--json").json
    assert (facts["patients"], facts["notes"]) == (5, 7)
    assert (facts["segments"], facts["deleted"]) == (2, 2)
    manifest = json.loads(Path("index-of-notes/manifest.json").read_text(encoding="utf-8"))
    assert manifest["version"] == 3
    rows = [asdict(note) for note in Index.open("index-of-notes").patients()]
    assert json.loads(json.dumps(rows)) == recorded("notes")


@pytest.mark.parametrize("name", SEARCHES_OF_NOTES)
def test_a_search_of_notes_gives_the_hits_it_gave(name: str) -> None:
    hits = scored(run(*SEARCHES_OF_NOTES[name], "--json"))
    assert rounded(hits) == rounded(recorded("searches_of_notes")[name])


def test_an_index_of_notes_can_still_be_changed() -> None:
    index = ("--index", "index-of-notes")
    run("index", "add", "more-notes.jsonl", "--update", *index)
    run("index", "delete", "8", *index)
    run("index", "delete", "--note", "7-1", *index)
    assert Index.open("index-of-notes").with_unit("note").patients_of(["9-2"]) == ["9"]
    run("index", "compact", *index)
    facts = run("index", "info", *index, "--json").json
    assert (facts["patients"], facts["notes"]) == (4, 4)
    assert (facts["segments"], facts["deleted"]) == (1, 0)
    run("index", "verify", *index)
    assert [hit[0] for hit in scored(run("search", "ascites", *index, "--json"))] == [
        "7",
        "9",
        "12",
    ]


# Settings and expanded queries -------------------------------------------------------------------


@pytest.mark.parametrize("name", TUNED)
def test_a_file_of_tuned_settings_opens_and_is_written_alike(name: str, server: Script) -> None:
    content = json.loads(Path(f"tuned/{name}.json").read_text(encoding="utf-8"))
    assert read_tuned_settings(f"tuned/{name}.json").settings == content["settings"]
    tune_ir(name, "again.json")
    again = json.loads(Path("again.json").read_text(encoding="utf-8"))
    # Later versions also count the judged notes that the index lacks, 1 of which it lacks here.
    assert again["notes"].pop("judged notes").startswith("1 of 17 judged notes")
    # Patients with the id of a query are no longer dropped unless that is an option.
    content["notes"]["system"] = content["notes"]["system"].replace("identical ids dropped; ", "")
    assert rounded(again) == rounded(content)
    assert prompts_sent(server) == []


@pytest.mark.parametrize("name", EXPANDED)
def test_expanded_queries_read_and_are_written_alike(name: str, server: Script) -> None:
    kept = Path(f"expanded/{name}.jsonl")
    rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    queries = list(read_queries("queries.jsonl"))
    for row, query in zip(rows, read_expansions(kept).expand_many(queries), strict=True):
        assert (row["query_id"], row["weights"]) == (query.query_id, dict(query.weights))
        assert (row["terms"], row["replaces_text"]) == (dict(query.terms), not query.text)
    expand(name, "again.jsonl")
    again = [json.loads(line) for line in Path("again.jsonl").read_text("utf-8").splitlines()]
    assert rounded(again) == rounded(rows)
    assert prompts_sent(server) == []


# Cohorts and predictions -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["made", *COHORTS])
def test_a_cohort_reads_back(name: str) -> None:
    need(("pyarrow",))
    held = recorded(f"cohort-{name}")
    path = Path(f"cohorts/{name}.parquet")
    rows = [list(asdict(stay).values()) for stay in read_cohort(path)]
    # As text, in which a NaN equals a NaN.
    assert json.dumps(rows) == json.dumps(held["stays"])
    assert rounded(run("cohort", "show", path, "--json").json) == rounded(held["show"])


@pytest.mark.parametrize("name", COHORTS)
def test_tables_make_the_cohort_they_made(name: str) -> None:
    need(COHORTS[name].needs)
    import pyarrow.parquet as pq

    run("cohort", *COHORTS[name].args, "--into", "again.parquet", "--threads", 1)
    kept, again = (pq.ParquetFile(path) for path in (f"cohorts/{name}.parquet", "again.parquet"))
    assert again.schema_arrow.names == kept.schema_arrow.names
    assert again.schema_arrow.types == kept.schema_arrow.types
    assert json.dumps(_rows(again)) == json.dumps(_rows(kept))
    assert _metadata(again) == _metadata(kept)


def _rows(file: Any) -> Any:
    return rounded(sorted(file.read().to_pylist(), key=lambda row: row["stay_id"]))


def _metadata(file: Any) -> Any:
    """How a cohort was made, but for the version that made it."""
    content = json.loads(file.metadata.metadata[b"patientdx.cohort"])
    assert isinstance(content.pop("version"), str)
    return content


def test_predictions_read_and_are_written_alike_from_kept_answers() -> None:
    need(("pyarrow", "torch", "transformers"))
    import pyarrow.parquet as pq

    before = stores()
    run(*PREDICTED, "--predictions", "again")
    assert stores() == before
    names = sorted(path.name for path in Path("predictions").iterdir())
    assert names == ["mortality-hard.tiny.parquet", "mortality.tiny.parquet"]
    for name in names:
        kept, again = (pq.read_table(Path(folder, name)) for folder in ("predictions", "again"))
        assert kept.num_rows == 24
        assert again.equals(kept, check_metadata=True)


# Merges ------------------------------------------------------------------------------------------


def test_a_merge_is_verified_byte_by_byte() -> None:
    outcome = run("merge", "--verify", "merges/slerp", MATH, MEDICAL)
    assert outcome.err == "merges/slerp: 9 files, every byte as merged\n"
    assert outcome.out == ""


def test_a_merge_with_an_adapter_is_verified_byte_by_byte() -> None:
    about = Path("merges/with-adapter/patientdx_merge.json")
    content = json.loads(about.read_text(encoding="utf-8"))
    # The folder of an adapter is not named again by `--verify`: it lies elsewhere now.
    content["inputs"][1]["adapter"] = str(Path(ADAPTER).absolute())
    about.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    outcome = run("merge", "--verify", "merges/with-adapter", MATH, MEDICAL)
    assert outcome.err == "merges/with-adapter: 9 files, every byte as merged\n"


def test_the_recipe_beside_a_merge_is_the_recipe_of_the_merge() -> None:
    shown = run("merge", "merges/slerp/mergekit_config.yml", "--show-recipe").out
    assert shown == Path("merges/slerp/mergekit_config.yml").read_text(encoding="utf-8")


# Replies, answers, scores ------------------------------------------------------------------------


def never(prompt: str) -> str:
    """In place of a model: every reply is kept, so that it should not be called."""
    pytest.fail(f"the model was called for what is kept: {prompt[:40]}")


def silent_model() -> ScriptedModel:
    """A model with the digest of `scripted()`, which fails the test."""
    return ScriptedModel(never, score=lambda prompt, _: [len(never(prompt))], name="kept")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("how", GENERATIONS)
def test_every_kept_reply_is_found_again(how: str, scope: str) -> None:
    prompts = list(PROMPTS.values())
    with ReplyCache("cache/expansions.sqlite3") as cache:
        model = CachedGenerator(silent_model(), cache, scope=scope)
        replies = model.replies(prompts, GENERATIONS[how])
    assert [reply.origin for reply in replies] == ["cache"] * len(prompts)
    texts = [prompt if isinstance(prompt, str) else prompt.text for prompt in prompts]
    assert [reply.text for reply in replies] == list(map(invented_reply, texts))


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_kept_answer_is_found_again(name: str, tmp_path: Path) -> None:
    records, question = list(RECORDS.values()), QUESTIONS[name]
    with AnswerStore("cache/answers.sqlite3") as store:
        answers = answer_questions(silent_model(), records, question, store)
    with AnswerStore(tmp_path / "new.sqlite3") as store:
        assert answer_questions(scripted(), records, question, store) == answers


def test_every_kept_score_is_found_again() -> None:
    keys = [bytes.fromhex(key) for key in recorded("keys")["scores"].values()]
    with ScoreStore("cache/scores.sqlite3") as store:
        scores = store.find(keys)
    values = [tuple(scores[key]) for key in keys]
    assert repr(values) == "[(0.25, None), (nan, 1.0), (-1e-300, 0.5)]"


@pytest.mark.parametrize("name", MODEL_RUNS)
def test_a_command_finds_every_kept_reply_of_a_model(name: str) -> None:
    need(MODEL_RUNS[name].needs)
    if "xllamacpp" in MODEL_RUNS[name].needs:
        need_version("xllamacpp")
    before = stores()
    outcome = run(*MODEL_RUNS[name].args)
    assert [json.loads(line)["origin"] for line in outcome.lines] == ["cache"] * 4
    assert stores() == before


def test_a_reply_that_is_not_kept_is_noticed() -> None:
    before = stores()
    with invented_server(answering) as script:
        run(*SEARCHES["keywords"][:1], "measles", *SEARCHES["keywords"][2:])
    assert len(prompts_sent(script)) == 1
    assert stores() != before


# Keys and digests --------------------------------------------------------------------------------


def test_keys_are_those_recorded() -> None:
    keys = recorded("keys")
    assert reply_keys() == keys["replies"]
    assert answer_keys() == keys["answers"]
    assert score_keys() == keys["scores"]


def test_digests_of_scripts_and_servers_are_those_recorded() -> None:
    assert served_digests() == recorded("models")["served"]


def test_digests_of_folders_in_torch_are_those_recorded() -> None:
    need(("torch", "transformers"))
    assert folder_digests() == recorded("models")["folders"]


def test_digests_of_a_live_merge_are_those_recorded() -> None:
    need(("torch", "transformers"))
    need_version("tokenizers")
    assert live_digests() == recorded("models")["live"]


def test_the_digest_of_a_gguf_file_in_llama_cpp_is_that_recorded() -> None:
    need(("xllamacpp",))
    need_version("xllamacpp")
    assert gguf_digest() == recorded("models")["gguf"]


def test_the_digest_of_a_folder_in_vllm_is_that_recorded() -> None:
    assert vllm_digest() == recorded("models")["vllm"]


# JSON and CSV ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JSON_COMMANDS)
def test_json_has_every_name_it_had_and_nothing_kept_is_asked_again(
    name: str, server: Script
) -> None:
    command: Command = JSON_COMMANDS[name]
    need(command.needs)
    if name.startswith("tune-merge"):
        need_version("tokenizers")
    before = stores()
    present = shape(run(*command.args).json)
    names: dict[str, str] = recorded("json_shapes")[name]
    if name == "merge --dry-run":  # the one remark there was: vocabularies that were not compared
        assert names.pop("/remarks[]") == "str"
        assert present["/remarks"] == "list"
    if name == "doctor":  # types there are those of the machine: none where a package is missing
        assert names.keys() <= present.keys()
    else:
        assert names.items() <= present.items()
    for path in (path for path, of in CSV_FILES.items() if of == name):
        assert head(path) == recorded("csv_heads")[path]
    assert stores() == before
    assert prompts_sent(server) == []
