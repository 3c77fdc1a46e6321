"""Makes the files of `files`, as version 3868f64 wrote them.

    git checkout 3868f64
    PYTHONPATH=.:tests python tests/compatibility/make_files.py

It was run once, and is kept to tell how the files were made; a later version would write files of
its own names, which proves nothing. All is invented: the notes are of the shipped sample, the
stays and models of the helpers of the tests, the replies those of a script.

It works in the folder WORK, because a merge records where its inputs lay, and leaves out what is
remembered of that machine alone (`digests.json`).
"""

import json
import math
import os
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import small_cohorts
import small_mimic
import tiny_models
from kept_files import (
    ADAPTER,
    COHORTS,
    CSV_FILES,
    EXPANDED,
    FILES,
    GENERATIONS,
    GGUF,
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
    TUNED,
    answer_keys,
    answering,
    expand,
    folder_digests,
    gguf_digest,
    head,
    invented_server,
    live_digests,
    reply_keys,
    run,
    score_keys,
    scored,
    scripted,
    served_digests,
    shape,
    tune_ir,
    vllm_digest,
)

from evaluator.cohorts import (
    Bin,
    CohortMeta,
    FlowStep,
    Measurement,
    Stay,
    read_cohort,
    write_cohort,
)
from evaluator.mortality.answer_store import AnswerStore
from evaluator.mortality.answering import answer_questions
from evaluator.selection.score_store import Score, ScoreStore
from expander import CachedGenerator, ReplyCache
from indexer.index import Index
from patientdx.sample import sample_folder

WORK = Path("/tmp/patientdx-kept-files")
PATIENTS = 30
SIZES: dict[str, Any] = {
    "context": 4096,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


def main() -> None:
    """Makes everything anew."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "recorded").mkdir(parents=True)
    os.chdir(WORK)
    Path("cache").mkdir()
    make_inputs()
    make_index()
    make_models()
    make_cohorts()
    with invented_server(answering):
        make_tuned()
        make_merges()
        fill_stores()
        make_outputs()
        record_digests()
    record_cohorts()
    write("versions", {name: version(name) for name in ("tokenizers", "xllamacpp")})
    for memory in Path("cache").rglob("digests.json"):
        memory.unlink()
    shutil.rmtree(FILES, ignore_errors=True)
    shutil.copytree(WORK, FILES)


def write(name: str, value: object) -> None:
    """A JSON file of what the tests should find."""
    text = json.dumps(value, ensure_ascii=False, indent=0)
    Path("recorded", f"{name}.json").write_text(text + "\n", encoding="utf-8")


def sample(name: str) -> list[dict[str, Any]]:
    """The rows of a file of the shipped sample."""
    text = (sample_folder() / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_rows(path: str, rows: list[dict[str, Any]]) -> None:
    """Rows as JSON lines."""
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_inputs() -> None:
    """Notes, queries, judgements, texts, a vocabulary, a key and a recipe."""
    notes = [
        row | {"ward": "AB"[number % 2]}
        for number, row in enumerate(sample("corpus.jsonl")[:PATIENTS])
    ]
    notes[4]["title"] = "A case of Wernicke's encephalopathy – après chirurgie"
    write_rows("patients.jsonl", notes)
    changed = notes[2] | {"text": notes[2]["text"] + " Gait ataxia remained."}
    new = {"_id": "new-1", "text": "A 7-month-old girl with fever and a new murmur.", "ward": "C"}
    write_rows("changes.jsonl", [changed, new])
    queries = sample("queries.jsonl")[:4]
    write_rows("queries.jsonl", queries)
    names = {query["_id"] for query in queries}
    lines = (sample_folder() / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    kept = [lines[0], *(line for line in lines[1:] if line.split("\t")[0] in names)]
    Path("qrels.tsv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    texts = ("the patient has a fever\nand chills", "pain in the chest", "a note of a patient")
    Path("texts.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    Path("vocabulary.csv").write_text("wine,alcohol\nmuddled,confusion\n", encoding="utf-8")
    Path("key.txt").write_text("an invented key of many bytes\n", encoding="utf-8")
    models = f"  - model: {MATH}\n  - model: {MEDICAL}+{ADAPTER}\n"
    weights = models.replace("\n", "\n    parameters: {weight: 0.5}\n")
    recipe = f"models:\n{weights}merge_method: linear\nbase_model: {MATH}\ndtype: bfloat16\n"
    Path("recipe.yml").write_text(recipe, encoding="utf-8")


def make_index() -> None:
    """Two segments, the first with deletions."""
    run("index", "build", "patients.jsonl", "--into", "index", "--quiet")
    run("index", "add", "changes.jsonl", "--update", "--index", "index", "--quiet")
    run("index", "delete", "demo-008", "demo-021", "--index", "index", "--quiet")
    write("patients", [asdict(patient) for patient in Index.open(Path("index")).patients()])


def make_models() -> None:
    """Two sibling models of random weights in bfloat16, an adapter, and a GGUF."""
    import torch
    from safetensors.torch import save_file

    words = tiny_models.tokenizer()
    first = tiny_models.model(vocabulary=len(words), **SIZES)
    second = tiny_models.model(vocabulary=len(words), **SIZES)
    torch.manual_seed(1)
    for name, tensor in second.state_dict().items():
        size = 0.005 if "down_proj" in name else 0.5
        tensor.add_(torch.randn_like(tensor) * max(float(tensor.std()), 0.2) * size)
    for folder, net in ((MATH, first), (MEDICAL, second)):
        net.to(torch.bfloat16).save_pretrained(folder)
        words.save_pretrained(folder)
        Path(folder, "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    source = {"repo": "nobody/math-model", "revision": "0123456789abcdef", "files": []}
    Path(MATH, "SOURCE.json").write_text(json.dumps(source, indent=2) + "\n")
    tiny_models.save_gguf(Path(GGUF), first.float(), words)
    Path(ADAPTER).mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    Path(ADAPTER, "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
    place = "base_model.model.model.layers.0.self_attn.q_proj"
    parts = {"lora_A": torch.randn(2, 16) * 0.05, "lora_B": torch.randn(16, 2) * 0.05}
    tensors = {f"{place}.{name}.weight": value for name, value in parts.items()}
    save_file(tensors, Path(ADAPTER, "adapter_model.safetensors"))


def stay(number: int) -> Stay:
    """An invented stay; every third patient dies, with a faster pulse."""
    rate = 80.0 + 15 * (number % 3 == 0) + number % 7
    return Stay(
        stay_id=f"stay-{number}",
        subject_id=f"subject-{number}",
        died=number % 3 == 0,
        age=None if number == 3 else float(20 + number),
        sex=(None, "F", "M")[min(number, 1 + number % 2)],
        unit=("MICU", "SICU")[number % 2],
        race="WHITE" if number % 4 else None,
        insurance="Medicare" if number % 5 else None,
        diagnosis_codes=("I10", "J96") if number % 2 else (),
        diagnoses=("hypertension", "respiratory failure") if number % 2 else (),
        charts=(Measurement("HR", rate), Measurement("SpO₂", math.nan if number == 2 else 96.5)),
        medications=(Measurement("Saline", 2.5),) if number % 3 else (),
        procedures=("Ventilation",) if number % 3 == 0 else (),
        outputs=("Foley",),
        bins=tuple(Bin(0, step, rate + step) for step in range(2)),
    )


def make_cohorts() -> None:
    """A cohort written from memory, and three made of tables."""
    flow = (FlowStep("stays", "all", 0, 28), FlowStep("stays", "too short", 4, 24))
    meta = CohortMeta("made up", {"window_hours": 48}, flow, ("nothing in it is true",))
    Path("cohorts").mkdir()
    write_cohort(Path("cohorts/made.parquet"), map(stay, range(24)), meta)
    small_cohorts.physionet_records(Path("tables/physionet"))
    small_mimic.mimic_iv(Path("tables/mimic-iv"), suffix=".csv")
    small_mimic.icd_map(Path("tables"))
    small_cohorts.meds(Path("tables/meds"))
    for name, command in COHORTS.items():
        run("cohort", *command.args, "--into", f"cohorts/{name}.parquet", "--threads", 1)


def record_cohorts() -> None:
    """What the cohort files are read as."""
    for name in ("made", *COHORTS):
        path = Path(f"cohorts/{name}.parquet")
        rows = [list(asdict(held).values()) for held in read_cohort(path)]
        shown = run("cohort", "show", path, "--json").json
        write(f"cohort-{name}", {"stays": rows, "show": shown})


def make_tuned() -> None:
    """Files of tuned settings."""
    Path("tuned").mkdir()
    for name in TUNED:
        tune_ir(name, f"tuned/{name}.json")


def make_merges() -> None:
    """A merge on the command line, and another by a recipe with an adapter."""
    Path("merges").mkdir()
    pair = ("--method", "slerp", "--weight", 0.4, MATH, MEDICAL)
    run("merge", *pair, "--into", "merges/slerp")
    run("merge", "recipe.yml", "--into", "merges/with-adapter")


def fill_stores() -> None:
    """Replies, answers and scores: by a script and by all commands that keep any."""
    with ReplyCache("cache/expansions.sqlite3") as cache:
        for scope in SCOPES:
            model = CachedGenerator(scripted(), cache, scope=scope)
            for settings in GENERATIONS.values():
                model.generate(list(PROMPTS.values()), settings)
    with AnswerStore("cache/answers.sqlite3") as answers:
        for question in QUESTIONS.values():
            answer_questions(scripted(), list(RECORDS.values()), question, answers)
    with ScoreStore("cache/scores.sqlite3") as scores:
        values = (Score(0.25, None), Score(float("nan"), 1.0), Score(-1e-300, 0.5))
        scores.store(dict(zip(map(bytes.fromhex, score_keys().values()), values, strict=True)))
    for command in (*JSON_COMMANDS.values(), *MODEL_RUNS.values()):
        run(*command.args)
        clear()
    for name in SEARCHES:
        run(*SEARCHES[name], "--json")
    for name in EXPANDED:
        expand(name, "expanded.jsonl")
        clear()


def clear() -> None:
    """Removes what commands wrote."""
    shutil.rmtree("new-merge", ignore_errors=True)
    for name in ("again.parquet", "expanded.jsonl", *CSV_FILES):
        Path(name).unlink(missing_ok=True)


def make_outputs() -> None:
    """Outputs of commands, with every reply, answer and score out of the stores."""
    Path("expanded").mkdir()
    for name in EXPANDED:
        expand(name, f"expanded/{name}.jsonl")
    run(*PREDICTED, "--predictions", "predictions")
    run("search", "--queries", "queries.jsonl", "--index", "index", "--run", "run.trec", "-k", 5)
    write("searches", {name: scored(run(*args, "--json")) for name, args in SEARCHES.items()})
    heads: dict[str, list[str]] = {}
    shapes: dict[str, dict[str, str]] = {}
    for name, command in JSON_COMMANDS.items():
        shapes[name] = shape(run(*command.args).json)
        heads |= {path: head(path) for path, of in CSV_FILES.items() if of == name}
        clear()
    write("json_shapes", shapes)
    write("csv_heads", heads)


def record_digests() -> None:
    """Keys, and digests of models."""
    with ReplyCache("cache/expansions.sqlite3") as replies:
        texts = replies.find(list(map(bytes.fromhex, reply_keys().values())))
    with AnswerStore("cache/answers.sqlite3") as answers:
        kept = answers.find(list(map(bytes.fromhex, answer_keys().values())))
    assert len(texts) == len(reply_keys())
    assert len(kept) == len(answer_keys())
    write("keys", {"replies": reply_keys(), "answers": answer_keys(), "scores": score_keys()})
    write(
        "models",
        {
            "served": served_digests(),
            "folders": folder_digests(),
            "live": live_digests(),
            "gguf": gguf_digest(),
            "vllm": vllm_digest(),
        },
    )


if __name__ == "__main__":
    main()
