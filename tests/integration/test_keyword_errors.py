"""Keywords that nothing knows: refused with the nearest name, before anyone is asked for a file."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import hubloader
from hubloader.formats import save_safetensors

NOWHERE = "org/nowhere"


@pytest.fixture
def folder(fixture_hub):
    return fixture_hub / "fixtures" / "bert-tiny-sentiment"


@pytest.fixture
def nobody(monkeypatch):
    """Nobody answers: a load that asks ends in CacheMiss."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("keyword", "meant"),
    [("revison", "revision"), ("ignore_mismatched_size", "ignore_mismatched_sizes")],
)
@pytest.mark.parametrize("loader", ["AutoConfig", "NpAutoModelForSequenceClassification"])
def test_a_misspelt_keyword_is_told_before_the_hub_is_asked(nobody, loader, keyword, meant):
    with pytest.raises(TypeError, match=f"did you mean '{meant}'"):
        getattr(hubloader, loader).from_pretrained(NOWHERE, **{keyword: True})


@pytest.mark.parametrize(
    ("loader", "device"),
    [
        ("NpAutoModelForSequenceClassification", {"device": "cuda"}),
        ("NpAutoModelForSequenceClassification", {"device_map": "auto"}),
        ("TFAutoModelForSequenceClassification", {"device": "cuda"}),
        ("TFAutoModelForSequenceClassification", {"device_map": "auto"}),
    ],
)
def test_a_device_that_a_backend_does_not_have_is_refused(nobody, loader, device):
    with pytest.raises(ValueError, match=next(iter(device))):
        getattr(hubloader, loader).from_pretrained(NOWHERE, **device)


def test_a_numpy_model_may_be_put_on_the_cpu(folder):
    load = hubloader.NpAutoModelForSequenceClassification.from_pretrained

    assert load(folder, device="cpu").device == "cpu"


def test_an_unknown_input_is_refused_though_it_is_none(folder):
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)

    with pytest.raises(TypeError, match="did you mean 'attention_mask'"):
        model(input_ids=[[101, 102]], atention_mask=None)


@pytest.mark.parametrize(
    "task",
    ["text-classification", "ner", "fill-mask", "question-answering", "feature-extraction"],
)
def test_every_pipeline_refuses_what_nobody_knows_before_the_hub_is_asked(nobody, task):
    with pytest.raises(TypeError, match="'modle': did you mean 'model'"):
        hubloader.pipeline(task, NOWHERE, framework="np", modle=2)


def test_a_pipelines_call_refuses_what_nobody_knows(folder):
    classify = hubloader.pipeline("text-classification", str(folder), framework="np")

    with pytest.raises(TypeError, match="'tok_k': did you mean 'top_k'"):
        classify("x", tok_k=2)
    with pytest.raises(ValueError, match="a text is a string"):
        classify(3)


def test_weights_that_nothing_uses_are_named_in_one_warning(folder):
    with pytest.warns(
        UserWarning, match=r"does not use: classifier\.bias, classifier\.weight"
    ) as told:
        hubloader.NpAutoModel.from_pretrained(folder)

    assert len(told) == 1
    assert told[0].filename == __file__


def test_a_text_over_the_window_is_told_at_the_users_line(folder):
    tokenizer = hubloader.AutoTokenizer.from_pretrained(folder, model_max_length=4)

    with pytest.warns(UserWarning, match="longer than the specified maximum") as told:
        tokenizer(["one two three four five six", "x"])

    assert told[0].filename == __file__


def test_a_warning_of_a_deep_call_is_told_at_the_users_line(folder):
    classify = hubloader.pipeline("text-classification", str(folder), framework="np")
    classify.tokenizer.model_max_length = 4

    with pytest.warns(UserWarning, match="longer than the specified maximum") as told:
        classify(["one two three four five six"])

    assert told[0].filename == __file__


@pytest.mark.parametrize("asked", [{"dtype": "float32"}, {}])
def test_numpy_saves_in_the_dtype_that_the_model_was_loaded_in(folder, tmp_path, asked):
    whole = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    half = {name: a.astype(np.float16) for name, a in whole.nn.export(whole).items()}
    save_safetensors(half, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "float16"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(tmp_path, **asked)

    model.save_pretrained(tmp_path / "saved")

    raw = (tmp_path / "saved" / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    header.pop("__metadata__")
    assert {each["dtype"] for each in header.values()} == {"F32" if asked else "F16"}
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert saved["dtype"] == ("float32" if asked else "float16")


@pytest.mark.parametrize(
    "name",
    [
        *("AutoConfig", "AutoTokenizer", "AutoModel", "NpAutoModelForSequenceClassification"),
        *("BertConfig", "BertTokenizer", "BertForSequenceClassification", "NpDistilBertModel"),
    ],
)
def test_a_public_class_says_that_it_is_of_hubloader(name):
    assert getattr(hubloader, name).__module__ == "hubloader"


def test_nothing_is_told_where_everything_fits(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hubloader.AutoTokenizer.from_pretrained(folder)("a short text")
