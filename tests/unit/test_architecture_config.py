"""config.json is read strictly, and every fault is named at once."""

from __future__ import annotations

import pytest

from hubloader.architectures import find, supported
from hubloader.errors import CorruptFile

BERT = find("bert").config
DISTILBERT = find("distilbert").config


@pytest.mark.parametrize("family", supported())
def test_an_empty_config_has_every_default(family):
    config = find(family).config.from_json({})
    labels = 3 if family == "bart" else 2
    assert config.num_labels == labels
    assert config.id2label == {i: f"LABEL_{i}" for i in range(labels)}
    assert config.hidden_size > 0
    assert config.num_hidden_layers > 0


def test_what_no_field_is_for_is_kept_aside():
    config = BERT.from_json({"hidden_size": 24, "model_type": "bert", "gradient_checkpointing": 1})
    assert config.extra == {"model_type": "bert", "gradient_checkpointing": 1}
    assert config.hidden_size == 24


def test_every_fault_is_named_at_once():
    raw = {
        "vocab_size": "abc",
        "hidden_size": 10**9,
        "num_hidden_layers": 2.5,
        "hidden_act": "os.system",
        "hidden_dropout_prob": 7,
        "layer_norm_eps": float("nan"),
        "problem_type": "guessing",
        "id2label": {"x": "A"},
        "num_attention_heads": True,
    }
    with pytest.raises(CorruptFile) as caught:
        BERT.from_json(raw)
    assert all(f"{key}: " in caught.value.message for key in raw)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "no multiple of num_attention_heads"),
        ({"vocab_size": 10, "pad_token_id": 10}, "pad_token_id: 10 is no row"),
        ({"problem_type": "single_label_classification", "num_labels": 1}, "needs two labels"),
        ({"num_labels": 10**12}, "num_labels: "),
        ({"num_labels": 0}, "num_labels: "),
        ({"id2label": {}}, "id2label: "),
        ({"id2label": ["A"]}, "id2label: "),
        ({"id2label": {"0": "A"}, "label2id": {"A": "0"}}, "label2id: "),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: "),
        ({"hidden_size": None}, "hidden_size: "),
    ],
)
def test_what_cannot_be_is_refused(raw, fault):
    with pytest.raises(CorruptFile, match=fault):
        BERT.from_json(raw)


def test_labels_come_from_their_names_before_their_number():
    config = BERT.from_json({"id2label": {"1": "B", "0": "A", "2": "C"}, "num_labels": 7})
    assert config.num_labels == 3
    assert config.id2label == {0: "A", 1: "B", 2: "C"}
    assert config.label2id == {"A": 0, "B": 1, "C": 2}


def test_a_number_of_labels_alone_makes_names():
    assert BERT.from_json({"num_labels": 3}).id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert BERT.from_json({"_num_labels": 4}).num_labels == 4


def test_distilbert_reads_other_families_names():
    config = DISTILBERT.from_json({"hidden_size": 24, "num_attention_heads": 3, "n_layers": 1})
    assert (config.dim, config.n_heads, config.n_layers) == (24, 3, 1)
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (24, 3, 1)


def test_null_is_taken_where_null_means_something():
    raw = {"pad_token_id": None, "classifier_dropout": None, "problem_type": None, "id2label": None}
    config = BERT.from_json(raw)
    assert config.pad_token_id is None
    assert config.head_dropout == config.hidden_dropout_prob
    assert BERT.from_json({"classifier_dropout": 0.3}).head_dropout == 0.3
