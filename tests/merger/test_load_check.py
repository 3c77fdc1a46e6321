"""The load check: transformers reports on an output before it is published.

The child's program runs in the process of the tests but for those that start a command.
"""

import contextlib
import io
import json
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import patientdx

import merger.execution
from merger.checking import loading_child
from merger.checking.load_check import check_loading
from patientdx.errors import MergeError

pytest.importorskip("transformers", reason="needs the extra hf")
from family_models import save_model, save_pair
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.usefixtures("real_load_check")


def change_tensors(folder: Path, *, drop: str = "", copy: str = "", shrink: str = "") -> Path:
    """Drops a tensor, adds a copy of one, or cuts one's last row."""
    tensors = load_file(folder / "model.safetensors")
    if drop:
        del tensors[drop]
    if copy:
        tensors["copy.weight"] = tensors[copy].clone()
    if shrink:
        tensors[shrink] = tensors[shrink][:-1].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def run_here(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """The child's program without a process of its own, which takes seconds to import torch."""
    out, err, code = io.StringIO(), "", 0
    with contextlib.redirect_stdout(out):
        try:
            loading_child.main(command[-1])
        except Exception:  # noqa: BLE001 - as an interpreter ends by any exception
            err, code = traceback.format_exc(), 1
    return subprocess.CompletedProcess(command, code, out.getvalue(), err)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The checks of a test run here; settings of the libraries are as they were afterwards."""
    import transformers
    from huggingface_hub import constants

    verbosity = transformers.logging.get_verbosity()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", constants.HF_HUB_OFFLINE)
    monkeypatch.setattr(subprocess, "run", run_here)
    yield
    transformers.logging.set_verbosity(verbosity)
    if bars:
        transformers.utils.logging.enable_progress_bar()


@pytest.mark.usefixtures("in_process")
def test_whole_model_loads_and_its_template_renders(tmp_path: Path) -> None:
    check = check_loading(save_model(tmp_path / "model", "llama"))
    assert check.loaded
    assert check.template == "rendered"
    assert check.seconds > 0
    assert "no key missing" in str(check)


@pytest.mark.usefixtures("in_process")
def test_every_kind_of_problem_is_named(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", "llama")
    norm, up = "model.norm.weight", "model.layers.1.mlp.up_proj.weight"
    change_tensors(model, drop=norm, copy="model.embed_tokens.weight", shrink=up)
    (model / "chat_template.jinja").write_text("{{ messages[0].nothing.at.all }}")
    with pytest.raises(MergeError) as raised:
        check_loading(model)
    message = str(raised.value)
    assert f"1 tensors are missing: {norm}" in message
    assert "1 tensors are passed over: copy.weight" in message
    assert "1 tensors are of another shape: model.layers.#" in message
    assert "the chat template does not render" in message


@pytest.mark.usefixtures("in_process")
def test_problems_that_the_base_has_too_are_reported_not_refused(tmp_path: Path) -> None:
    base, out = (
        change_tensors(save_model(tmp_path / name, "llama"), drop="model.norm.weight")
        for name in ("base", "out")
    )
    check = check_loading(out, base)
    assert not check.loaded
    assert "as its base, base: 1 tensors are missing" in str(check)
    change_tensors(out, drop="lm_head.weight")
    with pytest.raises(MergeError, match="2 tensors are missing"):
        check_loading(out, base)


@pytest.mark.usefixtures("in_process")
def test_configuration_that_transformers_refuses(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", "qwen3")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 7}))
    with pytest.raises(MergeError, match="layer_types"):
        check_loading(model)


@pytest.mark.usefixtures("in_process")
def test_class_that_transformers_lacks_is_not_loaded(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", "llama")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "architectures": ["OwnForAll"]}))
    check = check_loading(model)
    assert not check.loaded
    assert str(check) == "not loaded: transformers has no class OwnForAll"


def test_command_reports_the_check_and_publishes_no_merge_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    a, b = save_pair(tmp_path, "llama")
    arguments = ("merge", "--method", "linear", "--weight", "0.4", a, b)
    outcome = patientdx(*arguments, "--into", tmp_path / "out", "--json")
    assert outcome.code == 0
    assert outcome.json["load_check"]["loaded"]
    assert outcome.json["load_check"]["template"] == "rendered"
    request.getfixturevalue("in_process")  # the check of the first merge had its own process
    verified = patientdx("merge", "--verify", tmp_path / "out")
    assert verified.code == 0
    assert "transformers loads it" in verified.err
    plain = patientdx(*arguments, "--into", tmp_path / "plain", "--no-load-check", "--json")
    assert plain.json["load_check"] is None

    def wrong(*arguments: object) -> dict[str, object]:
        return {**json.loads((a / "config.json").read_text()), "intermediate_size": 40}

    monkeypatch.setattr(merger.execution, "output_config", wrong)
    broken = patientdx(*arguments, "--into", tmp_path / "broken")
    assert broken.code == 1
    assert "of another shape" in broken.err
    assert not (tmp_path / "broken").exists()


def test_without_transformers_the_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merger.checking.load_check.find_spec", lambda _: None)
    assert str(check_loading(tmp_path)) == ("not loaded: transformers and torch are not installed")
