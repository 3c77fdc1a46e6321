"""Answers about stays: parsing, storage, and the continuation of a killed run."""

import json
import math
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from paths import ROOT

from evaluator.mortality.answer_store import Answer, AnswerStore
from evaluator.mortality.answering import AnswerProgress, answer_questions
from evaluator.mortality.question import PAPER_QUESTION, Question, log_odds, probability
from patientdx.errors import CacheError, ModelError
from patientdx.models import ScriptedModel
from patientdx.protocols import Prompt

SECRET = "Zaphodine"
RECORDS = [(f"Age {number}. ", f"{SECRET} {number % 3} mg. ") for number in range(23)]


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("yes", True),
        (" Yes.", True),
        ("YES!", True),
        ("**Yes", True),
        ("dead", True),
        ("Dead\n", True),
        ("1", True),
        ("yes, dead", True),
        ("no", False),
        ("No,", False),
        (" survived", False),
        ("Alive", False),
        ("0.", False),
        ("no\n\nalive", False),
        ("", None),
        ("maybe", None),
        ("not dead", None),  # its first word is no label
        ("not", None),
        ("nope", None),
        ("yesterday", None),
        ("10", None),
        ("1.5", None),
        ("0,3", None),
        ("yes/no", None),
        ("No yes", None),
        ("dead alive", None),
        ("the patient", None),
        ("…", None),
    ],
)
def test_replies_are_parsed(reply: str, read: bool | None) -> None:
    assert PAPER_QUESTION.parse_reply(reply) is read


@given(some.text(max_size=12))
def test_what_holds_no_label_is_never_guessed(reply: str) -> None:
    labels = (*PAPER_QUESTION.positive, *PAPER_QUESTION.negative)
    if not any(label in reply.casefold() for label in labels):
        assert PAPER_QUESTION.parse_reply(reply) is None


def test_forms_and_prompt_of_the_paper() -> None:
    died, lived = PAPER_QUESTION.surface_forms
    assert {" yes", "yes", "Yes", " YES", "dead", " Dead", "1", " 1"} <= set(died)
    assert {" no", "No", "NO", "survived", " alive", "0"} <= set(lived)
    assert not set(died) & set(lived)
    assert len(died) == len(set(died))
    prompt = PAPER_QUESTION.prompt(["The patient, 50. ", "The chart events: 1 for HR. "])
    assert prompt.text.endswith(
        "hospital profile: The patient, 50. The chart events: 1 for HR. "
        "Question: Is the patient dead? Answer (yes or no):"
    )
    assert prompt.note == "".join(prompt.sections)
    assert "reconstructed" in PAPER_QUESTION.status
    assert PAPER_QUESTION.prompt([]) == Prompt(
        PAPER_QUESTION.before, "", PAPER_QUESTION.after.rstrip(), ()
    )


@given(some.floats(-800, 0), some.floats(-800, 0))
def test_the_probability_is_the_share_of_both(died: float, lived: float) -> None:
    chance = probability(log_odds(died, lived))
    top = max(died, lived)
    yes, no = math.exp(died - top), math.exp(lived - top)
    assert chance == pytest.approx(yes / (yes + no), abs=1e-12)
    assert log_odds(-math.inf, -math.inf) == 0.0


def scripted(**options: Any) -> ScriptedModel:
    def score(prompt: str, form: str) -> list[float]:
        length = len(prompt)
        yes = form.strip().casefold() in PAPER_QUESTION.positive
        return [-(length % 7) - (1.0 if yes else 2.0)]

    return ScriptedModel(lambda prompt: f"{'Yes' if len(prompt) % 2 else 'no'} it", score=score,
                         batch=4, **options)  # fmt: skip


def test_equal_records_are_answered_once_and_stored(tmp_path: Path) -> None:
    steps: list[AnswerProgress] = []
    records = [*RECORDS, RECORDS[3], RECORDS[3]]
    with AnswerStore(tmp_path / "deep" / "answers.sqlite3") as store:
        model = scripted()
        answers = answer_questions(model, records, store=store, on_progress=steps.append)
        assert (len(answers), len(store), len(model.prompts)) == (25, 23, 23)
        assert answers[3] == answers[23] == answers[24]
        assert (sum(step.stays for step in steps), {step.from_store for step in steps}) == (
            25,
            {False},
        )
        steps.clear()
        again = scripted()
        assert answer_questions(again, records, store=store, on_progress=steps.append) == answers
        assert (again.prompts, steps) == ([], [AnswerProgress(25, from_store=True)])
        assert len(answer_questions(scripted(name="other"), records[:2], store=store)) == 2
        assert len(store) == 25
        other = Question(**{**vars(PAPER_QUESTION), "positive": ("dead",)})
        answer_questions(scripted(), records[:2], other, store)
        assert len(store) == 27
    assert answer_questions(scripted(), records) == answers


def test_the_order_is_that_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.mortality.answering.WINDOW", 5)
    alone = [answer_questions(scripted(), [record])[0] for record in RECORDS]
    assert answer_questions(scripted(), iter(RECORDS)) == alone


def test_a_failure_keeps_what_was_answered(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "a.sqlite3") as store:
        failing = ScriptedModel(["yes"] * 9, score=lambda *_: [-1.0], batch=4)
        with pytest.raises(ModelError, match="no answer number 10"):
            answer_questions(failing, RECORDS, store=store)
        assert len(store) == 8


def test_the_file_is_its_owner_s_and_holds_no_record(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    with AnswerStore(path) as store:
        answer_questions(scripted(), RECORDS, store=store)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET.encode() not in path.read_bytes()
    path.chmod(0o644)
    with AnswerStore(path) as store:
        assert store.find([PAPER_QUESTION.answer_key(scripted().digest, RECORDS[0])])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"no database at all, surely" * 50, b"SQLite format 3\0" * 99])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite3"
    path.write_bytes(content)
    with pytest.raises(CacheError, match="damaged"):
        AnswerStore(path)
    path.unlink()
    with AnswerStore(path) as store:
        store.store({b"k": Answer(-1.0, -2.0, "yes", 3, cut=False)})
        store._connection.execute("UPDATE answers SET answer = 'x'")
        with pytest.raises(CacheError, match="damaged"):
            store.find([b"k"])
        store._connection.execute("PRAGMA user_version = 9")
    with pytest.raises(CacheError, match="no file of answers"):
        AnswerStore(path)
    with pytest.raises(CacheError, match="cannot be kept"):
        AnswerStore(tmp_path)


VICTIM = """
import os, signal, sys
from evaluator.mortality.answer_store import AnswerStore
from evaluator.mortality.answering import answer_questions
from patientdx.models import ScriptedModel

left = int(sys.argv[2])
def answer(prompt):
    global left
    with open(sys.argv[3], "a") as log:
        log.write(prompt.partition("Age ")[2].partition(".")[0] + "\\n")
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return "yes"
records = [(f"Age {number}. ",) for number in range(40)]
model = ScriptedModel(answer, score=lambda prompt, form: [-1.0 - len(form)], batch=3)
with AnswerStore(sys.argv[1]) as store:
    print(len(answer_questions(model, records, store=store)))
"""


def run_victim(folder: Path, calls: int) -> tuple[int, list[str]]:
    log = folder / f"log{calls}"
    command = [sys.executable, "-c", VICTIM, str(folder / "a.sqlite3"), str(calls), str(log)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    return done.returncode, log.read_text().split()


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    code, first = run_victim(tmp_path, 20)
    assert (code, len(first)) == (-signal.SIGKILL, 20)
    code, second = run_victim(tmp_path, 1000)
    assert code == 0
    # 18 were stored, in six batches of three; of the seventh batch nothing was.
    assert set(first[:18]) & set(second) == set()
    assert sorted({*first[:18], *second}, key=int) == [str(number) for number in range(40)]
    assert len(second) == 22


def test_an_answer_is_what_the_torch_model_gives(tmp_path: Path) -> None:
    """End to end on a tiny Llama, against one log-softmax over all tokens per stay."""
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    pytest.importorskip("transformers", reason="needs the extra hf")
    import tiny_models

    from patientdx.models import ModelSettings
    from patientdx.models.torch.model import HfModel

    torch.set_num_threads(1)
    words = tiny_models.tokenizer(template=False)
    settings = ModelSettings(prompt_format="raw", batch=3)
    net = tiny_models.model(context=1024)
    model = HfModel.wrap(net, words, digest="tiny", settings=settings)
    records = [tuple(section * (1 + number % 2) for section in RECORDS[number]) for number in
               range(9)]  # fmt: skip
    with AnswerStore(tmp_path / "a.sqlite3") as store:
        answers = answer_questions(model, records, store=store)
        assert answer_questions(model, records, store=store) == answers
    for record, answer in zip(records, answers, strict=True):
        prompt = PAPER_QUESTION.prompt(record)
        tokens = words(prompt.text)["input_ids"]
        expected = [0.0, 0.0]
        for at, forms in enumerate(PAPER_QUESTION.surface_forms):
            sequences = sorted({tuple(words(form)["input_ids"]) for form in forms})
            kept = [
                sequence for sequence in sequences
                if not any(sequence != other and sequence[: len(other)] == other
                           for other in sequences)
            ]  # fmt: skip
            for form in kept:
                with torch.no_grad():
                    logs = net(torch.tensor([[*tokens, *form]])).logits[0].log_softmax(-1)
                last = len(tokens) - 1
                value = sum(float(logs[last + i, token]) for i, token in enumerate(form))
                expected[at] += math.exp(value)
        assert answer[:2] == pytest.approx([math.log(value) for value in expected], abs=1e-4)
        assert (answer.tokens, answer.cut) == (len(tokens), False)
    assert json.loads(json.dumps(answers[0]))[3] == answers[0].tokens
