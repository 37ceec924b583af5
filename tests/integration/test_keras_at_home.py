"""A loaded TensorFlow model is at home in Keras: fit, graphs, gradients, saving."""

from __future__ import annotations

import numpy as np
import pytest

import hubloader

pytestmark = pytest.mark.tensorflow

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

IDS = np.array([[101, 5, 6, 102], [101, 9, 102, 0]])
MASK = (IDS != 0).astype(int)


@pytest.fixture(autouse=True)
def same_draws():
    """Dropout, new weights and the order of batches: the same whatever ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(params=["fixtures/bert-tiny-sentiment", "distilbert"])
def folder(request, fixture_hub):
    if request.param != "distilbert":
        return fixture_hub / request.param
    return fixture_hub / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"


@pytest.fixture
def model(folder):
    return hubloader.TFAutoModelForSequenceClassification.from_pretrained(folder)


@pytest.fixture
def batch():
    return {"input_ids": tf.constant(IDS), "attention_mask": tf.constant(MASK)}


@pytest.fixture
def logits(model, batch):
    return model(batch).logits.numpy()


def test_it_is_called_in_every_way_that_transformers_models_were(model, batch, logits):
    calls = [
        model(batch),
        model(**batch),
        model(batch["input_ids"], attention_mask=batch["attention_mask"]),
        model(batch["input_ids"], batch["attention_mask"]),
        model({"input_ids": IDS.tolist(), "attention_mask": MASK.tolist()}),
        model(batch, training=False),
        model.call(batch),
    ]

    assert isinstance(model, keras.Model)
    assert all(np.allclose(out.logits.numpy(), logits, atol=1e-6) for out in calls)
    assert type(calls[0]).__name__ == "TFSequenceClassifierOutput"


def test_dropout_works_in_training_only(model, batch, logits):
    assert not np.allclose(model(batch, training=True).logits.numpy(), logits, atol=1e-4)
    assert np.allclose(model(batch).logits.numpy(), logits)


def test_a_graph_takes_batches_of_any_size(model, batch, logits):
    spec = tf.TensorSpec((None, None), tf.int64)

    @tf.function(input_signature=[spec, spec])
    def graph(input_ids, attention_mask):
        return model({"input_ids": input_ids, "attention_mask": attention_mask})

    assert np.allclose(graph(IDS, MASK).logits.numpy(), logits, atol=1e-5)
    assert graph(IDS[:1, :3], MASK[:1, :3]).logits.shape[0] == 1


def test_xla_compiles_it(model, batch, logits):
    graph = tf.function(lambda inputs: model(inputs).logits, jit_compile=True)

    assert np.allclose(graph(batch).numpy(), logits, atol=1e-5)


def test_every_weight_has_a_gradient(model, batch):
    with tf.GradientTape() as tape:
        loss = model(batch, labels=tf.constant([1, 0])).loss
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    assert len(gradients) == len(model.weights) > 30
    assert all(gradient is not None for gradient in gradients)


def rows(model, count=64):
    ids = np.random.default_rng(0).integers(1, model.config.vocab_size, (count, 8))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}, (ids[:, 1] % 2).astype(int)


def test_fit_trains_on_the_logits(model):
    inputs, labels = rows(model)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    history = model.fit(inputs, labels, epochs=6, batch_size=16, verbose=0).history

    assert history["loss"][-1] < history["loss"][0]
    assert "accuracy" in history
    assert set(model.evaluate(inputs, labels, verbose=0, return_dict=True)) == {"loss", "accuracy"}


def test_fit_trains_on_the_models_own_loss_where_the_batch_holds_labels(model):
    inputs, labels = rows(model)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))

    history = model.fit({**inputs, "labels": labels}, epochs=6, batch_size=16, verbose=0).history

    assert history["loss"][-1] < history["loss"][0]


def test_predict_joins_batches(model):
    inputs, _ = rows(model, 20)

    found = model.predict(inputs, batch_size=8, verbose=0)

    assert found["logits"].shape == (20, model.config.num_labels)


def test_what_was_trained_is_saved_under_pytorchs_names(model, tmp_path, batch):
    inputs, labels = rows(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss)
    before = model(batch).logits.numpy()
    model.fit(inputs, labels, verbose=0)

    model.save_pretrained(tmp_path)

    again = hubloader.NpAutoModelForSequenceClassification.from_pretrained(tmp_path)
    trained = model(batch).logits.numpy()
    assert not np.allclose(trained, before, atol=1e-3)
    assert np.allclose(again(IDS, MASK).logits, trained, atol=1e-5)


def test_keras_own_weights_file_works(folder, model, tmp_path, batch, logits):
    model.save_weights(tmp_path / "m.weights.h5")
    other = hubloader.TFAutoModelForSequenceClassification.from_config(model.config)
    assert not np.allclose(other(batch).logits.numpy(), logits, atol=1e-3)

    other.load_weights(tmp_path / "m.weights.h5")

    assert np.allclose(other(batch).logits.numpy(), logits, atol=1e-6)


def test_a_saved_model_answers_the_same(model, tmp_path, batch, logits):
    spec = tf.TensorSpec((None, None), tf.int64)

    @tf.function(input_signature=[spec, spec])
    def serve(input_ids, attention_mask):
        return {"logits": model({"input_ids": input_ids, "attention_mask": attention_mask}).logits}

    tf.saved_model.save(model, str(tmp_path), signatures=serve)
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]

    assert np.allclose(loaded(**batch)["logits"].numpy(), logits, atol=1e-5)


def served(model, batch):
    """What a saved model is to be given: every input of its, int32."""
    whole = {"token_type_ids": np.zeros_like(IDS), **batch}
    takes = model._get_save_spec()
    return {name: tf.cast(value, tf.int32) for name, value in whole.items() if name in takes}


def test_keras_export_serves_batches_of_any_size(model, tmp_path, batch, logits):
    model.export(tmp_path / "served", verbose=False)

    loaded = tf.saved_model.load(str(tmp_path / "served"))
    inputs = served(model, batch)
    assert np.allclose(loaded.serve(inputs)["logits"], logits, atol=1e-5)
    short = {name: value[:1, :3] for name, value in inputs.items()}
    assert loaded.serve(short)["logits"].shape == (1, model.config.num_labels)


def test_a_saved_model_has_a_signature_without_being_given_one(model, tmp_path, batch, logits):
    tf.saved_model.save(model, str(tmp_path))

    loaded = tf.saved_model.load(str(tmp_path))
    found = loaded.signatures["serving_default"](**served(model, batch))
    assert np.allclose(found["logits"], logits, atol=1e-5)


def test_a_keras_file_brings_back_the_model_and_its_training(model, tmp_path, batch):
    inputs, labels = rows(model, 32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss)
    model.fit(inputs, labels, verbose=0)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")

    assert type(again) is type(model)
    assert np.allclose(again(batch).logits, model(batch).logits, atol=1e-6)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) > 0
    again.fit(inputs, labels, verbose=0)


def test_it_is_a_part_of_a_larger_keras_model(folder, batch):
    encoder = hubloader.TFAutoModel.from_pretrained(folder)
    inputs = {name: keras.Input((None,), dtype="int64", name=name) for name in batch}
    first = encoder(inputs).last_hidden_state[:, 0]
    whole = keras.Model(inputs, keras.layers.Dense(2)(first))

    whole.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy())
    whole.fit(batch, np.array([0, 1]), verbose=0)

    assert whole(batch).shape == (2, 2)
    assert len(whole.trainable_weights) == len(encoder.trainable_weights) + 2


def test_an_exported_model_becomes_a_lite_one(model, tmp_path):
    model.export(tmp_path / "served", verbose=False)

    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "served"))

    assert len(converter.convert()) > model.num_parameters()


def test_more_inputs_by_place_than_there_are_is_our_error(model, batch):
    with pytest.raises(TypeError, match="inputs by place"):
        model(*[batch["input_ids"]] * 9)


def test_its_class_makes_it_with_random_weights_too(model, batch):
    other = type(model)(model.config)

    assert type(other) is type(model)
    assert other.num_parameters() == model.num_parameters()
    assert other(batch).logits.shape == model(batch).logits.shape


def test_another_compile_without_metrics_trains_on_the_models_own_loss(model):
    inputs, labels = rows(model, 32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    model.fit(inputs, labels, batch_size=16, verbose=0)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))

    history = model.fit({**inputs, "labels": labels}, batch_size=16, verbose=0).history

    assert history["loss"][0] > 0


def test_predict_takes_a_batch_encoding(model):
    from hubloader.tokenizers.batch import BatchEncoding

    inputs, _ = rows(model, 4)
    lists = {name: value.tolist() for name, value in inputs.items()}

    found = model.predict(BatchEncoding(lists), verbose=0)

    assert np.allclose(found["logits"], model.predict(inputs, verbose=0)["logits"], atol=1e-6)


def test_an_unknown_argument_is_our_error_and_not_keras_own(model, batch):
    with pytest.raises(TypeError, match=r"^TF\w+ does not take 'lables': did you mean 'labels'\?$"):
        model(**batch, lables=[1])
