"""`demo`: with a language model, and without one."""

from pathlib import Path

import pytest
from command_line import patientdx

from patientdx.errors import FetchError
from patientdx.models import ScriptedModel
from workflows import demo, generators
from workflows.monitor import Monitor


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str | None]:
    return {"PATIENTDX_CACHE": str(tmp_path / "cache")}


def test_without_a_model_it_is_one_line_of_hint(
    env: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_cache: Path, _monitor: Monitor) -> None:
        raise FetchError("pip could not fetch it", hint="is there a network?")

    monkeypatch.setattr(demo, "fetch_small_model", refuse)
    outcome = patientdx("demo", env=env)
    assert outcome.code == 0
    assert "demo-011" in outcome.out
    assert "added" not in outcome.out
    hints = [line for line in outcome.err.splitlines() if "language model" in line]
    reason = "pip could not fetch it (is there a network?)"
    assert hints == [f"hint: with a language model this goes further: {reason}"]


def test_with_a_model_it_names_the_added_terms(
    env: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedModel(lambda _: "Keywords: takotsubo, stress cardiomyopathy, emotional stress")
    model.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(demo, "fetch_small_model", lambda *_: None)
    monkeypatch.setattr(generators, "open_model", lambda *_, **__: model)
    outcome = patientdx("demo", env=env)
    assert outcome.code == 0, outcome.err
    added = next(line for line in outcome.lines if "added:" in line)
    assert added.startswith("rrf(bm25,keywords) added: ")
    assert "takotsubo" in added
    assert outcome.lines[outcome.lines.index(added) + 1].startswith("  1. demo-011")
    again = patientdx("demo", env=env)
    assert again.out == outcome.out
    assert model.calls == 1
