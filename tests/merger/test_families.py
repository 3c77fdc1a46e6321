"""The table of families against transformers, and what is read out of configurations by it."""

import importlib
from typing import Any

import pytest

from merger.families.family import Family
from merger.families.layers import layer_counts, layer_stacks, per_layer_lists
from merger.families.table import family_table, find_family
from merger.families.tensors import (
    embedding_tensors,
    head_tensors,
    skipped_tensors,
    ties_embeddings,
    unread_tensors,
)

SAMPLE = (
    *("llama", "gpt2", "bloom", "t5", "whisper", "llava", "gemma3_text", "gemma3", "smollm3"),
    *("deepseek_v3", "gpt_neox", "opt", "mixtral", "qwen2_vl", "gpt_oss", "jamba"),
)


def in_layers(prefix: str, count: int, *ends: str) -> list[str]:
    """Names of tensors in the layers of a stack."""
    return [f"{prefix}.{layer}.{end}" for layer in range(count) for end in ends or ("w.weight",)]


@pytest.mark.parametrize("model_type", SAMPLE)
def test_row_is_what_transformers_shows(model_type: str) -> None:
    pytest.importorskip("transformers", reason="needs the extra hf")
    maker = importlib.import_module("family_table")
    row = maker.describe_type(maker.classes_by_type()[model_type])
    family = find_family({"model_type": model_type})
    assert {stack.prefix: ".".join(stack.count) for stack in family.stacks} == row["stacks"]
    assert dict(family.tied) == row["tied"]
    assert list(family.head) == row["head"]
    assert list(family.embeddings) == row["embeddings"]
    assert list(family.skipped) == row["skipped"]
    assert list(family.unread) == row["unread"]
    assert list(family.classes) == row["classes"]
    lists = {".".join(key): ".".join(count) for key, count in family.per_layer_lists.items()}
    assert lists == row["lists"]


def test_every_default_is_that_of_the_class_of_transformers() -> None:
    pytest.importorskip("transformers", reason="needs the extra hf")
    maker = importlib.import_module("family_table")
    classes = maker.classes_by_type()
    assert set(family_table()) <= set(classes)
    assert len(family_table()) > 0.9 * len(classes)
    for model_type, family in family_table().items():
        default = maker.default_config(classes[model_type][0])
        assert family.ties_by_default == maker.default_tie(default), model_type
        counts = {".".join(path): n for path, n in maker.counts_in(default).items()}
        assert {".".join(path): n for path, n in family.default_counts.items()} == counts


def test_layer_counts_in_the_spellings_of_files() -> None:
    assert layer_counts({"model_type": "gpt2", "n_layer": 3}) == {("n_layer",): 3}
    assert layer_counts({"model_type": "gpt2", "num_hidden_layers": 3}) == {
        ("num_hidden_layers",): 3
    }
    assert layer_counts({"model_type": "t5", "num_layers": 4}) == {
        ("num_layers",): 4,
        ("num_decoder_layers",): 4,
    }
    assert layer_counts({"model_type": "never-seen", "n_layers": 5}) == {("n_layers",): 5}
    assert layer_counts({"model_type": "never-seen"}) == {}


def test_layer_count_of_a_part_that_is_silent_is_its_own_default() -> None:
    """LLaVA 1.5 on the hub has a `text_config` without a number of layers."""
    config = {
        "model_type": "llava",
        "text_config": {"model_type": "mistral"},
        "vision_config": {"model_type": "clip_vision_model", "num_hidden_layers": 24},
    }
    counts = layer_counts(config)
    assert counts["text_config", "num_hidden_layers"] == 32
    assert counts["vision_config", "num_hidden_layers"] == 24


def test_stacks_of_text_and_vision_in_both_spellings() -> None:
    config = {
        "model_type": "llava",
        "text_config": {"model_type": "llama", "num_hidden_layers": 3},
        "vision_config": {"num_hidden_layers": 4},
    }
    for text in ("language_model.model.layers", "model.language_model.layers"):
        names = [
            *in_layers(text, 3, "a.weight", "b.weight"),
            *in_layers("vision_tower.encoder.layers", 4),
            "multi_modal_projector.linear_1.weight",
        ]
        more = in_layers("vision_tower.encoder.layers", 4, "c.weight", "d.weight")
        stacks = layer_stacks(config, [*names, *more])
        assert [(stack.prefix, stack.length, len(stack.numbers)) for stack in stacks] == [
            (text, 3, 3),
            ("vision_tower.encoder.layers", 4, 4),
        ]


def test_stack_of_a_text_model_that_the_family_does_not_name() -> None:
    config = {
        "model_type": "llava",
        "text_config": {"model_type": "gpt2", "n_layer": 2},
        "vision_config": {"num_hidden_layers": 4},
    }
    (stack,) = layer_stacks(config, in_layers("language_model.transformer.h", 2))
    assert (stack.count, stack.length) == (("text_config", "n_layer"), 2)


def test_stacks_of_an_unknown_family_are_found_by_their_length() -> None:
    config = {"model_type": "never-seen", "num_hidden_layers": 3}
    names = [*in_layers("net.floors", 3), *in_layers("projector.steps", 2)]
    assert [stack.prefix for stack in layer_stacks(config, names)] == ["net.floors"]


def test_model_without_a_head_has_its_stack() -> None:
    config = {"model_type": "llama", "num_hidden_layers": 2}
    (stack,) = layer_stacks(config, in_layers("layers", 2))
    assert stack.length == 2


@pytest.mark.parametrize(
    ("config", "names", "tied"),
    [
        ({"model_type": "gemma"}, ["model.embed_tokens.weight"], True),
        ({"model_type": "llama"}, ["model.embed_tokens.weight"], False),
        ({"model_type": "gemma", "tie_word_embeddings": False}, [], False),
        ({"model_type": "llava", "text_config": {"tie_word_embeddings": True}}, [], True),
        ({"model_type": "never-seen"}, ["model.embed_tokens.weight"], True),
        ({"model_type": "never-seen"}, ["embed_tokens.weight", "lm_head.weight"], False),
    ],
)
def test_ties_embeddings(config: dict[str, Any], names: list[str], *, tied: bool) -> None:
    assert ties_embeddings(config, names) is tied


def test_buffers_are_skipped_by_family() -> None:
    masks = ["gpt_neox.layers.0.attention.bias", "gpt_neox.layers.0.attention.masked_bias"]
    weight = "gpt_neox.layers.0.attention.dense.bias"
    neox = {"model_type": "gpt_neox"}
    assert skipped_tensors(neox, [*masks, weight]) == set(masks)
    assert skipped_tensors({"model_type": "gpt2"}, ["h.0.attn.bias", "h.0.attn.c_attn.bias"]) == {
        "h.0.attn.bias"
    }
    llama = {"model_type": "llama"}
    assert skipped_tensors(llama, ["model.layers.0.self_attn.rotary_emb.inv_freq"])
    assert not skipped_tensors({"model_type": "dbrx"}, ["model.layers.0.attention.bias"])


def test_layers_beyond_the_last_are_unread() -> None:
    config = {"model_type": "glm4_moe", "num_hidden_layers": 3, "num_nextn_predict_layers": 1}
    names = in_layers("model.layers", 4)
    assert unread_tensors(config, names) == {names[-1]}


def test_embeddings_and_head() -> None:
    names = ["transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"]
    gpt2 = {"model_type": "gpt2"}
    assert embedding_tensors(gpt2, names) == {"transformer.wte.weight"}
    assert head_tensors(gpt2, names) == {"lm_head.weight"}
    assert embedding_tensors(gpt2, ["wte.weight"]) == {"wte.weight"}
    assert head_tensors({"model_type": "gpt_neox"}, ["embed_out.weight"]) == {"embed_out.weight"}


def test_lists_with_an_entry_per_layer() -> None:
    smollm3 = {
        "model_type": "smollm3",
        "num_hidden_layers": 2,
        "layer_types": ["full_attention"] * 2,
        "no_rope_layers": [1, 0],
        "eos_token_id": [1, 2],
    }
    assert set(per_layer_lists(smollm3)) == {("layer_types",), ("no_rope_layers",)}
    nested = {"model_type": "gemma3", "text_config": {"layer_types": ["a"], "num_hidden_layers": 1}}
    assert per_layer_lists(nested) == {
        ("text_config", "layer_types"): ("text_config", "num_hidden_layers")
    }


def test_unknown_family_has_no_facts() -> None:
    assert find_family({"model_type": "never-seen"}) == Family("never-seen", known=False)
    assert not find_family({}).known
