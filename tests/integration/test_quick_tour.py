"""The quick tour of transformers with hubloader in its import line, number for number.

The code of each test is what a user of the quick tour types. Token ids are the published ones;
logits are compared with transformers itself (``quick_tour.json``, and live where it is installed).
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import hubloader
from hubloader.mirror import MirrorServer

FIXTURES = Path(__file__).parents[2] / "cache_fixtures"
GOLDENS = json.loads((FIXTURES / "quick_tour.json").read_text(encoding="utf-8"))["repos"]

NAME = "distilbert-base-uncased-finetuned-sst-2-english"
SST2 = f"distilbert/{NAME}"
BERT = "fixtures/bert-tiny-sentiment"
TEXTS = [
    "We are very happy to show you the 🤗 Transformers library.",
    "We hope you don't hate it.",
]
ROW_A = [101, 2057, 2024, 2200, 3407, 2000, 2265, 2017, 1996, 100, 19081, 3075, 1012, 102]
ROW_B = [101, 2057, 3246, 2017, 2123, 1005, 1056, 5223, 2009, 1012, 102, 0, 0, 0]
SINGLE = {"input_ids": ROW_A, "attention_mask": [1] * 14}
BATCH = {"input_ids": [ROW_A, ROW_B], "attention_mask": [[1] * 14, [1] * 11 + [0] * 3]}
CLOSE = 1e-5  # the largest difference of logits between any two sides, all in float32

FRAMEWORKS = [
    pytest.param("np", id="numpy"),
    pytest.param("pt", id="torch", marks=pytest.mark.torch),
    pytest.param("tf", id="tensorflow", marks=pytest.mark.tensorflow),
]
PREFIX = {"np": "Np", "pt": "", "tf": "TF"}
PACKAGE = {"np": "numpy", "pt": "torch", "tf": "tensorflow"}


@pytest.fixture(scope="module")
def hub(fixture_hub):
    with MirrorServer(fixture_hub, record=True) as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("quick-tour")


@pytest.fixture(autouse=True)
def on_the_fixture_hub(clean_environment, hub, home, monkeypatch):
    """After the clean environment: the embedded Hub, and one cache for the whole file."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(home))


def auto(framework, kind="AutoModelForSequenceClassification"):
    if find_spec(PACKAGE[framework]) is None:
        pytest.skip(f"{PACKAGE[framework]} is not installed")
    return getattr(hubloader, PREFIX[framework] + kind)


def as_array(tensor):
    """A tensor of any framework as numpy."""
    return np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor)


def classify(framework, name, **keywords):
    """The quick tour: its batch, its model, its logits."""
    tokenizer = hubloader.AutoTokenizer.from_pretrained(name)
    model = auto(framework).from_pretrained(name, dtype="float32", **keywords)
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors=framework)
    return as_array(model(**batch).logits)


def test_one_text_gives_two_lists_in_order():
    tokenizer = hubloader.AutoTokenizer.from_pretrained(NAME)

    inputs = tokenizer("We are very happy to show you the 🤗 Transformers library.")

    assert dict(inputs) == SINGLE
    assert list(inputs) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_padded_batch_prints_the_published_tensors(framework):
    tokenizer = hubloader.AutoTokenizer.from_pretrained(NAME)
    auto(framework)  # skips where the framework is not installed

    batch = tokenizer(
        TEXTS, padding=True, truncation=True, max_length=512, return_tensors=framework
    )

    printed = {
        key: (value if framework == "np" else value.numpy()).tolist()
        for key, value in batch.items()
    }
    assert printed == BATCH
    assert list(printed) == ["input_ids", "attention_mask"]


@pytest.mark.torch
def test_the_pytorch_half_of_the_quick_tour_runs_as_written():
    torch = pytest.importorskip("torch")
    from hubloader import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(NAME)
    pt_model = AutoModelForSequenceClassification.from_pretrained(NAME)
    pt_batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=512, return_tensors="pt")
    pt_outputs = pt_model(**pt_batch)
    pt_predictions = torch.nn.functional.softmax(pt_outputs.logits, dim=-1)
    labelled = pt_model(**pt_batch, labels=torch.tensor([1, 0]))

    assert isinstance(pt_model, torch.nn.Module)
    assert type(pt_model).__name__ == "DistilBertForSequenceClassification"
    expected = torch.tensor(GOLDENS[SST2]["logits"])
    torch.testing.assert_close(pt_outputs.logits, expected, rtol=0, atol=CLOSE)
    assert pt_model.config.id2label[int(pt_predictions[0].argmax())] == "POSITIVE"
    assert pt_predictions.sum(-1).tolist() == pytest.approx([1, 1])
    loss = torch.nn.functional.cross_entropy(expected, torch.tensor([1, 0]))
    assert labelled.loss.item() == pytest.approx(loss.item(), abs=CLOSE)
    labelled.loss.backward()
    assert pt_model.classifier.weight.grad.abs().sum() > 0


@pytest.mark.tensorflow
def test_the_tensorflow_half_of_the_quick_tour_runs_as_written():
    tf = pytest.importorskip("tensorflow")
    from hubloader import AutoTokenizer, TFAutoModelForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(NAME)
    tf_model = TFAutoModelForSequenceClassification.from_pretrained(NAME)
    tf_batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=512, return_tensors="tf")
    tf_outputs = tf_model(tf_batch)
    tf_predictions = tf.nn.softmax(tf_outputs.logits, axis=-1)
    labelled = tf_model(tf_batch, labels=tf.constant([1, 0]))

    assert isinstance(tf_model, tf.keras.Model)
    assert type(tf_model).__name__ == "TFDistilBertForSequenceClassification"
    expected = GOLDENS[SST2]["logits"]
    np.testing.assert_allclose(tf_outputs.logits.numpy(), expected, rtol=0, atol=CLOSE)
    assert tf_model.config.id2label[int(tf.argmax(tf_predictions[0]))] == "POSITIVE"
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant([1, 0]), tf.constant(expected))
    )
    assert float(tf.reduce_mean(labelled.loss)) == pytest.approx(float(loss), abs=CLOSE)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("name", "golden"),
    [
        (NAME, SST2),
        (SST2, SST2),
        (BERT, BERT),
        (f"{BERT}@fp16", f"{BERT}@fp16"),
        (f"{BERT}@bf16", f"{BERT}@bf16"),
        ("fixtures/bert-tiny-sharded", BERT),
    ],
)
def test_the_logits_are_those_of_transformers(framework, name, golden):
    logits = classify(framework, name)

    np.testing.assert_allclose(logits, GOLDENS[golden]["logits"], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("name", "golden"),
    [("fixtures/bert-tiny-h5", BERT), ("fixtures/distilbert-tiny-h5", SST2)],
)
def test_a_checkpoint_in_tensorflows_own_file_gives_the_same_logits(framework, name, golden):
    logits = classify(framework, name)

    np.testing.assert_allclose(logits, GOLDENS[golden]["logits"], rtol=0, atol=CLOSE)


@pytest.mark.torch
@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("repo", [SST2, BERT])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_checkpoint_of_any_precision_gives_the_logits_of_transformers_live(
    framework, repo, dtype, tmp_path
):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = cast_checkpoint(FIXTURES / "hub" / repo, tmp_path / "model", dtype)

    logits = classify(framework, str(folder))

    reference = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    )
    ids, mask = (torch.tensor(GOLDENS[repo][key]) for key in ("input_ids", "attention_mask"))
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask).logits.numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=CLOSE)


def cast_checkpoint(source, target, dtype):
    """A copy of a repository whose weights are stored as ``dtype``."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    cast = {name: value.to(getattr(torch, dtype)) for name, value in weights.items()}
    save_file(cast, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_sentences_that_were_held_out_are_judged_right(framework):
    held_out = json.loads((FIXTURES / "held_out.json").read_text(encoding="utf-8"))
    judged = [s for s in held_out["sentences"] if s["label"] != "neutral"]
    tokenizer = hubloader.AutoTokenizer.from_pretrained(held_out["model"])
    model = auto(framework).from_pretrained(held_out["model"])

    batch = tokenizer([s["text"] for s in judged], padding=True, return_tensors=framework)
    best = as_array(model(**batch).logits).argmax(-1)

    labels = [model.config.id2label[int(index)].lower() for index in best]
    assert labels == [s["label"] for s in judged]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_output_is_attributes_and_mapping_and_tuple_at_once(framework):
    tokenizer = hubloader.AutoTokenizer.from_pretrained(NAME)
    model = auto(framework).from_pretrained(NAME)

    output = model(**tokenizer(TEXTS, padding=True, return_tensors=framework))

    assert output.logits is output["logits"]
    assert output.logits is output[0]
    assert list(output.keys()) == ["logits"]


@pytest.mark.parametrize("repo", [NAME, BERT])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_hidden_states_and_attentions_come_when_asked_for(framework, repo):
    tokenizer = hubloader.AutoTokenizer.from_pretrained(repo)
    model = auto(framework).from_pretrained(repo)
    batch = tokenizer(TEXTS, padding=True, return_tensors=framework)
    width = batch["input_ids"].shape[1]

    output = model(**batch, output_hidden_states=True, output_attentions=True)

    assert [tuple(state.shape) for state in output.hidden_states] == [(2, width, 32)] * 3
    assert [tuple(a.shape) for a in output.attentions] == [(2, 4, width, width)] * 2
    np.testing.assert_allclose(as_array(output.attentions[0]).sum(-1), 1, atol=CLOSE)


@pytest.mark.parametrize("repo", [NAME, BERT])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_was_saved_loads_again_and_gives_the_same(framework, repo, tmp_path):
    tokenizer = hubloader.AutoTokenizer.from_pretrained(repo)
    model = auto(framework).from_pretrained(repo)
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)

    tokenizer_again = hubloader.AutoTokenizer.from_pretrained(tmp_path)
    model_again = auto(framework).from_pretrained(tmp_path)

    assert dict(tokenizer_again(TEXTS[0])) == dict(tokenizer(TEXTS[0]))
    batch = tokenizer(TEXTS, padding=True, return_tensors=framework)
    before, after = model(**batch).logits, model_again(**batch).logits
    np.testing.assert_array_equal(as_array(before), as_array(after))
    assert (tmp_path / "model.safetensors").is_file()
    assert model_again.config.id2label == model.config.id2label


@pytest.mark.torch
@pytest.mark.oracle
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_transformers_reads_what_every_framework_saved(framework, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    auto(framework).from_pretrained(NAME).save_pretrained(tmp_path)

    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )

    assert type(model).__name__ == "DistilBertForSequenceClassification"
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids, mask = (torch.tensor(BATCH[key]) for key in ("input_ids", "attention_mask"))
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits.numpy()
    np.testing.assert_allclose(logits, GOLDENS[SST2]["logits"], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_encoder_without_a_head_loads_from_checkpoints_with_and_without_one(framework):
    model = auto(framework, "AutoModel")
    tokenizer = hubloader.AutoTokenizer.from_pretrained(BERT)
    batch = tokenizer(TEXTS, padding=True, return_tensors=framework)

    headless = model.from_pretrained("fixtures/bert-tiny-encoder")(**batch)
    from_classifier = model.from_pretrained(BERT)(**batch)

    hidden = as_array(headless.last_hidden_state)
    assert hidden.shape == (2, batch["input_ids"].shape[1], 32)
    np.testing.assert_array_equal(hidden, as_array(from_classifier.last_hidden_state))


def test_the_pipeline_gives_a_label_and_a_score():
    classifier = hubloader.pipeline("sentiment-analysis", model=NAME)

    one = classifier(TEXTS[0])
    both = classifier(TEXTS)

    exponents = np.exp(GOLDENS[SST2]["logits"])
    scores = exponents.max(-1) / exponents.sum(-1)
    assert [answer["label"] for answer in both] == ["POSITIVE", "POSITIVE"]
    assert [answer["score"] for answer in both] == pytest.approx(scores.tolist(), abs=CLOSE)
    assert one == [{"label": "POSITIVE", "score": pytest.approx(scores[0], abs=CLOSE)}]


def test_the_pipeline_without_a_model_takes_the_quick_tours():
    classifier = hubloader.pipeline("sentiment-analysis")

    assert classifier("What a terrible film!")[0]["label"] == "NEGATIVE"


def test_both_roads_to_a_tokenizer_give_the_same_ids(hub, tmp_path):
    legacy = hubloader.AutoTokenizer.from_pretrained(NAME)
    legacy.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    (tmp_path / "vocab.txt").unlink(missing_ok=True)

    from_json = hubloader.AutoTokenizer.from_pretrained(tmp_path)

    assert dict(from_json(TEXTS[0])) == SINGLE


def test_a_tokenizer_with_token_types_gives_them_in_transformers_order():
    tokenizer = hubloader.AutoTokenizer.from_pretrained(BERT)

    assert list(tokenizer(TEXTS[0])) == ["input_ids", "token_type_ids", "attention_mask"]


@pytest.mark.parametrize("name", [NAME, SST2])
def test_a_cold_load_asks_one_listing_and_each_file_once_and_a_warm_one_nothing_more(
    name, hub, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    weights = sha256((FIXTURES / "hub" / SST2 / "model.safetensors").read_bytes()).hexdigest()
    hub.forget()

    hubloader.AutoTokenizer.from_pretrained(name)
    hubloader.NpAutoModelForSequenceClassification.from_pretrained(name)
    answered = [r for r in hub.requests if r.status not in {302, 307}]
    hub.forget()
    hubloader.AutoTokenizer.from_pretrained(name)
    hubloader.NpAutoModelForSequenceClassification.from_pretrained(name)

    asked = sorted(r.path.partition("?")[0].rpartition("/")[2] for r in answered)
    assert {r.method for r in answered} == {"GET"}
    assert asked == sorted(["main", "config.json", "tokenizer_config.json", "vocab.txt", weights])
    assert hub.requests == ()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_offline_gives_the_same_with_the_hub_gone(framework, monkeypatch):
    online = classify(framework, NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    offline = classify(framework, NAME)

    np.testing.assert_array_equal(offline, online)
