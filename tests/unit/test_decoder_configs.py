"""Decoders' config.json: rotary settings in every form, windows, heads in groups."""

from __future__ import annotations

import numpy as np
import pytest

from hubloader.architectures import find
from hubloader.errors import CorruptFile, UnsupportedArchitecture
from hubloader.nn import get_kit
from hubloader.nn.blocks import alibi_slopes, repeat_heads
from hubloader.nn.picking import last_marked, last_token, take_tokens

NUMPY = get_kit("numpy")


def read(family, **raw):
    return find(family).config.from_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
        {"rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 500}},
    ],
    ids=["old", "between", "today"],
)
def test_rotary_settings_are_read_in_every_form_they_had(raw):
    rope = read("llama", **raw).rope()
    assert (rope.kind, rope.theta, rope.factor) == ("linear", 500.0, 4.0)


def test_a_family_has_its_own_names_and_defaults():
    assert read("gpt_neox", rotary_pct=0.5, rotary_emb_base=50).rope().share == 0.5
    assert read("gpt_neox", rotary_emb_base=50).rope().theta == 50.0
    assert read("phi").rope().share == 0.5
    assert read("smollm3").rope().theta == 2_000_000.0
    assert read("phi3", rope_scaling=SU).rope().kind == "longrope"
    gemma = read("gemma3_text", rope_scaling={"rope_type": "linear", "factor": 8.0})
    near, far = gemma.rope("sliding_attention"), gemma.rope("full_attention")
    assert (near.kind, near.theta, far.kind, far.theta) == ("default", 1e4, "linear", 1e6)


SU = {"type": "su", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}


@pytest.mark.parametrize(
    ("family", "raw"),
    [
        ("llama", {"rope_scaling": {"rope_type": "proportional", "factor": 2.0}}),
        ("qwen2", {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1]}}),
        ("phi3", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
        ("qwen2", {"layer_types": ["chunked_attention"] * 32}),
        ("gemma2", {"use_bidirectional_attention": True}),
        ("gpt_neo", {"is_causal": False}),
        ("opt", {"layer_norm_elementwise_affine": False}),
        ("gpt2", {"add_cross_attention": True}),
        ("bart", {"is_decoder": True}),
        ("llama", {"quantization_config": {"quant_method": "gptq"}}),
        ("bart", {"eos_token_id": [2, 3]}),
        ("deberta", {"pooler_hidden_size": 16}),
        ("gpt_neox", {"head_dim": 4}),
        ("stablelm", {"head_dim": 6}),
        ("gemma3_text", {"rope_scaling": {"type": "linear", "factor": 8.0}}),
        ("modernbert", {"rope_parameters": {"full_attention": {"type": "linear", "factor": 2.0}}}),
        ("deberta-v2", {"position_buckets": 8, "max_relative_positions": 3}),
        ("esm", {"position_embedding_type": [["rotary"]]}),
    ],
)
def test_what_is_right_and_not_implemented_is_for_transformers(family, raw):
    with pytest.raises(UnsupportedArchitecture):
        read(family, **raw)


@pytest.mark.parametrize(
    ("family", "raw", "fault"),
    [
        ("llama", {"rope_scaling": "linear"}, "rope_scaling: "),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"),
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": float("nan")}}, "factor"),
        ("llama", {"rope_parameters": {"rope_theta": -1}}, "rope_theta"),
        ("llama", {"rope_theta": "big"}, "rope_theta"),
        ("llama", {"num_attention_heads": 32, "num_key_value_heads": 5}, "num_key_value_heads"),
        ("llama", {"hidden_size": 33}, "hidden_size"),
        ("llama", {"head_dim": 7}, "rotary positions"),
        ("llama", {"pad_token_id": 32000}, "pad_token_id"),
        ("phi3", {"rope_scaling": {**SU, "short_factor": [1.0] * 3}}, "short_factor"),
        ("qwen2", {"layer_types": ["full_attention"]}, "layer_types"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 32}, "sliding_window"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 0}, "sliding_window"),
        ("gpt_neo", {"attention_types": [[["global"], 3]]}, "attention_types"),
        ("gpt_neo", {"attention_types": [["global", "local"]]}, "attention_types"),
        ("gpt_neo", {"attention_types": [[["global", ["local"]], 1]]}, "attention_types"),
        ("gpt_neo", {"attention_layers": [["local"]]}, "attention_layers"),
        ("modernbert", {"layer_types": [["full_attention"]]}, "layer_types"),
        ("gptj", {"rotary_dim": 512}, "rotary_dim"),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 3}, "num_kv_heads"),
        ("falcon", {"new_decoder_architecture": True, "parallel_attn": False}, "parallel_attn"),
        ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers"),
        ("t5", {"feed_forward_proj": "gated-os.system"}, "feed_forward_proj"),
        ("t5", {"relative_attention_max_distance": 8}, "relative_attention_max_distance"),
        ("bart", {"decoder_attention_heads": 3}, "decoder_attention_heads"),
    ],
)
def test_what_cannot_be_is_refused_by_name(family, raw, fault):
    with pytest.raises(CorruptFile, match=fault):
        read(family, **raw)


def test_of_two_names_of_a_key_todays_wins():
    both = {"n_head": 4, "num_attention_heads": 8, "n_embd": 64, "n_inner": None}
    found = read("nomic_bert", **both, intermediate_size=48)
    assert (found.num_attention_heads, found.hidden_size, found.intermediate_size) == (8, 64, 48)
    assert read("nomic_bert", **both).intermediate_size == 4 * 64


def test_a_window_that_no_layer_looks_through_may_be_none():
    assert "sliding_attention" not in read("qwen2", sliding_window=0).kinds


def test_labels_of_a_family_that_usually_has_three():
    assert read("bart").num_labels == 3
    assert read("bart", num_labels=2).num_labels == 2
    assert read("mbart").num_labels == 2


HIDDEN = np.arange(24, dtype=np.float32).reshape(3, 4, 2)


def test_the_last_token_is_found_wherever_padding_is():
    ids = np.array([[0, 0, 7, 8], [7, 8, 0, 0], [0, 0, 0, 0]])
    found = last_token(NUMPY, HIDDEN, ids, 0)
    np.testing.assert_array_equal(found, [HIDDEN[0, 3], HIDDEN[1, 1], HIDDEN[2, 0]])
    inside = np.array([[7, 0, 8, 0]])
    np.testing.assert_array_equal(last_token(NUMPY, HIDDEN[:1], inside, 0), HIDDEN[:1, 2])


def test_several_texts_need_a_known_padding():
    ids = np.array([[5, 6, 7, 8]])
    np.testing.assert_array_equal(last_token(NUMPY, HIDDEN[:1], ids, None), HIDDEN[:1, -1])
    with pytest.raises(ValueError, match=r"batch sizes > 1 if no padding token"):
        last_token(NUMPY, HIDDEN, np.repeat(ids, 3, 0), None)


def test_the_last_end_is_found_if_all_texts_have_as_many():
    ids = np.array([[2, 5, 2, 5], [5, 2, 2, 5], [2, 6, 6, 2]])
    found = last_marked(NUMPY, HIDDEN, ids, 2)
    np.testing.assert_array_equal(found, [HIDDEN[0, 2], HIDDEN[1, 2], HIDDEN[2, 3]])
    with pytest.raises(ValueError, match="same number of <eos>"):
        last_marked(NUMPY, HIDDEN, np.where(ids == 6, 2, ids), 2)
    with pytest.raises(ValueError, match="at least one <eos>"):
        last_marked(NUMPY, HIDDEN, ids, 9)
    with pytest.raises(ValueError, match="no eos_token_id"):
        last_marked(NUMPY, HIDDEN, ids, None)


def test_heads_are_repeated_side_by_side():
    heads = np.arange(4, dtype=np.float32).reshape(1, 2, 1, 2)
    expected = np.repeat(heads, 3, axis=1)
    np.testing.assert_array_equal(repeat_heads(NUMPY, heads, 3), expected)
    np.testing.assert_array_equal(take_tokens(NUMPY, HIDDEN, np.array([3, 0, 1]))[1], HIDDEN[1, 0])


def test_slopes_of_heads_that_are_no_power_of_two_come_from_between():
    np.testing.assert_allclose(alibi_slopes(4), [2**-2, 2**-4, 2**-6, 2**-8])
    np.testing.assert_allclose(alibi_slopes(5)[4], 2**-1)
    assert len(alibi_slopes(71)) == 71
