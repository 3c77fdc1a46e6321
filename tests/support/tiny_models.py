"""Two-layer Llamas of random weights, as a folder of safetensors and as a GGUF of the same tensors.

Their vocabulary is 256 bytes, a few merges and four special tokens.
"""

from pathlib import Path
from typing import Any

WORDS = "the patient has a fever and chills, the note of a patient with pain in the chest. "
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]


def tokenizer(*, template: bool = True) -> Any:
    """Byte-level BPE as GPT-2 has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([WORDS] * 20, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=SPECIAL[0], eos_token=SPECIAL[2], unk_token=SPECIAL[3]
    )
    if template:
        made.chat_template = TEMPLATE
    return made


def model(*, seed: int = 0, context: int = 256, vocabulary: int = 300, **config: Any) -> Any:
    """A Llama of two layers, 64 wide, with grouped queries; logits far enough apart to rank."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            max_position_embeddings=context,
            bos_token_id=0,
            eos_token_id=2,
            **{**sizes, **config},
        )
    )
    return made.eval().to(torch.float32)


def save_folder(folder: Path, *, template: bool = True, **options: Any) -> Path:
    """A model and its tokenizer as transformers saves them."""
    words = tokenizer(template=template)
    model(vocabulary=len(words), **options).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_gguf(path: Path, net: Any, words: Any) -> Path:
    """The same tensors in one F32 GGUF, with the rows of Q and K as llama.cpp wants them."""
    import gguf

    config = net.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(config.vocab_size)
    _add_words(writer, words)
    for name, tensor in net.state_dict().items():
        writer.add_tensor(_gguf_name(name), _gguf_rows(name, tensor.float().numpy(), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_words(writer: Any, words: Any) -> None:
    import json

    import gguf

    state = json.loads(words.backend_tokenizer.to_str())["model"]
    by_id = {number: token for token, number in words.get_vocab().items()}
    tokens = [by_id[number] for number in range(len(by_id))]
    kind = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kind.CONTROL if token in SPECIAL else kind.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in state["merges"]])
    writer.add_bos_token_id(words.bos_token_id)
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_add_bos_token(False)
    if words.chat_template:
        writer.add_chat_template(words.chat_template)


_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "model.layers.": "blk.",
}


def _gguf_name(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


def _gguf_rows(name: str, rows: Any, config: Any) -> Any:
    """transformers rotates halves of a head, llama.cpp neighbours: so Q and K are interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for part, count in heads.items():
        if part in name:
            half = rows.reshape(count, 2, rows.shape[0] // count // 2, rows.shape[1])
            return half.swapaxes(1, 2).reshape(rows.shape).copy()
    return rows
