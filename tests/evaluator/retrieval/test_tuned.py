"""Files of tuned settings: whole or refused, and which judgements they were chosen on."""

import gzip
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT, SUPPORT
from small_evaluations import evaluation

from evaluator import (
    Folds,
    TunedSettings,
    build_tuned_settings,
    cross_validate,
    judgement_fingerprints,
    judgements_digest,
    parameter_grid,
    read_tuned_settings,
    was_tuned_on,
    write_tuned_settings,
)
from patientdx.errors import EvaluationError, InputError, PatientDxError
from patientdx.records import Qrels

QRELS: Qrels = {f"q{i}": {"d1": 1, "d2": 0, f"d{i}9": 2} for i in range(6)}
CANDIDATES = parameter_grid({"k1": [0.9, 1.2], "stop": [True, "english"], "terms": [10]})
TUNING = cross_validate(
    CANDIDATES,
    [evaluation([0.1 * number + 0.01 * i for i in range(6)]) for number in (1, 4, 2, 3)],
    QRELS,
    "nDCG@10",
    folds=Folds(3, seed=7, groups={"q1": "a", "q2": "a"}),
)
TUNED = build_tuned_settings(TUNING, {"corpus": "invented, 12 patients"})

SETTING = st.one_of(
    st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False)
)
SETTINGS = st.dictionaries(st.text(), SETTING | st.text(), max_size=4)
MEANS = st.floats(0, 1)


@st.composite
def anything(draw: st.DrawFn) -> TunedSettings:
    candidates = draw(st.lists(SETTINGS, min_size=1, max_size=4))
    index = st.integers(0, len(candidates) - 1)
    return TunedSettings(
        measure=draw(st.text()),
        n=draw(st.integers(1, 3000)),
        candidates=tuple(candidates),
        means=tuple(draw(MEANS) for _ in candidates),
        chosen=draw(index),
        fold_choices=tuple(draw(st.lists(index, min_size=2, max_size=5))),
        out_of_fold=draw(MEANS),
        seed=draw(st.integers(0, 2**32)),
        grouped=draw(st.booleans()),
        judged=draw(st.frozensets(st.text(), max_size=4)),
        notes=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
    )


def test_what_goes_into_the_file() -> None:
    assert TUNED.settings == {"k1": 0.9, "stop": "english", "terms": 10}
    assert TUNED.mean == TUNING.means[1] == pytest.approx(0.425)
    assert TUNED.out_of_fold == TUNING.out_of_fold.mean("nDCG@10")
    assert (TUNED.measure, TUNED.n, TUNED.seed, TUNED.grouped) == ("nDCG@10", 6, 7, True)
    assert TUNED.fold_choices == (1, 1, 1)
    assert TUNED.judged == judgement_fingerprints(QRELS)


def test_a_file_is_read_back_and_easy_to_read(tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    write_tuned_settings(path, TUNED)
    assert read_tuned_settings(path) == TUNED
    content = json.loads(path.read_text("utf-8"))
    assert list(content)[:6] == ["format", "version", "settings", "measure", "n", "mean"]
    assert content["settings"] == {"k1": 0.9, "stop": "english", "terms": 10}
    assert content["candidates"][2] == {
        "settings": {"k1": 1.2, "stop": True, "terms": 10},
        "mean": TUNING.means[2],
    }
    assert content["qrels"]["digest"] == judgements_digest(judgement_fingerprints(QRELS))
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.json"]


@given(anything())
def test_everything_is_read_back(tmp_path_factory: pytest.TempPathFactory, tuned: Any) -> None:
    path = tmp_path_factory.mktemp("tuned") / "tuned.json"
    write_tuned_settings(path, tuned)
    again = read_tuned_settings(path)
    assert again == tuned
    kinds = [
        {name: type(value) for name, value in candidate.items()} for candidate in tuned.candidates
    ]
    assert [{n: type(v) for n, v in candidate.items()} for candidate in again.candidates] == kinds


def test_a_compressed_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "tuned.json.gz"
    write_tuned_settings(path, TUNED)
    assert gzip.decompress(path.read_bytes()).startswith(b"{")
    assert read_tuned_settings(path) == TUNED


def test_the_same_tuning_gives_the_same_bytes(tmp_path: Path) -> None:
    write_tuned_settings(tmp_path / "a", TUNED)
    write_tuned_settings(tmp_path / "b", replace(TUNED, judged=frozenset(sorted(TUNED.judged))))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_settings_know_the_judgements_they_were_chosen_on() -> None:
    assert was_tuned_on(TUNED, QRELS)
    shuffled = {q: dict(reversed(QRELS[q].items())) for q in reversed(QRELS)}
    assert was_tuned_on(TUNED, shuffled)
    assert was_tuned_on(TUNED, {"q1": QRELS["q1"], "other": {"d1": 1}})
    assert not was_tuned_on(TUNED, {"p1": QRELS["q1"]})
    assert not was_tuned_on(TUNED, {"q1": {**QRELS["q1"], "d1": 2}})
    assert not was_tuned_on(TUNED, {})


@given(
    st.dictionaries(
        st.text(), st.dictionaries(st.text(), st.integers(0, 3), max_size=3), max_size=4
    )
)
def test_fingerprints_tell_queries_apart(qrels: Qrels) -> None:
    marks = judgement_fingerprints(qrels)
    assert len(marks) == len(qrels)
    assert marks == frozenset().union(*(judgement_fingerprints({q: qrels[q]}) for q in qrels))
    # Neither ids nor judgements can be read in them.
    assert all(len(mark) == 16 and set(mark) <= set("0123456789abcdef") for mark in marks)


def damaged(change: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tuned.json"
    write_tuned_settings(path, TUNED)
    content = json.loads(path.read_text("utf-8"))
    for place, value in change.items():
        *parents, name = place.split(".")
        inner = content
        for parent in parents:
            inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
        if value is None:
            del inner[name]
        else:
            inner[name] = value
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "no file of tuned settings"),
        ({"format": None}, "no file of tuned settings"),
        ({"version": 2}, "newer version"),
        ({"version": "1"}, "`version`"),
        ({"measure": None}, "`measure`"),
        ({"n": True}, "`n`"),
        ({"n": 1.5}, "`n`"),
        ({"out_of_fold": "0.5"}, "`out_of_fold`"),
        ({"out_of_fold": 10**400}, "`out_of_fold`"),
        ({"out_of_fold": float("nan")}, "`out_of_fold`"),
        ({"candidates.0.mean": float("inf")}, "`mean`"),
        ({"candidates.0.settings": [1]}, "`settings`"),
        ({"candidates.0.settings.k1": [1]}, "`settings` holds"),
        ({"candidates.0.settings.k1": float("nan")}, "`settings` holds"),
        ({"candidates": [1]}, "`candidates` holds"),
        ({"candidates": []}, "does not hold"),
        ({"chosen": 4}, "does not hold"),
        ({"chosen": -1}, "does not hold"),
        ({"folds.choices": [0, 9]}, "does not hold"),
        ({"folds": []}, "`folds`"),
        ({"chosen": 0}, "not those that its figures are of"),
        ({"settings.k1": 1.1}, "not those that its figures are of"),
        ({"qrels.judged": ["a"]}, "does not match its digest"),
        ({"qrels.judged": [1]}, "`judged` holds"),
        ({"notes": ["a"]}, "`notes`"),
    ],
)
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = damaged(change, tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_tuned_settings(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "tuned.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"tuned\.json"):
        read_tuned_settings(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a": 1,\n"b"}', "", "[]", "null"])
def test_odd_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tuned.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"tuned\.json"):
        read_tuned_settings(path)


def test_the_line_of_a_syntax_error_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    path.write_text('{"format": 1,\n"b"}', "utf-8")
    with pytest.raises(InputError, match=r"tuned\.json:2: this is not JSON"):
        read_tuned_settings(path)


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tuned.json"
    write_tuned_settings(path, TUNED)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError):
            read_tuned_settings(path)


def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(InputError, match=path.name):
            read_tuned_settings(path)
    with pytest.raises(PatientDxError, match="cannot be written"):
        write_tuned_settings(tmp_path / "absent" / "tuned.json", TUNED)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 2**70, [1]])
def test_settings_that_no_file_can_hold_are_refused(value: Any) -> None:
    tuning = replace(TUNING, candidates=({"k1": value}, *TUNING.candidates[1:]))
    with pytest.raises(EvaluationError, match="words and finite numbers"):
        build_tuned_settings(tuning)


def test_a_killed_writer_leaves_one_of_the_two_files(tmp_path: Path) -> None:
    """Each is seen whole, whenever the writer dies."""
    path = tmp_path / "tuned.json"
    code = (
        "import sys; sys.path[:0] = sys.argv[1:4]\n"
        "from dataclasses import replace\n"
        "from evaluator import write_tuned_settings\n"
        "from test_tuned import TUNED\n"
        "write_tuned_settings(sys.argv[4], TUNED); print('begun', flush=True)\n"
        "for n in range(1, 10**9): write_tuned_settings(sys.argv[4], replace(TUNED, n=n))\n"
    )
    here = Path(__file__).parent
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, here, SUPPORT, ROOT, path], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(0.01 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert replace(read_tuned_settings(path), n=6) == TUNED
