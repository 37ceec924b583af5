from __future__ import annotations

import pytest

from hubloader.architectures import SEQUENCE_CLASSIFICATION
from hubloader.auto.select import select
from hubloader.errors import CorruptFile, RemoteCodeRefused, UnknownArchitecture, UnsupportedTask


def chosen(raw, task=SEQUENCE_CLASSIFICATION):
    return select(raw, task, "numpy")


def test_model_type_chooses_and_the_choice_says_why():
    selection = chosen({"model_type": "distilbert", "architectures": ["BertModel"]})

    assert selection.class_name == "DistilBertForSequenceClassification"
    assert selection.reasons[0] == "distilbert: config.json's model_type"


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertModel"])
def test_without_a_model_type_the_class_name_of_the_checkpoint_chooses(name):
    selection = chosen({"architectures": [name]})

    assert selection.architecture.model_type == "bert"
    assert name in selection.reasons[0]


@pytest.mark.parametrize("raw", [{}, {"model_type": 5}, {"architectures": ["BertyModel"]}])
def test_a_config_that_names_nothing_is_an_error(raw):
    with pytest.raises(CorruptFile, match="no model_type") as caught:
        chosen(raw)

    assert "transformers" not in caught.value.hint


def test_an_unknown_architecture_is_named_with_its_nearest():
    with pytest.raises(UnknownArchitecture) as caught:
        chosen({"model_type": "distilbrt"})

    assert caught.value.model_type == "distilbrt"
    assert caught.value.close_matches == ("distilbert",)
    assert "distilbert" in caught.value.hint
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "model_type", ["../../etc", "_config", "os", "bert.config", "bert\n", "Bert"]
)
def test_a_model_type_never_chooses_an_import(model_type):
    with pytest.raises(UnknownArchitecture):
        chosen({"model_type": model_type})


def test_an_unknown_architecture_with_code_of_its_own_is_refused():
    with pytest.raises(RemoteCodeRefused, match="never runs"):
        chosen({"model_type": "mine", "auto_map": {"AutoModel": "modeling.Mine"}})


def test_code_beside_a_known_architecture_is_ignored():
    raw = {"model_type": "bert", "auto_map": {"AutoModel": "m.X"}, "trust_remote_code": True}

    assert chosen(raw).architecture.model_type == "bert"


def test_a_task_that_the_architecture_lacks_is_an_error():
    with pytest.raises(UnsupportedTask, match="question-answering"):
        chosen({"model_type": "gemma"}, "question-answering")


def test_values_that_cannot_be_are_corrupt():
    with pytest.raises(CorruptFile, match="num_attention_heads"):
        chosen({"model_type": "bert", "num_attention_heads": 0})
