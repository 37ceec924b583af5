"""What a tiny model of a family needs in its config besides the sizes that all families know."""

from __future__ import annotations

from typing import Any

_BART = {
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
_T5 = {
    "d_kv": 8,
    "d_ff": 40,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "initializer_factor": 0.3,  # of 1, words are large and sums of them rounded coarsely
}
_GEMMA = {
    "num_key_value_heads": 2,
    "head_dim": 8,
    "query_pre_attn_scalar": 12,
    "sliding_window": 7,
}
FAMILY_SIZES: dict[str, dict[str, Any]] = {
    "esm": {"pad_token_id": 1, "mask_token_id": 7},
    "flaubert": {"emb_dim": 16, "n_layers": 2, "n_heads": 2},
    "funnel": {
        "architectures": ["FunnelModel"],
        "block_sizes": [1, 1],
        "d_model": 16,
        "d_head": 8,
        "d_inner": 24,
    },
    "longformer": {"attention_window": 6},
    "mobilebert": {"intra_bottleneck_size": 16},
    "nystromformer": {"conv_kernel_size": 5},
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 2},
    "xlnet": {"d_model": 16, "n_layer": 2, "d_inner": 24, "d_head": 8},
    "squeezebert": {"embedding_size": 16, "q_groups": 2, "k_groups": 2, "v_groups": 2},
    # decoders, which need to know what padding is
    "llama": {"num_key_value_heads": 2, "pad_token_id": 0},
    "mistral": {"num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": 7},
    "qwen2": {"num_key_value_heads": 2, "pad_token_id": 0},
    "qwen3": {"num_key_value_heads": 2, "pad_token_id": 0, "head_dim": 8},
    "bart": _BART,
    "mbart": _BART,
    "t5": {**_T5, "decoder_start_token_id": 0},
    "mt5": _T5,
    "umt5": _T5,
    "bloom": {"pad_token_id": 0},
    "falcon": {"pad_token_id": 0},
    "gpt2": {"pad_token_id": 0},
    "gpt_neo": {"pad_token_id": 0, "window_size": 5, "attention_types": None},
    "gpt_neox": {"pad_token_id": 0, "rotary_pct": 0.5},
    "gptj": {"pad_token_id": 0, "rotary_dim": 4},
    "opt": {"pad_token_id": 0, "ffn_dim": 40, "word_embed_proj_dim": 16},
    "gemma": {"num_key_value_heads": 1, "head_dim": 8},
    "gemma2": {**_GEMMA, "attn_logit_softcapping": 2.0},
    "gemma3_text": {**_GEMMA, "sliding_window_pattern": 2},
    "olmo2": {"num_key_value_heads": 2, "pad_token_id": 0},
    "phi": {"num_key_value_heads": 2, "pad_token_id": 0},
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": 7},
    "smollm3": {"num_key_value_heads": 2, "pad_token_id": 0, "no_rope_layer_interval": 2},
    "stablelm": {"num_key_value_heads": 2, "pad_token_id": 0, "partial_rotary_factor": 0.5},
    "starcoder2": {"num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": 7},
}
"""model_type -> keys of config.json; ``embedding_size`` and the like are for a width of 16."""


def sized(family: str, width: int) -> dict[str, Any]:
    """Return the keys for a model of this width."""
    keys = FAMILY_SIZES.get(family, {})
    if family == "gpt_neo":  # three layers are for a width of 32, two for 16
        keys = {**keys, "attention_types": [[["global", "local"], 1], [["global"], width // 32]]}
    return {
        key: width if key in {"embedding_size", "emb_dim", "d_model"} else value
        for key, value in keys.items()
    }


def has(config: Any, key: str) -> bool:
    """Whether a config of transformers' knows a key, and lets it be set."""
    fixed = key in {"max_position_embeddings", "num_hidden_layers"}
    return hasattr(config, key) and not (
        fixed and isinstance(getattr(type(config), key, None), property)
    )
