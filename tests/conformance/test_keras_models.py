"""A model on the TensorFlow kit is at home in TensorFlow and Keras."""

from __future__ import annotations

import numpy as np
import pytest

from hubloader.architectures import SEQUENCE_CLASSIFICATION, find
from hubloader.nn import get_kit

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

pytestmark = pytest.mark.tensorflow

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "num_labels": 3,
}
IDS = np.random.default_rng(0).integers(5, 60, (6, 12)).astype(np.int32)
MASK = np.ones_like(IDS)
MASK[1, 7:] = 0
BATCH = {"input_ids": IDS, "attention_mask": MASK}
LABELS = IDS[:, 1] % 3


@pytest.fixture(autouse=True)
def same_draws():
    """Dropout and the order of batches: the same whatever ran before."""
    keras.utils.set_random_seed(0)


def layer(seed=0):
    kit, bert = get_kit("tf"), find("bert")
    module = kit.build(bert.tasks[SEQUENCE_CLASSIFICATION], bert.config.from_json(SIZES))
    rng = np.random.default_rng(seed)
    shapes = kit.parameters(module).items()
    drawn = {n: rng.standard_normal(s).astype(np.float32) * 0.3 for n, s in shapes}
    kit.load(module, {n: a + 1 if "LayerNorm.weight" in n else a for n, a in drawn.items()})
    return module


def model(seed=0, **options):
    from hubloader.nn.keras_adapter import keras_model

    return keras_model(layer(seed), **options)


def test_it_is_a_keras_model_under_transformers_name():
    wrapped = model(name="TFBertForSequenceClassification")
    assert isinstance(wrapped, keras.Model)
    assert type(wrapped).__name__ == "TFBertForSequenceClassification"
    assert len(wrapped.trainable_weights) == len(layer().trainable_variables)


def test_every_way_to_call_it_gives_the_layers_logits():
    expected = layer()(tf.constant(IDS), tf.constant(MASK)).numpy()
    wrapped = model()
    for logits in (
        wrapped(BATCH),
        wrapped(IDS, attention_mask=MASK),
        wrapped(**BATCH, token_type_ids=None),
        wrapped({"input_ids": tf.constant(IDS)}, attention_mask=tf.constant(MASK)),
    ):
        np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(wrapped.predict(BATCH, verbose=0), expected, atol=1e-6)


def test_fit_trains_the_layers_own_variables():
    wrapped = model()
    wrapped.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = wrapped.fit(BATCH, LABELS, epochs=30, batch_size=2, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2
    after = wrapped.module(tf.constant(IDS), tf.constant(MASK))
    np.testing.assert_allclose(wrapped(BATCH), after, atol=1e-6)


def test_training_is_told_to_every_dropout():
    wrapped = model()
    assert np.abs(wrapped(BATCH, training=True) - wrapped(BATCH)).max() > 1e-3
    np.testing.assert_array_equal(wrapped(BATCH), wrapped(BATCH, training=False))


def test_saved_weights_can_be_loaded(tmp_path):
    first, second = model(seed=0), model(seed=1)
    first.save_weights(tmp_path / "model.weights.h5")
    second.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(first(BATCH), second(BATCH))


def test_every_weight_has_a_gradient():
    wrapped = model()
    with tf.GradientTape() as tape:
        loss = get_kit("tf").cross_entropy(wrapped(BATCH), tf.constant(LABELS))
    gradients = tape.gradient(loss, wrapped.trainable_weights)
    assert all(gradient is not None for gradient in gradients)


def test_a_saved_model_serves_any_size(tmp_path):
    module = layer()
    spec = tf.TensorSpec((None, None), tf.int32)
    serve = tf.function(
        lambda input_ids, attention_mask: {"logits": module(input_ids, attention_mask)},
        input_signature=[spec, spec],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=serve.get_concrete_function())
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    for rows, tokens in ((6, 12), (2, 5)):
        ids, mask = tf.constant(IDS[:rows, :tokens]), tf.constant(MASK[:rows, :tokens])
        logits = served(input_ids=ids, attention_mask=mask)["logits"]
        np.testing.assert_allclose(logits, module(ids, mask), atol=1e-5)


def test_a_mixin_stands_before_the_layer():
    class Doubled:
        def forward(self, **inputs):
            return 2 * super().forward(**inputs)

    np.testing.assert_allclose(model(mixin=Doubled)(BATCH), 2 * model()(BATCH), atol=1e-6)


def test_half_precision_stays_half():
    from hubloader.nn.keras_adapter import keras_model

    kit, module = get_kit("tf"), layer()
    half = kit.build(type(module).origin, find("bert").config.from_json(SIZES))
    kit.load(half, kit.export(module), dtype="bfloat16")
    wrapped = keras_model(half)
    assert {weight.dtype for weight in wrapped.weights} == {"bfloat16"}
    assert wrapped(BATCH).dtype == tf.bfloat16
