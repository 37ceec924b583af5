"""What a tiny model of a family needs in its config besides the sizes that all families know."""

from __future__ import annotations

from typing import Any

FAMILY_SIZES: dict[str, dict[str, Any]] = {
    "esm": {"vocab_size": 40, "pad_token_id": 1, "mask_token_id": 7},
    "mobilebert": {"intra_bottleneck_size": 16},
    "nystromformer": {"conv_kernel_size": 5},
    "squeezebert": {"embedding_size": 16, "q_groups": 2, "k_groups": 2, "v_groups": 2},
    # decoders, which need to know what padding is
    "llama": {"num_key_value_heads": 2, "pad_token_id": 0},
    "mistral": {"num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": 7},
    "qwen2": {"num_key_value_heads": 2, "pad_token_id": 0},
    "qwen3": {"num_key_value_heads": 2, "pad_token_id": 0, "head_dim": 8},
}
"""model_type -> keys of config.json; ``embedding_size`` and the like are for a width of 16."""


def sized(family: str, width: int) -> dict[str, Any]:
    """Return the keys for a model of this width."""
    keys = FAMILY_SIZES.get(family, {})
    return {
        key: width if key in {"embedding_size", "emb_dim", "d_model"} else value
        for key, value in keys.items()
    }
