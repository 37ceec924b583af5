"""The text-classification pipeline on the committed fixtures, beside transformers where it is."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

import hubloader
from hubloader.auto import pipeline as auto_pipeline
from hubloader.errors import UnsupportedTask

TEXTS = [
    "We are very happy to show you the 🤗 Transformers library.",
    "terrible",
    "A long and boring film, which I would not recommend to anybody at all.",
    "I love it.",
]
PAIR = {"text": TEXTS[0], "text_pair": TEXTS[1]}


@pytest.fixture(scope="session")
def folder(fixture_hub):
    return fixture_hub / "fixtures" / "bert-tiny-sentiment"


@pytest.fixture(scope="session")
def classify(folder):
    return hubloader.pipeline("text-classification", model=str(folder), framework="np")


def close(found, expected):
    """The same structure and labels, scores within 1e-5."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found["label"] == expected["label"] and abs(found["score"] - expected["score"]) < 1e-5


def test_one_text_gives_a_list_of_one_label(classify):
    (answer,) = classify(TEXTS[0])

    assert answer.keys() == {"label", "score"}
    assert answer["label"] in classify.model.config.id2label.values()
    assert 0 < answer["score"] <= 1


def test_a_list_gives_a_label_for_each_text_in_order(classify):
    answers = classify(TEXTS)

    assert close(answers, [classify(text)[0] for text in TEXTS])


def test_top_k_gives_lists_the_best_first(classify):
    (some,) = classify(TEXTS[:1], top_k=2)
    every = classify(TEXTS[0], top_k=None)

    assert [x["label"] for x in some] == [x["label"] for x in every[:2]]
    assert sum(x["score"] for x in every) == pytest.approx(1, abs=1e-5)
    assert classify(TEXTS[0], top_k=1) == every[:1]


def test_a_generator_is_answered_as_it_goes(classify):
    read = []

    def texts():
        for text in TEXTS * 3:
            read.append(text)
            yield text

    answers = classify(texts(), batch_size=1)
    assert read == []
    next(answers)
    assert 0 < len(read) <= 16
    assert len(list(answers)) == len(TEXTS) * 3 - 1


def test_no_text_gives_no_answer(classify):
    assert classify([]) == []


def test_the_size_of_batches_changes_nothing(classify):
    expected = classify(TEXTS, top_k=None)

    for size in (1, 2, 100):
        assert close(classify(TEXTS, top_k=None, batch_size=size), expected)


def test_texts_of_like_length_share_a_batch(folder):
    pipe = hubloader.pipeline(model=str(folder), framework="np")
    shapes = []
    forward = pipe.model.forward

    def noted(**batch):
        shapes.append(batch["input_ids"].shape)
        return forward(**batch)

    pipe.model.forward = noted
    pipe(["a " * n for n in (1, 50, 2, 49)], batch_size=2)

    assert shapes[0][1] < 10 < shapes[1][1]


@pytest.mark.filterwarnings("ignore:Token indices sequence length")
def test_tokenizer_options_pass_through(classify):
    long = "good " * 600

    with pytest.raises((ValueError, IndexError)):
        classify(long)
    (answer,) = classify(long, truncation=True)

    assert answer["label"] in classify.model.config.id2label.values()


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_the_function_can_be_chosen(classify, function):
    scores = {x["label"]: x["score"] for x in classify(TEXTS[0], top_k=None)}
    raw = {x["label"]: x["score"] for x in classify(TEXTS[0], top_k=None, function_to_apply="none")}

    found = classify(TEXTS[0], top_k=None, function_to_apply=function)

    expected = {
        "softmax": lambda label: scores[label],
        "sigmoid": lambda label: 1 / (1 + np.exp(-raw[label])),
        "none": lambda label: raw[label],
    }[function]
    assert all(x["score"] == pytest.approx(expected(x["label"]), abs=1e-6) for x in found)


@pytest.mark.parametrize(
    ("problem", "function"),
    [
        ("regression", "none"),
        ("multi_label_classification", "sigmoid"),
        ("single_label_classification", "softmax"),
        (None, "softmax"),
    ],
)
def test_the_problem_type_decides_the_function(folder, problem, function):
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
        folder, problem_type=problem
    )
    pipe = hubloader.pipeline(model=model)

    assert pipe(TEXTS[0], top_k=None) == pipe(TEXTS[0], top_k=None, function_to_apply=function)


def test_a_loaded_model_and_tokenizer_are_taken(folder):
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = hubloader.AutoTokenizer.from_pretrained(folder)

    pipe = hubloader.pipeline("sentiment-analysis", model=model, tokenizer=tokenizer)

    assert pipe.framework == "np"
    assert pipe(TEXTS[0])[0]["score"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("translation",), UnsupportedTask),
        ((), UnsupportedTask),
    ],
)
def test_another_task_is_an_error(arguments, error):
    with pytest.raises(error):
        hubloader.pipeline(*arguments)


def test_what_transformers_pipeline_takes_besides_is_taken(folder, classify):
    every = classify(TEXTS, top_k=None)

    assert classify(TEXTS, return_all_scores=True, num_workers=2) == every
    assert classify(TEXTS, return_all_scores=False) == classify(TEXTS)
    other = hubloader.pipeline(
        model=str(folder), framework="np", use_fast=True, feature_extractor=None, num_workers=0
    )
    assert close(other(TEXTS), classify(TEXTS))


def test_a_label_that_a_config_leaves_out_has_the_name_that_transformers_makes_up(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    raw = json.loads((tmp_path / "config.json").read_text())
    count = len(raw["id2label"])
    raw["id2label"] = {str(n): f"name {n}" for n in range(1, count + 1)}
    raw.pop("label2id", None)
    (tmp_path / "config.json").write_text(json.dumps(raw))
    pipe = hubloader.pipeline(model=str(tmp_path), framework="np")

    found = {answer["label"] for answer in pipe(TEXTS[0], top_k=None)}

    assert found == {"LABEL_0", *(f"name {n}" for n in range(1, count))}


def test_bad_options_are_errors(classify, folder):
    with pytest.raises(ValueError, match="function_to_apply"):
        classify("x", function_to_apply="tanh")
    with pytest.raises(ValueError, match="batch_size"):
        classify("x", batch_size=0)
    with pytest.raises(ValueError, match="framework"):
        hubloader.pipeline(model=str(folder), framework="jax")
    with pytest.raises(ValueError, match="text_pair"):
        classify([["a", "b"]])


@pytest.mark.oracle
@pytest.mark.torch
@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"torch", "tensorflow", "numpy"}, "pt"),
        ({"tensorflow", "numpy"}, "tf"),
        ({"numpy"}, "np"),
    ],
)
def test_the_framework_is_the_first_that_is_installed(monkeypatch, there, chosen):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name in there else None
    )

    assert auto_pipeline._installed() == chosen


def test_the_first_framework_that_is_installed_is_taken(folder, monkeypatch):
    monkeypatch.setattr(auto_pipeline, "_installed", lambda: "np")

    assert hubloader.pipeline(model=str(folder)).framework == "np"


@pytest.mark.parametrize(
    "framework", ["np", "pt", pytest.param("tf", marks=pytest.mark.tensorflow)]
)
def test_answers_have_transformers_form_and_numbers(folder, framework):
    transformers = pytest.importorskip("transformers")
    if framework == "tf" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    theirs = transformers.pipeline("text-classification", model=str(folder), dtype="float32")
    ours = hubloader.pipeline("text-classification", model=str(folder), framework=framework)
    calls = [
        ((TEXTS[0],), {}),
        ((TEXTS,), {}),
        ((TEXTS[0],), {"top_k": None}),
        ((TEXTS[0],), {"top_k": 1}),
        ((TEXTS,), {"top_k": 2}),
        ((TEXTS,), {"function_to_apply": "none"}),
        ((PAIR,), {}),
        (([PAIR, PAIR],), {}),
        (([PAIR],), {"top_k": 1}),
        (([[[TEXTS[0], TEXTS[1]]]],), {}),
        ((TEXTS,), {"truncation": True, "max_length": 6}),
        ((TEXTS,), {"batch_size": 2}),
    ]

    for arguments, options in calls:
        expected = theirs(*arguments, **options)
        assert close(ours(*arguments, **options), expected), (arguments, options)
