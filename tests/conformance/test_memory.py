"""XLNet's memory of earlier texts, orders and predictions, on every kit, against transformers.

And what users hold: outputs with ``mems`` in them, which the next call takes.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import test_architectures as suite

import hubloader
from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.nn import Trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

ROWS, TOKENS = 4, 7
RNG = np.random.default_rng(0)
MASK = np.ones((ROWS, TOKENS), np.float32)
MASK[1, :3] = MASK[2, 4:] = 0
BATCH = {
    "input_ids": RNG.integers(8, 100, MASK.shape),
    "token_type_ids": RNG.integers(0, 3, MASK.shape),
    "attention_mask": MASK,
}
ORDER = (RNG.random((ROWS, TOKENS, TOKENS)) > 0.6).astype(np.float32)
TARGETS = np.zeros((ROWS, 2, TOKENS), np.float32)
TARGETS[:, 0, 1] = TARGETS[:, 1, 5] = 1
BACK = {"attn_type": "uni"}  # transformers masks padding of one text at a time there
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as it is": ({}, {}),
    "of five tokens": ({"mem_len": 5}, {}),
    "of the first three of each text": ({"reuse_len": 3, "mem_len": 6}, {}),
    "of all": ({"mem_len": None}, {}),
    "an order": ({}, {"perm_mask": ORDER}),
    "predictions": ({}, {"perm_mask": ORDER, "target_mapping": TARGETS}),
    "predictions of what is seen": ({}, {"target_mapping": TARGETS}),
    "padding by its own name": ({}, {"input_mask": 1 - MASK, "attention_mask": None}),
    "half of it backwards": ({"bi_data": True, "clamp_len": 4}, {"target_mapping": TARGETS}),
    "looking back": (BACK, {"attention_mask": None}),
    "looking back as far": (
        {**BACK, "same_length": True, "mem_len": 5},
        {"attention_mask": None},
    ),
    "none": ({"use_mems_eval": False}, {}),
    "asked for": ({"use_mems_eval": False}, {"use_mems": True}),
    "not asked for": ({}, {"use_mems": False}),
}


def made(task: str, changes: dict[str, Any]) -> suite.Oracle:
    plain = suite.oracle("xlnet", "plain", task)
    raw = {**plain.raw, **changes}
    model = type(plain.model)._from_config(type(plain.model.config).from_dict(raw)).eval()
    model.load_state_dict(plain.model.state_dict())
    return plain._replace(model=model, raw=raw)


def native(kit_name: str, batch: dict[str, Any]) -> dict[str, Any]:
    if kit_name == "tf":
        import tensorflow as tf

        make = tf.constant
    else:
        make = np.asarray if kit_name == "numpy" else torch.tensor
    return {n: value if isinstance(value, bool) else make(value) for n, value in batch.items()}


def flat(values: Any) -> list[Any]:
    return [x for v in values for x in (v if isinstance(v, (tuple, list)) else [v])]


@pytest.mark.parametrize("kit_name", suite.KITS)
@pytest.mark.parametrize("task", [ENCODER, SEQUENCE_CLASSIFICATION])
@pytest.mark.parametrize("name", CASES)
def test_memory_and_what_is_seen_are_those_of_transformers(name, task, kit_name):
    changes, more = CASES[name]
    case, batch = made(task, changes), {**BATCH, **more}
    batch = {key: value for key, value in batch.items() if value is not None}
    module, ours, theirs = case.build(kit_name), None, None
    for ids in (batch["input_ids"], batch["input_ids"][:, ::-1].copy()):
        batch["input_ids"] = ids
        trace = Trace(hidden_states=True, attentions=True)
        with torch.no_grad():
            expected = case.model(
                **native("torch", batch),
                mems=theirs,
                output_hidden_states=True,
                output_attentions=True,
            )
            found = module(**native(kit_name, batch), mems=ours, trace=trace)
            again = module(**native(kit_name, batch), mems=ours)
        ours, theirs = trace.kept_memories or None, expected.mems
        pairs = [(found, expected[0]), (again, expected[0])]
        pairs += zip(ours or (), theirs or (), strict=True)
        pairs += zip(trace.kept_hidden_states, expected.hidden_states, strict=True)
        pairs += zip(flat(trace.kept_attentions), flat(expected.attentions), strict=True)
        assert max(suite.difference(*pair) for pair in pairs) <= suite.TOLERANCE


@pytest.mark.parametrize("kit_name", suite.KITS)
def test_padding_is_named_once_and_halves_are_of_even_batches(kit_name):
    module = made(ENCODER, {"bi_data": True}).build(kit_name)
    with pytest.raises(ValueError, match="attention_mask or input_mask, not both"):
        module(**native(kit_name, {**BATCH, "input_mask": MASK}))
    with pytest.raises(ValueError, match="3 texts are not as many forwards as backwards"):
        module(**native(kit_name, {name: value[:3] for name, value in BATCH.items()}))


CLASSES = {
    "XLNetModel": {},
    "XLNetForSequenceClassification": {"labels": np.array([0, 1, 2, 1])},
    "XLNetForTokenClassification": {},
    "XLNetForQuestionAnsweringSimple": {},
    "XLNetForQuestionAnswering": {},
}
BACKENDS = {"torch": "", "numpy": "Np", "tf": "TF"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    def saved(name: str) -> Any:
        place = tmp_path_factory.getbasetemp() / name
        if not place.exists():
            whole = suite.oracle("xlnet", "plain").model.config.to_dict()
            labels = {"id2label": {0: "a", 1: "b"}} if "Simple" in name else {}
            config = transformers.XLNetConfig.from_dict({**whole, **labels})
            torch.manual_seed(0)
            getattr(transformers, name)(config).save_pretrained(place)
        return place

    return saved


@pytest.mark.parametrize(
    "backend", ["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)]
)
@pytest.mark.parametrize("name", CLASSES)
def test_an_output_holds_what_the_next_call_takes(name, backend, folder):
    theirs = getattr(transformers, name).from_pretrained(folder(name)).eval()
    ours = getattr(hubloader, BACKENDS[backend] + name).from_pretrained(folder(name))
    batch = {**BATCH, **CLASSES[name]}
    given = native("torch", batch) if backend == "torch" else batch
    with torch.no_grad():
        expected, found = theirs(**native("torch", batch)), ours(**given)
        assert type(found).__name__.removeprefix("TF") == type(expected).__name__
        assert list(found) == list(expected)
        expected = theirs(**native("torch", batch), mems=expected.mems)
        kept = found.mems
        found = ours(**given, mems=kept)
        off = ours(**given, mems=kept, use_mems=False)
    assert isinstance(found.mems, tuple)
    assert off.mems is None
    for key, value in expected.items():
        pairs = zip(found[key], value, strict=True) if key == "mems" else [(found[key], value)]
        assert max(suite.difference(*pair) for pair in pairs) <= suite.TOLERANCE


def test_a_remembering_output_is_pickled_and_its_memory_left_out_of_what_is_predicted(folder):
    name = "XLNetForSequenceClassification"
    model = hubloader.NpXLNetForSequenceClassification.from_pretrained(folder(name))
    found = model(**BATCH)
    assert list(pickle.loads(pickle.dumps(found))) == ["logits", "mems"]
    assert list(found.of_texts()) == ["logits"]
    assert model.config.keys_to_ignore_at_inference == ["mems"]


@pytest.mark.tensorflow
def test_keras_predicts_batches_of_several_sizes_without_their_memory(folder):
    name = "XLNetForSequenceClassification"
    model = hubloader.TFXLNetForSequenceClassification.from_pretrained(folder(name))
    given = {name: BATCH[name] for name in ("input_ids", "token_type_ids")}
    found = model.predict(given, batch_size=3, verbose=0)
    assert list(found) == ["logits"]
    np.testing.assert_allclose(found["logits"], model(given).logits, atol=suite.TOLERANCE)


@pytest.mark.tensorflow
def test_a_graph_takes_memory_and_an_endpoint_is_served_without(folder, tmp_path):
    import tensorflow as tf

    name = "XLNetForSequenceClassification"
    model = hubloader.TFXLNetForSequenceClassification.from_pretrained(folder(name))
    ids = tf.constant(BATCH["input_ids"], tf.int32)
    given = {"input_ids": ids, "attention_mask": tf.ones_like(ids)}
    first = model(given)
    graph = tf.function(lambda ids, mems: model({"input_ids": ids, "mems": mems}).logits)
    again = model(ids, mems=first.mems).logits
    np.testing.assert_allclose(graph(ids, first.mems), again, atol=suite.TOLERANCE)
    for write in (model.export, lambda place: tf.saved_model.save(model, place)):
        write(str(tmp_path))
        served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](**given)
        assert list(served) == ["logits"]
        np.testing.assert_allclose(served["logits"], first.logits, atol=suite.TOLERANCE)


def test_choices_are_made_with_memory_too(folder):
    name = "XLNetForMultipleChoice"
    theirs = transformers.XLNetForMultipleChoice.from_pretrained(folder(name)).eval()
    ours = hubloader.XLNetForMultipleChoice.from_pretrained(folder(name))
    given = {n: torch.tensor(value).reshape(2, 2, -1) for n, value in BATCH.items()}
    with torch.no_grad():
        expected, found = theirs(**given), ours(**given)
        expected, found = theirs(**given, mems=expected.mems), ours(**given, mems=found.mems)
    assert suite.difference(found.logits, expected.logits) <= suite.TOLERANCE
