"""What ``test_architectures.py`` saves on encoders whose layers are of a kind of their own.

Tracing and compiling cost most there: one layer shows it, and of kin one family. What is left out
is marked ``slow``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["KIN", "ONE_LAYER", "repeats_an_encoder"]

_LAYERS: dict[str, Any] = {"num_hidden_layers": 1}
ONE_LAYER: dict[str, dict[str, Any]] = {
    "big_bird": _LAYERS,
    "convbert": {**_LAYERS, "conv_kernel_size": 3},  # each tap is a slice more in the graph
    "deberta": _LAYERS,
    "esm": _LAYERS,
    "eurobert": _LAYERS,
    "flaubert": {"n_layers": 1},
    "fnet": _LAYERS,
    "funnel": {},  # has two, with the pooling between them
    "gte": _LAYERS,
    "jina_embeddings_v3": _LAYERS,
    "longformer": _LAYERS,
    "mobilebert": _LAYERS,
    "nomic_bert": _LAYERS,
    "nystromformer": _LAYERS,
    "roformer": _LAYERS,
    "squeezebert": _LAYERS,
    "xlm": {"n_layers": 1},
    "xlnet": {"n_layer": 1},
}
"""model_type -> sizes of the model that is traced, compiled and exported."""

KIN = {
    "esm": "roberta",  # its turned heads are a variant
    "eurobert": "llama",
    "flaubert": "xlm",
    "gte": "nomic_bert",
    "jina_embeddings_v3": "nomic_bert",
}
"""model_type -> the family whose layers it has."""

_KITS: dict[str, frozenset[str]] = {
    "test_a_checkpoint_in_half_precision_computes_in_float32": frozenset({"numpy"}),
    "test_a_decoder_looks_back_alone_or_is_refused": frozenset({"numpy"}),
    "test_computing_in_half_precision_stays_near_and_finite": frozenset({"torch", "tf"}),
    "test_gradients_are_those_of_transformers": frozenset({"torch-eager", "tf"}),
    "test_hidden_states_and_attentions_come_on_request": frozenset({"numpy", "torch-eager", "tf"}),
    "test_hidden_states_and_pooled_output_are_those_of_transformers": frozenset(
        {"numpy", "torch", "tf"}
    ),
    "test_one_text_without_a_mask_gives_the_same_logits": frozenset({"numpy", "torch", "tf"}),
}
_KITS_OF_KIN: dict[str, frozenset[str]] = {
    "test_a_checkpoint_in_half_precision_computes_in_float32": frozenset(),
    "test_computing_in_half_precision_stays_near_and_finite": frozenset({"torch"}),
    "test_gradients_are_those_of_transformers": frozenset({"torch-eager"}),
    "test_hidden_states_and_attentions_come_on_request": frozenset({"numpy", "torch-eager"}),
    "test_hidden_states_and_pooled_output_are_those_of_transformers": frozenset({"numpy", "torch"}),
    "test_one_text_without_a_mask_gives_the_same_logits": frozenset({"numpy", "torch"}),
    "test_what_a_head_answers_is_what_transformers_answers": frozenset({"numpy", "torch"}),
}
_GRAPHS = {
    "test_the_tensorflow_model_runs_as_a_graph_of_unknown_sizes",
    "test_the_torch_model_copies_pickles_compiles_and_exports",
}


def repeats_an_encoder(test: str, params: Mapping[str, Any]) -> bool:
    """Whether a test of an encoder shows what another shows too: it can wait.

    Args:
        test: its name, without parameters.
        params: its parameters.

    """
    family, kit = params.get("family"), params.get("kit_name")
    if family not in ONE_LAYER:
        return False
    if params.get("seed", 0) > 0 or (test in _GRAPHS and family in KIN):
        return True
    tried = _KITS_OF_KIN.get(test) if family in KIN else None
    tried = _KITS.get(test) if tried is None else tried
    if tried is None or kit is None:
        return False
    if params.get("variant", "plain") != "plain":
        tried = tried - {"tf"}
    return kit not in tried
