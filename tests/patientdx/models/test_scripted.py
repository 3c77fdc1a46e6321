"""The scripted model, and what an opened name stands for."""

from pathlib import Path

import pytest
from completion_texts import texts

from patientdx.errors import ExtraMissingError, ModelError
from patientdx.models import ModelSettings, ScriptedModel, open_model
from patientdx.models.settings import DEFAULTS
from patientdx.protocols import GenerationSettings, Generator, Prompt, Scorer


def test_a_list_answers_in_turn() -> None:
    model = ScriptedModel(["one", "two", "three"])
    assert texts(model.generate(["a", "b"])) == ["one", "two"]
    assert texts(model.generate(["c"])) == ["three"]
    assert (model.calls, model.prompts) == (2, ["a", "b", "c"])
    with pytest.raises(ModelError, match="no answer number 4"):
        model.generate(["Zaphodine"])


def test_a_mapping_and_a_function_answer_by_the_prompt() -> None:
    assert texts(ScriptedModel({"ab": "yes"}).generate([Prompt("a", "b")])) == ["yes"]
    assert texts(ScriptedModel(str.upper).generate(["a", "b"])) == ["A", "B"]
    with pytest.raises(ModelError) as raised:
        ScriptedModel({}).generate(["Zaphodine"])
    assert "Zaphodine" not in str(raised.value)


def test_a_reply_ends_at_its_first_stop_string() -> None:
    settings = GenerationSettings(stop=("###", "\n"))
    assert texts(ScriptedModel(["ab\ncd###", "plain"]).generate(["", ""], settings)) == [
        "ab",
        "plain",
    ]


def test_it_scores_by_a_function_or_says_who_can() -> None:
    model = ScriptedModel(score=lambda prompt, text: [-float(len(prompt)), -float(len(text))])
    assert model.logprobs([("a", "bc"), ("", "d")]) == [[-1.0, -2.0], [0.0, -1.0]]
    assert isinstance(model, Generator)
    assert isinstance(model, Scorer)
    with pytest.raises(ModelError, match="cannot return the probabilities") as raised:
        ScriptedModel().logprobs([("a", "b")])
    assert raised.value.hint is not None
    assert "llamacpp" in raised.value.hint


def test_digests_tell_scripts_apart() -> None:
    assert ScriptedModel(name="a").digest != ScriptedModel(name="b").digest
    assert ScriptedModel(digest="x").digest == "x"


def refused(spec: object, settings: ModelSettings = DEFAULTS) -> ModelError:
    with pytest.raises(ModelError) as raised:
        open_model(str(spec), settings)
    assert raised.value.hint
    assert "\n" not in raised.value.message
    return raised.value


def test_names_that_stand_for_nothing_are_reported(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "none").message
    assert "smollm2" in str(refused(tmp_path / "none").hint)
    missing = refused("smollm2", ModelSettings(cache=tmp_path))
    assert missing.hint == "patientdx model get smollm2"
    assert "--allow-fetch" in str(refused("owner/name", ModelSettings(cache=tmp_path)).hint)


def test_pickled_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(b"\x80\x04.")
    assert "convert them to safetensors" in str(refused(file).hint)
    error = refused(tmp_path)
    assert "pickled" in error.message
    assert "save_pretrained" in str(error.hint)
    assert "pickled" in refused(tmp_path, ModelSettings(backend="vllm")).message


def test_folders_without_a_model_are_refused(tmp_path: Path) -> None:
    assert "no safetensors" in refused(tmp_path).message
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "config.json" in refused(tmp_path).message


def test_files_that_are_no_gguf_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"not a model")
    assert "no GGUF" in refused(file).message
    assert ".gguf files" in refused(tmp_path, ModelSettings(backend="llamacpp")).hint  # type: ignore[operator]
    assert "quantized as it is" in refused(file, ModelSettings(quantize="nf4")).message


def test_backends_and_addresses_go_together(tmp_path: Path) -> None:
    assert "no server" in refused(tmp_path, ModelSettings(backend="server")).message
    with pytest.raises(ModelError, match="opened by the backend `server`"):
        open_model("http://127.0.0.1:1", ModelSettings(backend="hf"))


def test_a_missing_backend_is_reported_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patientdx.capabilities.find_spec", lambda _: None)
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_bytes(b"{}")
    for spec, backend, extra in ((gguf, "auto", "local"), (tmp_path, "auto", "hf")):
        with pytest.raises(ExtraMissingError) as raised:
            open_model(str(spec), ModelSettings(backend=backend))  # type: ignore[arg-type]
        assert f"[{extra}]" in str(raised.value.hint)
    with pytest.raises(ExtraMissingError, match="vllm"):
        open_model(str(tmp_path), ModelSettings(backend="vllm"))


def test_answers_are_weighed_by_the_script_in_batches() -> None:
    import math

    model = ScriptedModel(
        lambda prompt: "yes it is" if "ill" in prompt else "no",
        score=lambda _prompt, form: [math.log(0.25 if form == "yes" else 0.125)],
        batch=2,
    )
    batches = list(model.choose(["ill", "well", "very ill"], (("yes", "Yes"), ("no",)), 2))
    assert [sorted(batch) for batch in batches] == [[0, 1], [2]]
    assert tuple(batches[1][2]) == (
        pytest.approx((math.log(0.375), math.log(0.125))),
        "yes it",
        2,
        False,
    )
    with pytest.raises(ModelError, match="cannot weigh answers"):
        list(ScriptedModel().choose(["x"], (("yes",), ("no",))))
