"""`merge --gguf`: the file is part of the merge, answers as its safetensors do, and is verified."""

import json
import os
import signal
import subprocess
import sys
import warnings
from importlib.util import find_spec
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("gguf", reason="needs the extra hf")
pytest.importorskip("yaml", reason="needs the extra merge")

import gguf
import gguf_models
from command_line import check_refusal, digests, patientdx
from paths import ROOT

from merger.gguf.mixtures import GGUF_TYPES
from merger.outputs import staging
from patientdx.errors import ExtraMissingError, MergeError
from patientdx.models import ModelSettings
from patientdx.models.llamacpp import LlamaCppModel
from patientdx.models.torch.model import HfModel
from patientdx.protocols import GenerationSettings
from workflows.merge_recipes import TwoModelMerge
from workflows.merges import check_merge, merge, verify_merge

SETTINGS = ModelSettings(dtype="float32", threads=1, context=512)
PAIR = TwoModelMerge("math-model", "medical-model", 0.4)
SLERP = ("merge", "--method", "slerp", "--weight", "0.4", "math-model", "medical-model")


def save_adapter(base: Path, folder: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs the extra merge")
    from transformers import AutoModelForCausalLM

    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, at PEFT
        peft.get_peft_model(model, settings).save_pretrained(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    words = gguf_models.byte_level()
    for seed, name in enumerate(("math-model", "medical-model")):
        gguf_models.save_model(folder / name, "llama", words, seed=seed)
    more = gguf_models.byte_level()
    more.add_tokens(["<extra>"])
    gguf_models.save_model(folder / "more-tokens", "llama", more, seed=3)
    for seed, name in enumerate(("phi-a", "phi-b")):
        gguf_models.save_model(folder / name, "llama", words, seed=seed)
        path = folder / name / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(config | {"model_type": "phi3"}), encoding="utf-8")
    return folder


@pytest.fixture
def place(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in models.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATIENTDX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_answers_as_the_safetensors_do(place: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    result = merge(PAIR, "merged", gguf="F16")
    assert result.gguf == "merged-F16.gguf"
    exact = HfModel.load(Path("merged"), SETTINGS)
    llama = LlamaCppModel.load(Path("merged/merged-F16.gguf"), SETTINGS)
    pairs = [("the patient has", " a fever and chills, the note of a patient with pain")]
    assert llama.logprobs(pairs)[0] == pytest.approx(exact.logprobs(pairs)[0], abs=0.01)
    prompts = [f"{word} patient" for word in ("the", "a", "no", "fever")]
    short = GenerationSettings(max_new_tokens=6)
    texts = [completion.text for completion in llama.generate(prompts, short)]
    expected = [completion.text for completion in exact.generate(prompts, short)]
    assert len(set(expected)) > 1
    assert sum(map(eq, texts, expected)) >= 3  # but for a near-tie of two tokens
    llama.close()


@pytest.mark.parametrize("wanted", GGUF_TYPES)
def test_the_command_writes_and_verifies_it(place: Path, wanted: Any) -> None:
    if wanted == "Q4_K_M":
        pytest.importorskip("xllamacpp", reason="needs the extra local")
    outcome = patientdx(*SLERP, "--into", "out", "--gguf", wanted)
    assert outcome.code == 0, outcome.err
    name = f"out-{wanted}.gguf"
    assert f"for llama.cpp: out/{name}" in outcome.err
    facts = json.loads(Path("out/patientdx_merge.json").read_text(encoding="utf-8"))
    assert facts["gguf"] == wanted
    assert facts["command"].endswith(f"--gguf {wanted}")
    assert facts.get("quantizer", "").startswith("xllamacpp ") is (wanted == "Q4_K_M")
    assert name in Path("out/README.md").read_text(encoding="utf-8")
    values = gguf.GGUFReader(f"out/{name}").fields
    assert values["general.name"].contents() == "out"
    assert values["general.file_type"].contents() == gguf.LlamaFileType[f"MOSTLY_{wanted}"]
    verified = patientdx("merge", "--verify", "out", "--json")
    assert name in verified.json["same"]
    assert verified.json["different"] == []
    with Path("out", name).open("r+b") as stream:
        stream.seek(-7, 2)
        stream.write(b"\x55")
    damaged = patientdx("merge", "--verify", "out")
    assert damaged.code == 1
    assert f"{name}: not as it was merged" in damaged.out


def test_the_bytes_do_not_depend_on_threads_or_on_parts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from merger.gguf import writer

    merge(PAIR, "out", gguf="Q8_0")
    first = Path("out/out-Q8_0.gguf").read_bytes()
    monkeypatch.setattr(writer, "_PART", 1000)
    for threads in (1, 3):
        path = Path(f"again-{threads}.gguf")
        writer.write_gguf(Path("out"), path, "Q8_0", title="out", threads=threads)
        assert path.read_bytes() == first


def test_a_merge_without_it_is_as_before(place: Path) -> None:
    merge(PAIR, "out")
    assert not any(name.endswith(".gguf") for name in names(Path("out")))
    facts = json.loads(Path("out/patientdx_merge.json").read_text(encoding="utf-8"))
    assert not {"gguf", "quantizer"} & set(facts)
    assert not verify_merge("out").different


def test_mergekit_merges_get_it_too(place: Path) -> None:
    pytest.importorskip("mergekit", reason="needs the extra merge")
    merge(TwoModelMerge("math-model", "medical-model", 0.4, "linear"), "a", gguf="Q8_0")
    merge(
        TwoModelMerge("math-model", "medical-model", 0.4, "linear"),
        "b",
        gguf="Q8_0",
        engine="mergekit",
    )
    tensors = []
    for folder in "ab":
        reader = gguf.GGUFReader(f"{folder}/{folder}-Q8_0.gguf")
        tensors.append({tensor.name: np.array(tensor.data) for tensor in reader.tensors})
    assert tensors[0].keys() == tensors[1].keys()
    same = [np.mean(tensors[0][name] == tensors[1][name]) for name in tensors[0]]
    assert min(same) > 0.9  # bfloat16 rounds a few numbers the other way


RECIPES = {
    "more layers": """
merge_method: passthrough
dtype: bfloat16
slices:
- sources: [{model: math-model, layer_range: [0, 2]}]
- sources: [{model: medical-model, layer_range: [1, 3]}]
""",
    "all tokens": """
merge_method: linear
dtype: bfloat16
tokenizer: {source: union}
models:
- {model: math-model, parameters: {weight: 0.5}}
- {model: more-tokens, parameters: {weight: 0.5}}
""",
    "an adapter": """
merge_method: linear
dtype: bfloat16
models:
- {model: math-model, parameters: {weight: 0.5}}
- {model: medical-model+lora, parameters: {weight: 0.5}}
""",
}


@pytest.mark.parametrize("name", RECIPES)
def test_it_has_the_layers_the_tokens_and_the_weights_of_the_merge(place: Path, name: str) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    if name == "an adapter":
        save_adapter(Path("medical-model"), Path("lora"))
    else:
        pytest.importorskip("mergekit", reason="needs the extra merge")
    Path("recipe.yml").write_text(RECIPES[name], encoding="utf-8")
    result = merge("recipe.yml", "out", gguf="F16")
    path = Path("out", str(result.gguf))
    fields = gguf.GGUFReader(path).fields
    assert fields["llama.block_count"].contents() == (4 if name == "more layers" else 3)
    extra = "<extra>" in fields["tokenizer.ggml.tokens"].contents()
    assert extra is (name == "all tokens")
    exact, llama = HfModel.load(Path("out"), SETTINGS), LlamaCppModel.load(path, SETTINGS)
    pairs = [("the patient has", " a fever and chills, the note of a patient with pain")]
    assert llama.logprobs(pairs)[0] == pytest.approx(exact.logprobs(pairs)[0], abs=0.01)
    llama.close()


def test_other_families_are_refused_before_anything_is_written(place: Path) -> None:
    before = names(place)
    arguments = ("merge", "--method", "linear", "--weight", "0.4", "phi-a", "phi-b")
    for options in (("--gguf", "Q8_0"), ("--gguf", "F16", "--dry-run")):
        outcome = patientdx(*arguments, "--into", "out", *options)
        check_refusal(
            outcome,
            "models of the family `phi3` are not written as GGUF, only llama, mistral, qwen2, "
            "qwen3, gemma",
        )
    assert names(place) == before
    assert patientdx(*arguments, "--dry-run").code == 0
    assert patientdx(*SLERP, "--dry-run", "--gguf", "Q8_0").code == 0


def test_quantising_needs_llama_cpp(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_spec
    monkeypatch.setattr(
        "patientdx.capabilities.find_spec",
        lambda name: None if name == "xllamacpp" else real(name),
    )
    with pytest.raises(ExtraMissingError, match="xllamacpp") as caught:
        check_merge(PAIR, "out", compare=False, gguf="Q4_K_M")
    assert "patientdx[local]" in str(caught.value.hint)
    for wanted in ("F16", "Q8_0"):
        check_merge(PAIR, "out", compare=False, gguf=wanted)


def test_a_library_without_its_functions_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra local")
    monkeypatch.setattr("merger.gguf.native_encoder._PATTERNS", ("*.none",))
    with pytest.raises(MergeError, match=r"does not offer llama\.cpp's quantiser"):
        check_merge(PAIR, "out", compare=False, gguf="Q4_K_M")


class Stop(KeyboardInterrupt):
    """As if the user had interrupted."""


def test_a_half_written_file_is_in_no_output(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while the file is written: the next merge, without one, has none."""

    def interrupted(*_: object) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("merger.gguf.writer.sync_data", interrupted)
        with pytest.raises(Stop):
            merge(PAIR, "out", gguf="F16")
    assert "out-F16.gguf" in names(Path(".out.merging/model"))
    assert not Path("out").exists()
    merge(PAIR, "out")
    merge(PAIR, "whole")
    assert names(Path("out")) == names(Path("whole"))
    assert digests(Path("out"))["model.safetensors"] == digests(Path("whole"))["model.safetensors"]


KILLED = """
import os, signal, sys
from merger.gguf import writer
from workflows.merge_recipes import TwoModelMerge
from workflows.merges import merge
writer._PART = 1 << 14
real, calls = writer._write_part, []
def deadly(*arguments):
    calls.append(real(*arguments))
    if len(calls) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return calls[-1]
writer._write_part = deadly
merge(TwoModelMerge("math-model", "medical-model", 0.4), "out", gguf="Q8_0", load_check=False)
"""


def test_a_merge_that_is_killed_in_the_file_goes_on(place: Path) -> None:
    merge(PAIR, "whole", gguf="Q8_0")
    for after in (1, 7, 40):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(after)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL
        assert not Path("out").exists()
    again = merge(TwoModelMerge("math-model", "medical-model", 0.4), "out", gguf="Q8_0")
    assert not verify_merge("out").different
    assert not Path(".out.merging").exists()
    assert again.gguf is not None
    tensors = [
        {t.name: bytes(t.data) for t in gguf.GGUFReader(path).tensors}
        for path in ("whole/whole-Q8_0.gguf", f"out/{again.gguf}")
    ]
    assert tensors[0] == tensors[1]


def test_a_full_disk_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("merger.gguf.writer.write_at", full)
    with pytest.raises(MergeError, match="No space left on device"):
        merge(PAIR, "out", gguf="F16")
    assert not Path("out").exists()
    assert not Path(".out.merging").exists()


def test_the_size_of_the_file_counts_before_the_merge(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = check_merge(PAIR, compare=False)
    free = check.nbytes + (64 << 20) + 1000

    def usage(_path: object) -> Any:
        return type("Usage", (), {"free": free})

    monkeypatch.setattr("merger.outputs.destination.shutil.disk_usage", usage)
    check_merge(PAIR, "out", compare=False)
    with pytest.raises(Exception, match="GB free, and the merge needs"):
        check_merge(PAIR, "out", compare=False, gguf="F16")
    assert staging.reclaimable_bytes(Path("out").absolute()) == 0
