from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping

import pytest

from hubloader.auto.outputs import BaseModelOutput, SequenceClassifierOutput


def test_a_field_is_read_by_attribute_key_and_index():
    out = SequenceClassifierOutput(loss=0.5, logits=[1, 2])

    assert out.logits is out["logits"] is out[1]
    assert out.loss == out["loss"] == out[0] == 0.5


def test_the_first_item_is_the_first_field_that_is_not_none():
    out = SequenceClassifierOutput(logits=[1])

    assert out[0] == [1]
    assert out.loss is None
    assert out.to_tuple() == ([1],)
    assert out[:2] == ([1],)


def test_it_is_a_mapping_of_the_fields_that_are_there():
    out = SequenceClassifierOutput(logits=[1], attentions=(2,))

    assert isinstance(out, Mapping)
    assert dict(out) == {"logits": [1], "attentions": (2,)}
    assert list(out) == ["logits", "attentions"]
    assert "loss" not in out
    assert out.get("loss") is None
    with pytest.raises(KeyError):
        out["loss"]


def test_fields_keep_their_order_whatever_order_they_are_given_in():
    assert list(SequenceClassifierOutput(logits=1, loss=2)) == ["loss", "logits"]


def test_it_is_made_from_pairs_as_frameworks_do():
    assert SequenceClassifierOutput([("logits", 1)]).logits == 1


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="logit"):
        SequenceClassifierOutput(logit=1)
    with pytest.raises(AttributeError, match="logit"):
        _ = SequenceClassifierOutput().logit
    with pytest.raises(KeyError, match="logit"):
        SequenceClassifierOutput()["logit"] = 1


def test_a_field_can_be_set_and_taken_away():
    out = BaseModelOutput(last_hidden_state=1)

    out.last_hidden_state = 2
    out["attentions"] = 3
    out.attentions = None

    assert out.to_tuple() == (2,)


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_it_can_be_copied_and_pickled(twin):
    out = SequenceClassifierOutput(loss=1, logits=[2])

    assert type(twin(out)) is SequenceClassifierOutput
    assert dict(twin(out)) == dict(out)


def test_its_text_shows_every_field():
    assert repr(SequenceClassifierOutput(logits=1)) == (
        "SequenceClassifierOutput(loss=None, logits=1, hidden_states=None, attentions=None)"
    )
