"""Every key of a config, changed: our answers change as transformers' do, or the key is refused.

A key that nobody reads gives wrong numbers without a word. Tiny random models as in
``test_architectures.py``, which has the families and what each needs; what transformers itself
cannot build or run is passed over. A minute, on numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import test_architectures as suite
from generative_variants import FUSED

from hubloader.architectures import supported
from hubloader.errors import HubloaderError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle, pytest.mark.slow]

LEAST = 12  # changes that must have been compared, of every family
OF_NO_MODEL = {  # keys of files and calls, not of what is computed; and those of labels
    *("architectures", "dtype", "id2label", "label2id", "model_type", "num_labels", "problem_type"),
    *("is_encoder_decoder", "output_attentions", "output_hidden_states", "return_dict"),
    *("_name_or_path", "transformers_version", "use_cache", "initializer_range", "init_std"),
    "initializer_factor",
}
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "quick_gelu", "tanh")
ROPES: tuple[dict[str, Any], ...] = (
    {"rope_type": "linear", "factor": 3.0, "rope_theta": 77.0},
    {"type": "linear", "factor": 3.0, "rope_theta": 77.0},
    {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 77.0},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 12, "beta_fast": 20},
    {"rope_type": "default", "rope_theta": 77.0, "partial_rotary_factor": 0.5},
)
KINDS = (["sliding_attention"] * 3, ["full_attention", "sliding_attention", "full_attention"])
VALUES: dict[str, tuple[Any, ...]] = {
    "attention_layers": (["global"] * 3, ["local"] * 3),
    "attention_type": ("factorized", "original_full", "block_sparse"),
    "attention_window": (4, [2, 8, 4]),
    "attn_type": ("uni",),
    "block_sizes": ([2], [1, 1, 1]),
    "classifier_pooling": ("bos", "mean", "cls"),
    "feed_forward_proj": ("relu", "gated-silu", "gelu"),
    "layer_types": KINDS,
    "max_relative_positions": (3, 10),
    "no_rope_layers": ([0, 1, 0], [1, 1, 1]),
    "norm_rel_ebd": ("layer_norm",),
    "normalization_type": ("layer_norm",),
    "num_key_value_heads": (1, 4, None),
    "pad_token_id": (3, None),
    "pooling_type": ("max",),
    "pos_att_type": (["c2p"], "p2c|c2p", None),
    "position_embedding_type": ("absolute", "rotary"),
    "rope_parameters": ROPES,
    "sliding_window": (1, 4, None),
    "summary_type": ("first", "last", "mean"),
    "use_bidirectional_attention": (True,),
}
BESIDES = ("head_dim", "hidden_act", "is_causal", "sliding_window", "tie_word_embeddings")
"""Keys that configs of some families have and others may be given too."""


def others(key: str, value: Any) -> Iterator[Any]:
    """Yield what else a key may say."""
    if key in VALUES:
        yield from VALUES[key]
        if key == "rope_parameters" and "full_attention" in (value or {}):
            near = {"rope_type": "default", "rope_theta": 99.0}
            yield from ({"full_attention": rope, "sliding_attention": near} for rope in ROPES)
    elif "act" in key and (value in ACTIVATIONS or value is None) and "pact" not in key:
        yield from ACTIVATIONS
    elif key == "is_causal":
        yield False
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (1, 2, value + 1, value * 2)
    elif isinstance(value, float):
        yield from (0.25, 3.0)
    elif key == "head_dim":
        yield from (4, 6)


def answered(case: suite.Oracle) -> tuple[dict[str, np.ndarray], Any] | None:
    """Return a batch and transformers' logits of it; None where transformers has none."""
    try:
        batch = case.batch()
        return batch, case.reference(batch).logits
    except Exception:  # whatever it is, it is transformers' own  # noqa: BLE001
        return None


def changed(plain: suite.Oracle, key: str, value: Any) -> suite.Oracle | None:
    """Return a model of transformers' with one key changed; None where it refuses."""
    raw = {**plain.raw, key: value}
    torch.manual_seed(0)
    try:
        config = type(plain.model.config).from_dict(raw)
        attention = "sdpa" if raw.get("alibi") and plain.family == "falcon" else "eager"
        model = suite.TASKS[plain.task].from_config(config, attn_implementation=attention)
    except Exception:  # noqa: BLE001  the same
        return None
    case = suite.tensors_of(plain._replace(model=model.eval().float(), raw=raw))
    kept = {n: tensor for n, tensor in case.tensors.items() if not n.endswith("inv_freq")}
    return case._replace(tensors=kept, attention=attention)


@pytest.mark.parametrize("family", supported())
def test_a_key_is_read_as_transformers_reads_it_or_refused(family):
    plain = suite.oracle(family, "plain")
    assert (family, "plain") not in FUSED
    compared, wrong = 0, []
    for key in dict.fromkeys((*plain.raw, *BESIDES)):
        was = plain.raw.get(key)
        for value in () if key in OF_NO_MODEL else others(key, was):
            case = None if value == was else changed(plain, key, value)
            if case is None:
                continue
            found = answered(case)
            if found is None:
                continue
            batch, theirs = found
            try:
                ours = suite.run("numpy", case.build("numpy"), batch)
            except HubloaderError:
                continue
            compared += 1
            size = max(1.0, float(theirs[torch.isfinite(theirs)].abs().max()))
            if not suite.difference(ours, theirs) <= suite.TOLERANCE * size:
                wrong.append((key, value))
    assert not wrong
    assert compared >= LEAST
