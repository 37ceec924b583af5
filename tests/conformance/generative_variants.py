"""What ``test_architectures.py`` tries of decoders and encoder-decoders: variants."""

from __future__ import annotations

from typing import Any

__all__ = ["GENERATIVE"]

GENERATIVE: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "biases, own width of heads, one label": {
            "attention_bias": True,
            "mlp_bias": True,
            "head_dim": 6,
            "num_labels": 1,
        },
        "one group, linear positions": {
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0},
        },
        "llama3 positions": {
            "max_position_embeddings": 256,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 100.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
        "dynamic positions, longer than trained": {
            "max_position_embeddings": 20,
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
        },
    },
    "mistral": {"no window": {"sliding_window": None, "head_dim": 12}},
    "qwen2": {
        "windows in the last layers": {"use_sliding_window": True, "max_window_layers": 1},
        "yarn positions": {
            "max_position_embeddings": 128,
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "rope_theta": 1000.0,
                "original_max_position_embeddings": 32,
            },
        },
    },
    "qwen3": {
        "biases, windows": {
            "attention_bias": True,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "use_sliding_window": True,
        },
    },
}
