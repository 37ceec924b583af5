"""What ``test_architectures.py`` tries of decoders and encoder-decoders: variants."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = [
    "FUSED",
    "GENERATIVE",
    "decoder_inputs",
    "ended",
    "is_repetition",
    "traced",
    "two_halves",
]

GENERATIVE: dict[str, dict[str, dict[str, Any]]] = {
    "bart": {
        "scaled words, sizes of its own, two labels": {
            "scale_embedding": True,
            "num_labels": 2,
            "activation_function": "relu",
            "decoder_attention_heads": 2,
            "decoder_layers": 1,
        },
    },
    "bloom": {
        "five heads, normed residuals": {
            "num_attention_heads": 5,
            "hidden_size": 40,
            "apply_residual_connection_post_layernorm": True,
        },
    },
    "falcon": {
        "new form": {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True},
        "new form, one norm": {
            "new_decoder_architecture": True,
            "num_kv_heads": 1,
            "num_ln_in_parallel_attn": 1,
            "ffn_hidden_size": 40,
        },
        "one after the other, own keys": {"parallel_attn": False, "multi_query": False},
        "ALiBi": {"alibi": True, "multi_query": False, "bias": True},
    },
    "gpt2": {
        "scaled by layer, wide": {
            "scale_attn_by_inverse_layer_idx": True,
            "scale_attn_weights": False,
            "n_inner": 40,
            "activation_function": "relu",
        },
        "looks ahead": {"is_causal": False},
    },
    "gpt_neo": {"wide": {"intermediate_size": 40, "window_size": 3}},
    "gpt_neox": {
        "one after the other, no biases": {
            "use_parallel_residual": False,
            "attention_bias": False,
            "rotary_pct": 1.0,
        },
    },
    "gptj": {"wide": {"n_inner": 40, "rotary_dim": 8}},
    "t5": {
        "gated, far": {
            "feed_forward_proj": "gated-gelu",
            "num_decoder_layers": 1,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 12,
        },
    },
    "opt": {
        "norms after": {"do_layer_norm_before": False, "word_embed_proj_dim": 32},
        "no biases, no last norm": {"enable_bias": False, "_remove_final_layer_norm": True},
    },
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
    "gemma": {"as the first configs say": {"hidden_act": "gelu", "attention_bias": True}},
    "gemma2": {
        "no bound, given kinds": {
            "attn_logit_softcapping": None,
            "layer_types": ["full_attention", "full_attention", "sliding_attention"],
        },
    },
    "gemma3_text": {
        "looks ahead": {"use_bidirectional_attention": True},
        "stretched where it looks far": {
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
    },
    "mistral": {"no window": {"sliding_window": None, "head_dim": 12}},
    "olmo2": {"biases": {"attention_bias": True}},
    "phi": {"normed heads, one of a kind": {"qk_layernorm": True, "num_key_value_heads": None}},
    "phi3": {
        "long positions": {
            "sliding_window": None,
            "original_max_position_embeddings": 24,
            "partial_rotary_factor": 0.75,
            "rope_parameters": {
                "rope_type": "longrope",
                "short_factor": [1.0, 1.1, 1.3],
                "long_factor": [1.5, 4.0, 9.0],
            },
        },
    },
    "smollm3": {
        "windows where there are no positions": {
            "use_sliding_window": True,
            "sliding_window": 5,
            "attention_bias": True,
            "mlp_bias": True,
        },
    },
    "stablelm": {
        "side by side, normed heads": {"use_parallel_residual": True, "qk_layernorm": True},
        "biases": {"use_qkv_bias": True},
    },
    "starcoder2": {"no biases, no window": {"use_bias": False, "sliding_window": None}},
    "qwen2": {
        "looks ahead": {
            "is_causal": False,
            "use_sliding_window": True,
            "max_window_layers": 1,
            "sliding_window": 5,
        },
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


REPRESENTATIVES = frozenset({"falcon", "gpt2", "llama", "t5"})
RELATIVES = frozenset(
    [
        "bart",
        "bloom",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "mbart",
        "mistral",
        "mt5",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "stablelm",
        "starcoder2",
        "umt5",
    ]
)
# what is tried of every family, with what: tests that are not named here are tried of all
_OF_RELATIVES: dict[str, frozenset[str]] = {
    "test_a_checkpoint_in_half_precision_computes_in_float32": frozenset(),
    "test_a_checkpoint_is_loaded_answers_alike_and_is_saved_for_transformers": frozenset(
        {"torch", "numpy"}
    ),
    "test_a_decoder_looks_back_alone_or_is_refused": frozenset({"numpy"}),
    "test_computing_in_half_precision_stays_near_and_finite": frozenset(),
    "test_gradients_are_those_of_transformers": frozenset({"torch-eager"}),
    "test_hidden_states_and_attentions_come_on_request": frozenset({"numpy", "torch-eager"}),
    "test_hidden_states_and_pooled_output_are_those_of_transformers": frozenset({"numpy"}),
    "test_one_text_without_a_mask_gives_the_same_logits": frozenset({"numpy", "torch"}),
    "test_the_tensorflow_model_runs_as_a_graph_of_unknown_sizes": frozenset(),
    "test_the_torch_model_copies_pickles_compiles_and_exports": frozenset(),
}
_OF_VARIANTS = {
    "test_logits_are_those_of_transformers_whatever_the_padding": {"numpy", "torch-eager"},
}


def is_repetition(test: str, params: Mapping[str, Any]) -> bool:
    """Whether a test shows what it shows of a relative too, of the same layers: it can wait.

    Args:
        test: its name, without parameters.
        params: its parameters.

    """
    family, kit = params.get("family"), params.get("kit_name", params.get("backend"))
    if family not in REPRESENTATIVES | RELATIVES:
        return False
    if params.get("seed", 0) > 0:
        return True
    if params.get("variant", "plain") != "plain":
        return kit not in _OF_VARIANTS.get(test, ())
    return family in RELATIVES and test in _OF_RELATIVES and kit not in _OF_RELATIVES[test]


# transformers 5.23 adds ALiBi twice in Falcon's eager attention, and once, as it was trained, in
# that which it uses unless told otherwise
FUSED = {("falcon", "ALiBi")}


def two_halves(layer: Any) -> bool:
    """Whether a model has an encoder and a decoder."""
    return "decoder_input_ids" in inspect.signature(layer.forward).parameters


def ended(layer: Any, end: int | None, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same batch, every text with one end, where a model classifies by it: its last token."""
    if not two_halves(layer):
        return batch
    ids = batch["input_ids"]
    mask = batch.get("attention_mask", np.ones_like(ids))
    places = np.arange(ids.shape[1])
    # of a text of nothing but padding, in the padding
    last = [row.max() if len(row := places[line == 1]) else ids.shape[1] // 2 for line in mask]
    ids = np.where(ids == end, 6, ids)
    ids[np.arange(len(ids)), last] = end
    return {**batch, "input_ids": ids}


def decoder_inputs(tokens: int) -> dict[str, np.ndarray]:
    """What a bare model's decoder may be given: padded left and right."""
    ids = np.random.default_rng(9).integers(5, tokens, (5, 9))
    mask = np.ones_like(ids)
    mask[0, 7:] = mask[1, :2] = mask[3, 4] = 0
    return {"decoder_input_ids": ids, "decoder_attention_mask": mask}


def traced(trace: Any, theirs: Any) -> list[tuple[Any, Any]]:
    """Pair what we kept with what transformers did: hidden states and attentions."""
    if "encoder_last_hidden_state" not in theirs:
        return [
            (trace.kept_hidden_states, theirs.hidden_states),
            (trace.kept_attentions, theirs.get("attentions", ())),
        ]
    return [
        (trace.kept_hidden_states, theirs.decoder_hidden_states),
        (trace.kept_attentions, theirs.decoder_attentions),
        (trace.kept_cross_attentions, theirs.cross_attentions),
        (trace.encoder.kept_hidden_states, theirs.encoder_hidden_states),
        (trace.encoder.kept_attentions, theirs.encoder_attentions),
        ([trace.encoded], [theirs.encoder_last_hidden_state]),
    ]
