"""Configs as files on the Hub have them: older keys, and rare ones, read as transformers does."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from safetensors.torch import save_file

import hubloader
from hubloader.errors import UnsupportedArchitecture

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

_SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
_BART = {
    "model_type": "bart",
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
_T5 = {
    "model_type": "t5",
    "vocab_size": 40,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 1,
    "num_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
    "initializer_factor": 0.3,
}
_FACTORS = {"short_factor": [1.0, 1.1, 1.2, 1.5], "long_factor": [1.5, 2.0, 3.0, 4.0]}
CONFIGS = {
    "gpt_neox, both names of the base": {
        **_SIZES,
        "model_type": "gpt_neox",
        "rotary_pct": 0.5,
        "rope_theta": 500.0,
        "rotary_emb_base": 100,
    },
    "gpt_neox, another's name of the base": {
        **_SIZES,
        "model_type": "gpt_neox",
        "rotary_pct": 0.5,
        "rope_theta": 500.0,
    },
    "phi3, longrope by its older name": {
        **_SIZES,
        "model_type": "phi3",
        "rope_scaling": {**_FACTORS, "type": "yarn"},
        "original_max_position_embeddings": 6,
    },
    "bart, a table for each half": {**_BART, "tie_word_embeddings": False},
    "mbart, a table for each half": {
        **_BART,
        "model_type": "mbart",
        "tie_word_embeddings": False,
    },
    "bart, whose decoder looks ahead": {**_BART, "is_causal": False},
    "t5, whose decoder looks ahead": {**_T5, "is_causal": False},
    "t5, another network by its parts": {**_T5, "dense_act_fn": "silu", "is_gated_act": True},
    "umt5, no gate": {**_T5, "model_type": "umt5", "dense_act_fn": "gelu", "is_gated_act": False},
    "gpt_neo, each layer's reach": {
        **_SIZES,
        "model_type": "gpt_neo",
        "num_hidden_layers": 2,
        "window_size": 3,
        "attention_types": [[["global", "local"], 1]],
        "attention_layers": ["local", "local"],
    },
    "modernbert, the window's half": {
        **_SIZES,
        "model_type": "modernbert",
        "num_hidden_layers": 2,
        "sliding_window": 1,
    },
    "esm, an activation that nobody asks for": {
        **_SIZES,
        "model_type": "esm",
        "hidden_act": "relu",
        "mask_token_id": 4,
    },
}
BATCH = np.array([[5, 6, 7, 8, 9, 10, 11, 2], [9, 10, 2, 0, 0, 0, 0, 0]])


@pytest.fixture
def reference(tmp_path):
    """Transformers' random model of a config, and the folder that both are in."""

    def make(raw):
        (tmp_path / "config.json").write_text(json.dumps(raw))
        torch.manual_seed(0)
        config = transformers.AutoConfig.from_pretrained(tmp_path)
        model = transformers.AutoModelForSequenceClassification.from_config(
            config, attn_implementation="eager"
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        state = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return model.eval(), tmp_path

    return make


def logits(model):
    ids = torch.tensor(BATCH)
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=(ids != 0).long()).logits.numpy()


def ours(folder):
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    return model(BATCH, (BATCH != 0).astype(int)).logits


@pytest.mark.filterwarnings("error::UserWarning:hubloader")
@pytest.mark.parametrize("raw", CONFIGS.values(), ids=CONFIGS)
def test_a_config_of_older_or_rarer_keys_means_what_it_does_in_transformers(reference, raw):
    theirs, folder = reference(raw)

    assert np.abs(ours(folder) - logits(theirs)).max() < 1e-5


def test_tables_of_each_half_are_saved_apart(reference, tmp_path):
    theirs, folder = reference({**_BART, "tie_word_embeddings": False})

    hubloader.AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(
        tmp_path / "saved"
    )

    back = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert np.abs(logits(back.eval()) - logits(theirs)).max() < 1e-5


def test_bloom_in_slices_is_left_to_transformers(reference):
    raw = {"model_type": "bloom", "hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40}
    raw |= {"pad_token_id": 0, "slow_but_exact": True, "pretraining_tp": 2}
    theirs, folder = reference(raw)

    with pytest.raises(UnsupportedArchitecture, match="slow_but_exact"):
        ours(folder)
    given = hubloader.AutoModelForSequenceClassification.from_pretrained(folder)
    assert np.abs(logits(given) - logits(theirs)).max() < 1e-5


def own_name(found):
    return "bert.encoder.layers" if found[1] else "bert."


@pytest.mark.filterwarnings("error::UserWarning:hubloader")
@pytest.mark.parametrize("inner", [48, None])
def test_nomics_own_config_and_names_give_todays_model(reference, inner):
    wide = inner or 64
    raw = {**_SIZES, "model_type": "nomic_bert", "intermediate_size": wide}
    raw |= {"type_vocab_size": 2, "num_hidden_layers": 14, "rope_theta": 50.0}
    theirs, folder = reference(raw)
    own = {"model_type": "nomic_bert", "n_embd": 16, "n_layer": 14, "n_head": 2, "n_inner": inner}
    own |= {"n_positions": 32, "layer_norm_epsilon": 1e-12, "rotary_emb_base": 50, "vocab_size": 40}
    own |= {"auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling.NomicBertModel"}}
    (folder / "config.json").write_text(json.dumps(own))
    state = theirs.state_dict().items()
    names = {name: re.sub(r"^nomic_bert\.(layers)?", own_name, name) for name, _ in state}
    renamed = {names[name]: value.contiguous() for name, value in state}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})

    assert np.abs(ours(folder) - logits(theirs)).max() < 1e-5
    config = hubloader.AutoConfig.from_pretrained(folder)
    assert (config.n_layer, config.num_hidden_layers, config.intermediate_size) == (14, 14, wide)
    assert {"n_layer", "n_inner", "auto_map"}.isdisjoint(config.to_dict())
