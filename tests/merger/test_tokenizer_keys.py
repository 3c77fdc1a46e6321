"""`tokenizer_source`, `tokenizer`, `chat_template`: the output has the files of one tokenizer."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extras hf and merge")
pytest.importorskip("transformers", reason="needs the extras hf and merge")
pytest.importorskip("mergekit", reason="needs the extras hf and merge")
pytest.importorskip("sentencepiece", reason="needs the extras hf and merge")

import torch
from small_merges import loaded, save_model, tensors
from small_tokenizers import (
    CHATML,
    add_tokens,
    byte_tokens,
    save_pieces,
    write_json,
    write_tiktoken,
)
from transformers import AutoTokenizer

from merger.execution import MergeResult, merge
from merger.planning.job import MergeJob
from merger.recipes.reader import parse_recipe
from merger.verification import verify_merge
from merger.vocabulary.chat_templates import SHIPPED
from merger.vocabulary.problems import vocabulary_problems
from merger.vocabulary.reading import read_vocabulary
from patientdx.errors import InputError, MergeError

TINY: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "head_dim": 4, "context": 32}
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"


def save_mistral_like(folder: Path, *, chatml: bool, fast: bool = True) -> Path:
    """A small Llama with `tokenizer.model`; ChatML adds two tokens, one of which ends a reply."""
    size = read_vocabulary(save_pieces(folder), {}).size
    added = {token: size + n for n, token in enumerate(CHATML)} if chatml else {}
    end = CHATML[0] if chatml else "</s>"
    add_tokens(folder, added, "both", bos_token="<s>", eos_token=end, unk_token="<unk>")
    save_model(folder, seed=int(chatml), vocabulary=size + len(added), **TINY)
    ids = {"bos_token_id": 1, "eos_token_id": added.get(end, 2), "pad_token_id": 0}
    config = json.loads((folder / "config.json").read_text("utf-8"))
    write_json(folder / "config.json", config | ids)
    generation = {"temperature": 0.7, "eos_token_id": [ids["eos_token_id"], 2]} if chatml else ids
    write_json(folder / "generation_config.json", generation)
    if fast:
        backend = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        backend.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A ChatML model of 82 tokens and a plain one of 80."""
    root = tmp_path_factory.mktemp("pair")
    chat = save_mistral_like(root / "chat", chatml=True)
    return chat, save_mistral_like(root / "plain", chatml=False)


def merged(a: Path, b: Path, into: Path, more: str, method: str = "linear") -> MergeResult:
    """The mean of two models, by a recipe with further keys."""
    half = "    parameters: {weight: 0.5}\n"
    own = half if method == "linear" else ""
    recipe = parse_recipe(
        f"models:\n  - model: {a}\n{own}  - model: {b}\n{half}merge_method: {method}\n"
        f"base_model: {a}\n{more}"
    )
    folders = {ref: a if str(ref) == str(a) else b for ref in recipe.inputs}
    return merge(MergeJob(recipe, folders), into)


def generation(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "generation_config.json").read_text("utf-8"))
    return content


def config_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return content


@pytest.mark.parametrize("form", ["tokenizer_source: {}\n", "tokenizer: {{source: {}}}\n"])
def test_the_tokenizer_of_another_input_comes_alone(
    form: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    chat, plain = pair
    size = read_vocabulary(plain, {}).size
    out = tmp_path / "out"
    merged(chat, plain, out, form.format(plain))
    words = AutoTokenizer.from_pretrained(out)
    assert words.get_vocab() == AutoTokenizer.from_pretrained(plain).get_vocab()
    assert len(words) == loaded(out).get_input_embeddings().weight.shape[0] == size
    assert not {"tokenizer.model", "added_tokens.json"} & {path.name for path in out.iterdir()}
    assert words.eos_token_id == config_of(out)["eos_token_id"] == 2
    assert generation(out) == {"temperature": 0.7, "eos_token_id": [2]}
    assert vocabulary_problems(out, config_of(out), size) == []
    assert not verify_merge(out).different


def test_the_ids_of_special_tokens_follow_the_chosen_tokenizer(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    chat, plain = pair
    out = tmp_path / "out"
    merged(plain, chat, out, f"tokenizer_source: {chat}\n")
    words = AutoTokenizer.from_pretrained(out)
    assert words.eos_token == CHATML[0]
    assert config_of(out)["eos_token_id"] == generation(out)["eos_token_id"] == words.eos_token_id
    assert config_of(out)["bos_token_id"] == generation(out)["bos_token_id"] == 1
    assert len(words) == config_of(out)["vocab_size"] == len(AutoTokenizer.from_pretrained(chat))


@pytest.mark.parametrize("source", ["union", "base"])
def test_a_union_has_what_was_built_for_it(
    source: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    plain, chat = pair[::-1]
    out = tmp_path / "out"
    padded = f"tokenizer: {{source: {source}, pad_to_multiple_of: 16}}\n"
    merged(plain, chat, out, padded)
    expected = AutoTokenizer.from_pretrained(chat if source == "union" else plain)
    words = AutoTokenizer.from_pretrained(out)
    assert words.get_vocab().keys() == expected.get_vocab().keys()
    rows = loaded(out).get_input_embeddings().weight.shape[0]
    assert rows == -(-len(words) // 16) * 16 == config_of(out)["vocab_size"]
    assert not {"tokenizer.model", "added_tokens.json"} & {path.name for path in out.iterdir()}
    assert words.eos_token_id == config_of(out)["eos_token_id"] == 2


def test_tokens_are_aligned_with_every_tokenizer_or_not_at_all(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    save_model(bare, seed=3, vocabulary=80, **TINY)
    for a, b in ((pair[1], bare), (bare, pair[1])):
        with pytest.raises(MergeError, match=r"tokens of .*bare cannot be aligned"):
            merged(a, b, tmp_path / "out", "tokenizer_source: union\n")
    with pytest.raises(MergeError, match="neither an input nor a folder"):
        merged(*pair, tmp_path / "out", "tokenizer_source: someone/elses\n")
    assert not (tmp_path / "out").exists()


def test_layers_of_models_with_other_tokens_are_not_stacked(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    chat, plain = pair
    part = "  - sources:\n      - model: {}\n        layer_range: [{}, {}]\n"
    recipe = parse_recipe(
        "slices:\n" + part.format(plain, 0, 2) + part.format(chat, 1, 2)
        + f"merge_method: passthrough\nbase_model: {plain}\n"
    )  # fmt: skip
    job = MergeJob(recipe, dict(zip(recipe.inputs, (plain, chat), strict=True)))
    with pytest.raises(MergeError, match=r"2 tokens that .* lacks"):
        merge(job, tmp_path / "out")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_template_of_mergekit_s_stands_in_the_output(
    name: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = merged(*pair, out, f"chat_template: {name}\n")
    assert result.engine == "stream"
    text = files("mergekit").joinpath("_data", "chat_templates", f"{name}.jinja").read_text()
    assert AutoTokenizer.from_pretrained(out).chat_template == text
    assert not verify_merge(out).different


MERGES = [
    ("linear", ""),
    ("slerp", ""),
    ("linear", "tokenizer_source: base\n"),
    ("ties", "dtype: bfloat16\n"),
]


@pytest.mark.parametrize(("method", "more"), MERGES)
def test_a_template_of_one_s_own_in_every_engine(
    method: str, more: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    chat = pair[0]
    other = tmp_path / "other"
    other.mkdir()
    for path in chat.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((chat / "tokenizer_config.json").read_text("utf-8"))
    write_json(other / "tokenizer_config.json", config | {"chat_template": "old"})
    slerp = "parameters: {t: 0.5}\n" if method == "slerp" else ""
    out = tmp_path / "out"
    if method == "slerp":
        recipe = parse_recipe(
            f"models:\n  - model: {other}\n  - model: {chat}\nmerge_method: slerp\n"
            f"base_model: {other}\n{slerp}chat_template: {json.dumps(TEMPLATE)}\n"
        )
        merge(MergeJob(recipe, dict(zip(recipe.inputs, (other, chat), strict=True))), out)
    else:
        merged(other, chat, out, f"{more}chat_template: {json.dumps(TEMPLATE)}\n", method)
    words = AutoTokenizer.from_pretrained(out)
    assert words.chat_template == TEMPLATE
    chatted = words.apply_chat_template([{"role": "user", "content": "fever"}], tokenize=False)
    assert chatted == "[user]fever"
    assert "chat_template" not in json.loads((out / "tokenizer_config.json").read_text("utf-8"))
    assert len(words) == tensors(out)["lm_head.weight"].shape[0]


def test_auto_takes_the_template_that_most_inputs_have(tmp_path: Path) -> None:
    folders = []
    forms: list[dict[str, Any]] = [
        {"chat_template": "{{ 'one' }} of base"},
        {"chat_template": "\n{{ 'two' }} of others\n"},
        {"chat_template": [{"name": "default", "template": "{{ 'two' }} of others"}]},
        {},
    ]
    for n, form in enumerate(forms):
        folder = save_mistral_like(tmp_path / f"m{n}", chatml=False, fast=False)
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        write_json(folder / "tokenizer_config.json", config | form)
        folders.append(folder)
    models = "".join(f"  - model: {f}\n    parameters: {{weight: 1}}\n" for f in folders)
    recipe = parse_recipe(f"models:\n{models}merge_method: linear\nchat_template: auto\n")
    job = MergeJob(recipe, dict(zip(recipe.inputs, folders, strict=True)))
    merge(job, tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == "{{ 'two' }} of others"
    with pytest.raises(MergeError, match="none of them has one"):
        merged(*bare_pair(tmp_path), tmp_path / "bare", "chat_template: auto\n")


def bare_pair(root: Path) -> tuple[Path, Path]:
    """Two models whose tokenizers have no template."""
    return (
        save_mistral_like(root / "x", chatml=False, fast=False),
        save_mistral_like(root / "y", chatml=False, fast=False),
    )


def test_templates_that_cannot_be_set_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for value in ("alpacca", "'{{ x }}'", "7"):
        with pytest.raises(InputError, match=r"recipe:8: "):
            merged(*pair, tmp_path / "out", f"chat_template: {value}\n")
    with pytest.raises(MergeError, match=r"`chat_template` is not Jinja: .*, in its line 1"):
        merged(*pair, tmp_path / "out", "chat_template: '{% for m in messages %}{{ m }}'\n")
    bare = tmp_path / "bare"
    save_model(bare, seed=3, vocabulary=80, **TINY)
    with pytest.raises(MergeError, match=r"needs a tokenizer, and the base .*bare has none"):
        merged(bare, pair[1], tmp_path / "out", "chat_template: chatml\n")
    assert not (tmp_path / "out").exists()


def test_weight_0_is_the_base_with_its_added_tokens(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    chat, plain = pair
    recipe = parse_recipe(
        f"models:\n  - model: {chat}\n  - model: {plain}\nmerge_method: slerp\n"
        f"base_model: {chat}\nparameters: {{t: 0}}\n"
    )
    merge(MergeJob(recipe, dict(zip(recipe.inputs, pair, strict=True))), tmp_path / "out")
    base, out = tensors(chat), tensors(tmp_path / "out")
    assert base.keys() == out.keys()
    assert all(torch.equal(base[name], out[name]) for name in base)


def test_ids_without_a_row_are_left_out_with_a_remark(tmp_path: Path) -> None:
    a, b = bare_pair(tmp_path)
    size = read_vocabulary(a, {}).size
    write_json(a / "config.json", config_of(a) | {"eos_token_id": [2, size], "pad_token_id": size})
    write_json(a / "generation_config.json", {"eos_token_id": size, "top_k": 5})
    (a / "additional_chat_templates").mkdir()
    done = merged(a, b, tmp_path / "out", "")
    assert any("in additional_chat_templates are not in the merge" in r for r in done.remarks)
    assert f"the special token {size} of {a} has no row" in " ".join(done.remarks)
    out = config_of(tmp_path / "out")
    assert (out["eos_token_id"], out["pad_token_id"]) == ([2], None)
    assert generation(tmp_path / "out") == {"eos_token_id": None, "top_k": 5}


def test_a_base_without_tokenizer_is_reported_with_the_input_that_has_one(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    bare, plain = tmp_path / "bare", pair[1]
    save_model(bare, seed=3, vocabulary=read_vocabulary(plain, {}).size, **TINY)
    done = merged(bare, plain, tmp_path / "out", "")
    assert f"{bare} has no tokenizer, so the merge has none; {plain} has one" in str(done.remarks)
    other_way = merged(plain, bare, tmp_path / "other", "")
    assert f"{bare} has no tokenizer to compare" in other_way.remarks
    both = save_mistral_like(tmp_path / "model", chatml=False, fast=False)
    assert "could not be compared" not in str(merged(plain, both, tmp_path / "all", "").remarks)


def test_tokens_of_a_folder_that_no_input_has_are_reported(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = save_pieces(tmp_path / "words")
    size = read_vocabulary(folder, {}).size
    add_tokens(folder, {"<a>": size, "<b>": size + 1, CHATML[0]: size + 2}, "decoder")
    done = merged(*pair, tmp_path / "out", f"tokenizer_source: {folder}\n")
    assert f"2 tokens of {folder} are in no input, so their rows are zero" in done.remarks
    rows = tensors(tmp_path / "out")["lm_head.weight"]
    assert not rows[size : size + 2].any()
    assert rows[size + 2].any()


def test_files_that_earlier_merges_lack_are_no_difference(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    chat, plain = pair
    for folder in (chat, plain):
        write_json(folder / "processor_config.json", {})
    try:
        merged(chat, plain, tmp_path / "out", "")
    finally:
        for folder in (chat, plain):
            (folder / "processor_config.json").unlink()
    assert (tmp_path / "out" / "processor_config.json").exists()
    assert verify_merge(tmp_path / "out").different == ("processor_config.json",)
    (tmp_path / "out" / "processor_config.json").unlink()
    write_json(chat / "processor_config.json", {})
    assert not verify_merge(tmp_path / "out").different
    (chat / "processor_config.json").unlink()


def test_a_live_merge_speaks_by_the_template_of_the_recipe(pair: tuple[Path, Path]) -> None:
    from merger.live.merged_model import MergedModel

    plain = pair[1]
    recipe = parse_recipe(
        f"models:\n  - model: {plain}\n    parameters: {{weight: 1}}\nmerge_method: linear\n"
        f"chat_template: {json.dumps(TEMPLATE)}\n"
    )
    model = MergedModel.from_recipe(recipe)
    try:
        assert model.tokenizer.chat_template == TEMPLATE
    finally:
        model.close()


def test_a_tokenizer_that_mergekit_cannot_load_is_not_taken_for_another(
    pair: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, odd = pair[1], tmp_path / "odd"
    save_model(odd, seed=3, vocabulary=260, **TINY)
    write_tiktoken(odd / "qwen.tiktoken", byte_tokens())
    capfd.readouterr()
    with pytest.raises(MergeError, match=r"MergeKit refuses recipe: Unable to load tokenizer for"):
        merged(plain, odd, tmp_path / "out", "tokenizer_source: base\n")
    assert not (tmp_path / "out").exists()
    merged(*pair, tmp_path / "sound", "tokenizer_source: base\n")
    assert capfd.readouterr().err == ""


def test_the_final_gate_refuses_tokens_without_a_row(tmp_path: Path) -> None:
    model = save_mistral_like(tmp_path / "model", chatml=False, fast=False)
    add_tokens(model, {"<more>": read_vocabulary(model, {}).size}, "decoder")
    part = f"  - sources:\n      - model: {model}\n        layer_range: [0, 1]\n"
    recipe = parse_recipe(f"slices:\n{part}{part}merge_method: passthrough\n")
    with pytest.raises(MergeError, match=r"1 tokens beyond the 80 rows .* `<more>`"):
        merge(MergeJob(recipe, {recipe.inputs[0]: model}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
