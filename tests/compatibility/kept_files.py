"""What is run on the kept files: the script that made them and the tests share it.

All paths are relative to a copy of `files`, which is the working directory. Whatever changes a
path, an option or a text here must be made with the version that wrote the files, and all files
with it: keys are digests of these texts.
"""

import json
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from command_line import Outcome, patientdx
from fault_server import CHAT, Answer, Script, reply, serving

from evaluator.mortality.question import PAPER_QUESTION, Question
from evaluator.selection.candidates import Candidate
from evaluator.selection.score_store import score_key
from expander.reply_cache import reply_key
from patientdx.models.opening import open_model
from patientdx.models.scripted import ScriptedModel
from patientdx.models.settings import ModelSettings
from patientdx.protocols import GenerationSettings, Prompt

FILES = Path(__file__).parent / "files"
PORT = 8765
ADDRESS = f"http://127.0.0.1:{PORT}"
"""Where the invented server seems to listen: its address is part of its digest."""

NOTE = "58-year-old man living alone on wine, muddled and reeling, with nystagmus and low magnesium"
MATH, MEDICAL, ADAPTER = "models/math-model", "models/medical-model", "models/adapter"
GGUF = "models/tiny.gguf"
STORES = ("expansions", "answers", "scores")


# Commands ----------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command, and the packages of extras that it needs."""

    args: tuple[object, ...]
    needs: tuple[str, ...] = ()


_INDEX = ("--index", "index")
_SERVER = ("--model", ADDRESS)
_JUDGED = ("--queries", "queries.jsonl", "--qrels", "qrels.tsv")
_VOCABULARY = ("--vocabulary", "vocabulary.csv")
_HF = ("torch", "transformers")
_COHORT = ("pyarrow",)
_EVERY_STRATEGY = "rrf(bm25,keywords,query2doc,grounded,rm3,rocchio,reduce)"
_SEARCH = ("tune-merge", MATH, MEDICAL, "--step", 0.5)
_PAIR = (*_SEARCH, "--resamples", 20)
_STAYS = ("--cohort", "cohorts/made.parquet")
_MORTALITY = ("evaluate-mortality", "cohorts/made.parquet", "--resamples", 20)

TUNED = {
    "feedback": (
        *("--system", "rrf(bm25,phrases,rm3,rocchio,reduce,synonyms)", *_VOCABULARY),
        *("--grid", "k1=0.9,1.2", "--grid", "b=0.4", "--grid", "rrf_k=60,20"),
        *("--grid", "weights=1:0.5:1:1:1:1"),
        *("--grid", "rm3.documents=5", "--grid", "rm3.terms=12"),
        *("--grid", "rm3.original_weight=0.6", "--grid", "rm3.max_share=0.3"),
        *("--grid", "rocchio.documents=4", "--grid", "rocchio.terms=9"),
        *("--grid", "rocchio.alpha=1.0", "--grid", "rocchio.beta=0.5"),
        *("--grid", "rocchio.max_share=0.3"),
        *("--grid", "reduce.terms=20", "--grid", "reduce.share=0.7"),
        *("--grid", "reduce.at_least=5", "--grid", "reduce.saturation=2"),
        *("--grid", "reduce.idf_power=1.5"),
        *("--grid", "synonyms.weight=0.2", "--grid", "synonyms.shared=true"),
        *("--grid", "synonyms.max_share=0.5"),
        *("--grid", "phrases.sharpness=1.25", "--grid", "phrases.k3=3.0"),
        *("--grid", "phrases.feedback_words=0.5", "--grid", "phrases.feedback_notes=5"),
        *("--grid", "phrases.feedback_terms=20", "--grid", "phrases.rerank=15"),
        *("--grid", "phrases.pair_weight=0.25"),
    ),
    "prompted": (
        *("--system", "rrf(bm25,keywords,query2doc,grounded)", *_SERVER),
        *("--grid", "k1=0.9", "--grid", "b=0.4", "--grid", "rrf_k=60"),
        *("--grid", "keywords.weight=0.5", "--grid", "keywords.most=4,8"),
        *("--grid", "keywords.only_missing=true", "--grid", "query2doc.original_weight=4.0"),
        *("--grid", "grounded.documents=3", "--grid", "grounded.excerpt_words=20"),
        *("--grid", "grounded.original_weight=3.0"),
    ),
}
"""Options of `tune-ir`: together they name every setting that a file can hold."""

SEARCHES: Mapping[str, tuple[object, ...]] = {
    "plain": ("search", NOTE, *_INDEX),
    "filtered": ("search", NOTE, *_INDEX, "--sex", "M", "--age", "40-", "--where", "ward=B"),
    "other k1 and b": ("search", NOTE, *_INDEX, "--k1", 1.5, "--b", 0.75),
    "similar": ("similar", "demo-003", *_INDEX),
    "phrases": ("search", NOTE, *_INDEX, "--expand", "phrases"),
    "keywords": ("search", NOTE, *_INDEX, *_SERVER, "--expand", "keywords", "--fuse", "rrf"),
    "tuned feedback": (
        *("search", NOTE, *_INDEX, *_VOCABULARY),
        *("--settings", "tuned/feedback.json"),
    ),
    "tuned prompts": ("search", NOTE, *_INDEX, *_SERVER, "--settings", "tuned/prompted.json"),
}
"""Searches, of which ids and scores are kept."""

_NOTES = ("--index", "index-of-notes")
SEARCHES_OF_NOTES: Mapping[str, tuple[object, ...]] = {
    "patients": ("search", "ascites and jaundice, fever", *_NOTES),
    "notes": ("search", "ascites and jaundice, fever", *_NOTES, "--by", "note"),
    "sums": ("search", "ascites and jaundice, fever", *_NOTES, "--pool", "sum:2"),
    "of a type": ("search", "jaundice fever", *_NOTES, "--note-type", "DS"),
    "by a number": ("search", "ascites fever ataxia", *_NOTES, "--where", "los=3..8"),
    "by a date": ("search", "ascites fever ataxia", *_NOTES, "--where", "date>=2180-06"),
    "another script": ("search", "\u80ba\u708e na\u00efve", *_NOTES),
    "similar": ("similar", "7", *_NOTES),
    "similar to a note": ("similar", "--note", "9-2", *_NOTES),
    "phrases": ("search", "ascites and jaundice, fever", *_NOTES, "--expand", "phrases"),
}
"""Searches in an index of patients with several notes, of which ids and scores are kept."""

EXPANDED = {
    "keywords": ("keywords", *_SERVER, "--with-replies"),
    "query2doc": ("query2doc", *_SERVER),
    "grounded": ("grounded", *_SERVER, *_INDEX),
    "reduce": ("reduce", *_INDEX),
}
"""Arguments of `expand`, whose outputs are kept."""

PREDICTED = (*_MORTALITY, "--model", f"tiny={MATH}", "--no-baselines")

COHORTS: Mapping[str, Command] = {
    "physionet": Command(
        ("physionet2012", "tables/physionet", "--redact-ids", "--key-file", "key.txt"),
        ("pyarrow", "duckdb"),
    ),
    "mimic-iv": Command(
        ("mimic-iv", "tables/mimic-iv", "--icd-map", "tables/icd.txt"), ("pyarrow", "duckdb")
    ),
    "meds": Command(
        ("meds", "tables/meds", "--labels", "tables/meds/labels.parquet"), ("pyarrow", "duckdb")
    ),
}
"""Arguments of `cohort`, whose files are kept beside the tables that they were made of."""

MODEL_RUNS: Mapping[str, Command] = {
    "expand by a folder": Command(
        ("expand", "keywords", "--queries", "queries.jsonl", "--model", MATH, "--quiet"), _HF
    ),
    "expand by a folder without template": Command(
        (
            *("expand", "query2doc", "--queries", "queries.jsonl", "--model", MEDICAL, "--quiet"),
            *("--prompt-format", "raw", "--dtype", "bfloat16"),
        ),
        _HF,
    ),
    "expand by llama.cpp": Command(
        ("expand", "keywords", "--queries", "queries.jsonl", "--model", GGUF, "--quiet"),
        ("xllamacpp",),
    ),
}
"""Further commands that leave replies in the cache."""

JSON_COMMANDS: Mapping[str, Command] = {
    "search": Command((*SEARCHES["plain"], "--json")),
    "search by keywords": Command((*SEARCHES["keywords"], "--json")),
    "similar": Command((*SEARCHES["similar"], "--json")),
    "index info": Command(("index", "info", *_INDEX, "--json")),
    "evaluate-ir": Command(
        (
            *("evaluate-ir", *_INDEX, *_JUDGED, *_VOCABULARY, "--format", "json"),
            *("--system", "bm25", "--system", "rm3", "--settings", "tuned/feedback.json"),
            *("--measures", "RR nDCG@10 R@30", "--per-query", "per-query.csv"),
        )
    ),
    "tune-ir": Command(("tune-ir", *_INDEX, *_JUDGED, "--folds", 2, *TUNED["prompted"], "--json")),
    "cohort show": Command(("cohort", "show", "cohorts/made.parquet", "--json"), _COHORT),
    "cohort physionet2012": Command(
        ("cohort", *COHORTS["physionet"].args, "--into", "again.parquet", "--json"),
        COHORTS["physionet"].needs,
    ),
    "evaluate-mortality": Command(
        (*_MORTALITY, "--model", f"tiny={MATH}", "--sections", "mortality", "--json"),
        (*_HF, *_COHORT, "sklearn"),
    ),
    "merge": Command(
        (
            *("merge", "--method", "slerp", "--weight", 0.3, MATH, MEDICAL),
            *("--into", "new-merge", "--json"),
        )
    ),
    "merge --check": Command(
        ("merge", "--method", "slerp", "--weight", 0.3, MATH, MEDICAL, "--check", "--json")
    ),
    "merge --dry-run": Command(("merge", "recipe.yml", "--dry-run", "--json")),
    "merge --verify": Command(("merge", "--verify", "merges/slerp", MATH, MEDICAL, "--json")),
    "merge --presets": Command(("merge", "--presets", "--json")),
    "tune-merge by stays": Command(
        (*_PAIR, *_STAYS, "--curve", "curve.csv", "--json"), (*_HF, *_COHORT)
    ),
    "tune-merge by halving": Command(
        (*_PAIR, *_STAYS, "--strategy", "halving", "--json"), (*_HF, *_COHORT)
    ),
    "tune-merge in private": Command((*_SEARCH, *_STAYS, "--epsilon", 1), (*_HF, *_COHORT)),
    "tune-merge by queries": Command(
        (*_PAIR, *_JUDGED, *_INDEX, "--system", _EVERY_STRATEGY, "--json"), _HF
    ),
    "tune-merge by texts": Command(
        (*_PAIR, "--text", "texts.txt", "--method", "linear", "--json"), _HF
    ),
    "model list": Command(("model", "list", "--json")),
    "doctor": Command(("doctor", "--json")),
}
"""Commands whose JSON must keep its names, and whose replies, answers and scores are kept."""

CSV_FILES = {"per-query.csv": "evaluate-ir", "curve.csv": "tune-merge by stays"}
"""Tables that these commands write."""


def run(*args: object) -> Outcome:
    """A command that must succeed, with its cache in the folder `cache` and a server beside it."""
    outcome = patientdx(*args, env={"PATIENTDX_CACHE": str(Path("cache").absolute())})
    assert outcome.code == 0, outcome.err
    return outcome


def tune_ir(name: str, into: str) -> Outcome:
    """Makes a file of tuned settings."""
    return run("tune-ir", *_INDEX, *_JUDGED, "--folds", 2, *TUNED[name], "--into", into)


def expand(name: str, into: str) -> Outcome:
    """Makes a file of expanded queries."""
    return run("expand", *EXPANDED[name], "--queries", "queries.jsonl", "--out", into)


# The server and the model that are no models ----------------------------------------------------


WORDS = ("thiamine", "encephalopathy", "ataxia", "confabulation", "ammonia", "seizure", "gait")


def invented_reply(prompt: str) -> str:
    """Some words, always the same for a prompt."""
    numbers = blake2b(prompt.encode(), digest_size=5).digest()
    return ", ".join(dict.fromkeys(WORDS[number % len(WORDS)] for number in numbers))


def answering(body: Any) -> Answer:
    """A reply to each prompt."""
    return reply(invented_reply(body["messages"][0]["content"]))


def refusing(_body: Any) -> Answer:
    """No reply: all replies are kept, and none should be wanted."""
    return Answer(status=400)


@contextmanager
def invented_server(chat: Callable[[Any], Answer]) -> Iterator[Script]:
    """A server that seems to listen at ADDRESS, on whatever port it really does."""
    script = Script(chat, owned_by="nobody", max_model_len=16384)
    connect = socket.create_connection
    with serving(script) as address:
        there = ("127.0.0.1", int(address.rpartition(":")[2]))

        def redirected(place: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
            return connect(there if place == ("127.0.0.1", PORT) else place, *args, **options)

        with mock.patch.object(socket, "create_connection", redirected):
            yield script


def prompts_sent(script: Script) -> list[Any]:
    """The prompts that a server was sent."""
    return script.bodies(CHAT)


def scripted() -> ScriptedModel:
    """A model that answers every prompt by `invented_reply`."""
    return ScriptedModel(invented_reply, score=_log_probability, name="kept")


def _log_probability(prompt: str, form: str) -> Sequence[float]:
    number = int.from_bytes(blake2b(f"{prompt}|{form}".encode(), digest_size=2).digest(), "big")
    return [-1.0 - number / 65536]


# What keys are made of --------------------------------------------------------------------------


PROMPTS: Mapping[str, str | Prompt] = {
    "a text": "Name what is missing in this note: fever and chills.",
    "a note within a question": Prompt("Note: ", "fever – and chills", "\nKeywords:"),
    "sections": Prompt("Stay: ", "age 40. pulse 90.", " Dead?", ("age 40.", " pulse 90.")),
}
GENERATIONS = {
    "greedy": GenerationSettings(),
    "short": GenerationSettings(max_new_tokens=64),
    "warm": GenerationSettings(temperature=0.7, seed=3),
    "stopped": GenerationSettings(stop=("\n\n", "END")),
}
SCOPES = ("", "another scope")

RECORDS: Mapping[str, tuple[str, ...]] = {
    "one section": ("The patient is 40 years old.",),
    "two sections": ("The patient is 40 years old. ", "Pulse 90 – fast."),
    "none": (),
}
QUESTIONS = {
    "the paper's": PAPER_QUESTION,
    "another": Question("Record: ", " Did they die? ", ("yes",), ("no",), new_tokens=3),
}

CANDIDATES = {
    "one weight": Candidate.at_lambda(0.3),
    "groups": Candidate.from_values(
        {"self_attn": 0.25, "mlp": 0.5, "rest": 1.0, "method": "slerp"}
    ),
    "three models": Candidate.from_values(
        {"lambda2": 0.5, "lambda3": 0.25, "method": "multislerp"}
    ),
}


def reply_keys() -> dict[str, str]:
    """The keys of replies, by what they are of."""
    digest = scripted().digest
    return {
        f"{prompt}, {how}, {scope}": reply_key(
            digest, PROMPTS[prompt], GENERATIONS[how], scope
        ).hex()
        for prompt in PROMPTS
        for how in GENERATIONS
        for scope in SCOPES
    }


def answer_keys() -> dict[str, str]:
    """The keys of answers about stays, by what they are of."""
    digest = scripted().digest
    return {
        f"{question}, {record}": QUESTIONS[question].answer_key(digest, RECORDS[record]).hex()
        for question in QUESTIONS
        for record in RECORDS
    }


def score_keys() -> dict[str, str]:
    """The keys of scores of candidates."""
    return {
        name: score_key("inputs – and method", candidate.key, "instance").hex()
        for name, candidate in CANDIDATES.items()
    }


def served_digests() -> dict[str, str]:
    """The digests of models that need no extra: of a script, of a server."""
    settings = {
        "as it is": ModelSettings(),
        "raw": ModelSettings(prompt_format="raw", context=512),
    }
    digests = {"scripted": scripted().digest}
    for name, chosen in settings.items():
        with closing(open_model(ADDRESS, chosen)) as model:
            digests[f"server, {name}"] = model.digest
    return digests


HF_SETTINGS = {
    "as it is": ModelSettings(),
    "raw, bfloat16": ModelSettings(prompt_format="raw", dtype="bfloat16", context=512),
}


def folder_digests() -> dict[str, str]:
    """The digests of folders in torch, of a merge that was written too; needs the extra hf."""
    digests = {}
    for folder in (MATH, MEDICAL, "merges/slerp"):
        for name, settings in HF_SETTINGS.items():
            with closing(open_model(folder, settings)) as model:
                digests[f"{folder}, {name}"] = model.digest
    return digests


def live_digests() -> dict[str, str]:
    """The digests of a live merge at several points; needs the extra hf."""
    from live_merges import plan_of

    from merger.live.merged_model import MergedModel

    digests = {}
    with closing(MergedModel.load(plan_of([Path(MATH), Path(MEDICAL)]))) as model:
        digests["as planned"] = model.digest
        for weight in (0.0, 0.3, 1.0):
            digests[f"slerp at {weight}"] = model.remix(weight).digest
        digests["linear at 0.3"] = model.remix(0.3, method="linear").digest
        digests["by tensor"] = model.remix(lambda name: 0.75 if "mlp" in name else 0.25).digest
    return digests


def gguf_digest() -> str:
    """The digest of a GGUF file in llama.cpp; needs the extra local."""
    with closing(open_model(GGUF, ModelSettings(context=512))) as model:
        return model.digest


def vllm_digest() -> str:
    """The digest of a folder in vLLM, with an engine that does nothing."""
    config = SimpleNamespace(max_position_embeddings=512)
    config.get_text_config = lambda: config
    about = SimpleNamespace(
        hf_config=config, max_model_len=512, try_get_generation_config=dict[str, int]
    )
    words = SimpleNamespace(chat_template=None, eos_token_id=2, get_added_vocab=dict[str, int])
    engine = SimpleNamespace(
        llm_engine=SimpleNamespace(model_config=about), get_tokenizer=lambda: words
    )
    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    vars(module)["LLM"] = lambda *_args, **_options: engine
    settings = ModelSettings(backend="vllm", dtype="bfloat16", context=512)
    with mock.patch.dict(sys.modules, {"vllm": module}):
        return open_model(MATH, settings).digest


# What is compared -------------------------------------------------------------------------------


def stores() -> dict[str, list[str]]:
    """All that the files of replies, answers and scores hold, as SQL."""
    contents = {}
    for name in STORES:
        with closing(sqlite3.connect(f"file:cache/{name}.sqlite3?mode=ro", uri=True)) as opened:
            numbers = [
                str(opened.execute(f"PRAGMA {pragma}").fetchone()[0])
                for pragma in ("application_id", "user_version")
            ]
            contents[name] = [*numbers, *opened.iterdump()]
    return contents


def shape(value: object) -> dict[str, str]:
    """The paths of a JSON value, each with the types that stand there."""
    kinds_at: dict[str, set[str]] = {}
    for path, kind in _walk("", value):
        kinds_at.setdefault(path, set()).add(kind)
    return {path: "|".join(sorted(kinds)) for path, kinds in sorted(kinds_at.items())}


def _walk(path: str, value: object) -> Iterator[tuple[str, str]]:
    yield path, "null" if value is None else type(value).__name__
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _walk(f"{path}/{name}", below)
    elif isinstance(value, list):
        for below in value:
            yield from _walk(f"{path}[]", below)


def rounded(value: Any) -> Any:
    """A JSON value with its numbers rounded, for another machine's last digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(below) for name, below in value.items()}
    return [rounded(below) for below in value] if isinstance(value, list) else value


def scored(outcome: Outcome) -> list[list[Any]]:
    """The hits of a search as [id, score]."""
    return [[hit["patient_id"], hit["score"]] for hit in outcome.json["hits"]]


def head(path: str) -> list[str]:
    """The names of the columns of a CSV file."""
    return Path(path).read_text(encoding="utf-8").splitlines()[0].split(",")


def recorded(name: str) -> Any:
    """A JSON file of what commands gave when the files were made."""
    return json.loads((FILES / "recorded" / f"{name}.json").read_text(encoding="utf-8"))
