"""The settings of config.json that decide whether weights go together, in four groups.

Every kind of model has names of its own; the groups hold the names of all of them. Rotary settings
are compared by `rotary_settings`, layer types by `layer_types`; vocabulary, padding and tied
weights by their own checks. docs/method/merging.md has the table for readers.
"""

import re

GEOMETRY = frozenset(
    [
        *("model_type", "architectures"),
        # Sizes.
        *("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size", "emb_dim"),
        *("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "dim_ff", "dff"),
        *("encoder_ffn_dim", "decoder_ffn_dim", "intermediate_size_mlp", "expansion_ratio"),
        *("hidden_size_per_layer_input", "shared_intermediate_size", "patch_size", "d_inner"),
        # Layers and heads.
        *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"),
        *("encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"),
        *("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"),
        *("encoder_attention_heads", "decoder_attention_heads", "num_query_groups"),
        *("num_key_value_heads", "num_kv_heads", "multi_query", "head_dim", "d_kv", "d_head"),
        *("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"),
        *("num_kv_shared_layers", "new_decoder_architecture"),
        # Experts: how many, how wide, and in which layers.
        *("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
        *("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"),
        *("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"),
        *("first_k_dense_replace", "moe_layer_freq", "decoder_sparse_step", "mlp_only_layers"),
        *("num_dense_layers", "interleave_moe_layer_step", "moe_layers", "mlp_layer_types"),
        # State spaces and convolutions.
        *("state_size", "mamba_d_state", "ssm_state_size", "mamba_expand", "expand"),
        *("conv_kernel", "mamba_d_conv", "conv_L_cache", "linear_conv_kernel_dim"),
        *("linear_key_head_dim", "linear_value_head_dim"),
        *("linear_num_key_heads", "linear_num_value_heads"),
        # Biases and norms that are tensors.
        *("attention_bias", "mlp_bias", "use_bias", "bias", "qkv_bias", "use_qkv_bias"),
        *("lm_head_bias", "add_bias_linear", "enable_bias", "no_bias", "add_cross_attention"),
    ]
)
"""Weights of different geometry cannot be merged at all."""

MEANING = frozenset(
    [
        # Activations.
        *("hidden_act", "hidden_activation", "activation_function", "activation", "afn"),
        *("ff_activation", "mlp_hidden_act", "hidden_mamba_act", "mamba_hidden_act"),
        *("feed_forward_proj", "dense_act_fn", "projector_hidden_act", "gelu_activation"),
        *("swiglu_limit", "swiglu_alpha", "activation_sparsity_pattern"),
        # Scores of the attention.
        *("attn_logit_softcapping", "query_pre_attn_scalar", "attention_multiplier"),
        *("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "attention_value_scale"),
        *("attn_temperature_tuning", "attn_scale", "floor_scale", "log_scaling_alpha"),
        *("log_scaling_n_floor", "use_qk_norm", "qk_layernorm", "qk_norm", "clip_qkv"),
        *("key_multiplier", "attention_in_multiplier", "attention_out_multiplier"),
        *("use_bidirectional_attention", "softmax_scale"),
        # Positions.
        *("position_embedding_type", "alibi", "alibi_bias_max", "rotary_dim", "rope_interleave"),
        *("learned_pos_emb", "no_rope_layers", "no_rope_layer_interval", "relative_max_distance"),
        *("relative_attention_num_buckets", "relative_attention_max_distance"),
        *("sinusoidal_embeddings", "compress_rope_theta", "layer_rope_theta"),
        # Scale factors.
        *("embedding_multiplier", "residual_multiplier", "logits_scaling", "logit_scale"),
        *("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap", "gate_soft_cap"),
        *("lm_head_multiplier", "mlp_multipliers", "ssm_multipliers", "ssm_in_multiplier"),
        *("ssm_out_multiplier", "scale_emb", "scale_depth", "dim_model_base", "scale_embedding"),
        *("mup_enabled", "logits_mup_width_multiplier", "embedding_scale", "mlp_alpha_factor"),
        *("full_attn_alpha_factor", "full_attn_beta_factor", "linear_attn_alpha_factor"),
        *("linear_attn_beta_factor", "mlp_beta_factor", "rescale_every"),
        # The order of norms, attention and feed-forward.
        *("parallel_attn", "use_parallel_residual", "do_layer_norm_before", "norm_type"),
        *("apply_residual_connection_post_layernorm", "normalize_before", "pre_norm"),
        *("use_post_norm", "layer_norm_elementwise_affine", "mamba_norm_before_gate"),
        # The choice of experts.
        *("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"),
        *("norm_topk_prob", "moe_renormalize", "scoring_func", "topk_method", "n_group"),
        *("topk_group", "num_expert_group", "routed_scaling_factor", "route_scale"),
        *("moe_routed_scaling_factor", "router_scaling_factor", "expert_selection_fn"),
        *("shared_expert_combination_strategy", "moe_router_logit_softcapping"),
        # What the layers of a hybrid are.
        *("layers_block_type", "block_types", "attention_types", "attn_layer_period"),
        *("attn_layer_offset", "attn_layer_indices", "full_attn_idxs", "expert_layer_period"),
        *("expert_layer_offset", "time_step_limit"),
    ]
)
"""Weights learned with other values of these mean something else: merging them is unsound."""

CONTEXT = frozenset(
    [
        *("sliding_window", "sliding_window_size", "attention_window_size", "window_size"),
        *("attention_chunk_size", "local_attention", "max_position_embeddings", "n_positions"),
        *("max_seq_len", "max_source_positions", "max_target_positions"),
        *("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon"),
    ]
)
"""The merge takes the value of the base; a difference is a remark."""

ROTARY = frozenset(
    [
        *("rope_parameters", "rope_scaling", "rope_theta", "rope_local_base_freq", "rope_pct"),
        *("rotary_pct", "rotary_emb_base", "partial_rotary_factor", "rotary_emb_fraction"),
        *("global_rope_theta", "local_rope_theta", "original_max_position_embeddings"),
        *("swa_rope_theta",),
    ]
)
"""Spellings of the rotary settings, which `read_rotary_settings` resolves."""

LAYER_TYPES = frozenset(
    [
        *("layer_types", "sliding_window_pattern", "_sliding_window_pattern"),
        *("max_window_layers", "use_sliding_window"),
    ]
)
"""Spellings of which layers have which attention, which `read_layer_types` resolves."""

PER_LAYER = frozenset(
    [
        *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"),
        *("encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"),
        *("num_kv_shared_layers", "first_k_dense_replace", "mlp_only_layers", "num_dense_layers"),
        *("moe_layers", "mlp_layer_types", "no_rope_layers", "layers_block_type", "block_types"),
        *("attention_types", "attention_layers", "attn_layer_indices", "full_attn_idxs"),
        *("activation_sparsity_pattern", "layer_rope_theta", "layer_types", "max_window_layers"),
    ]
)
"""Settings that count or list layers: a recipe that moves layers has its own."""

# Bookkeeping, training, generation, and what has checks of its own.
_WITHOUT_MEANING = re.compile(
    r"^_|^(?:torch_)?dtype$|^transformers|^(?:auto_map|use_cache|pretraining_tp|problem_type)$"
    r"|^(?:output|return|summary|task|mask|begin|forced|suppress|is|num_labels|id2|label2|max_new)"
    r"|^(?:tie_|share_encoder|tokenizer|generation|quantization|compression|vocab|unpadded_vocab)"
    r"|_token_(?:id|ids|index)$|_(?:token_)?vocab_size$|(?:^|_)(?:seed|device)$|unsloth"
    r"|dropout|pdrop|drop(?:_rate|_path)|layerdrop|jitter|init|_loss|_coef|_cache|_kernels?$"
    r"|gradient_|attn_impl|flash|fused|(?:^|_)std$|bos|eos|pad(?:ding)?_|sep_|use_mem|mode$"
)


def is_compared(key: str) -> bool:
    """Whether a difference in a setting of no group is worth a remark."""
    grouped = GEOMETRY | MEANING | CONTEXT | ROTARY | LAYER_TYPES
    return key not in grouped and not _WITHOUT_MEANING.search(key)
