"""The pipelines of the other heads, and their models by Auto classes, beside transformers."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import pytest

import hubloader
from hubloader.errors import UnsupportedTask

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

TEXTS = ["We are very happy to show you the library.", "terrible", "I love New York, and it me."]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SUFFIXES = {
    "token-classification": "ForTokenClassification",
    "fill-mask": "ForMaskedLM",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
}
BACKENDS = {
    "torch": "",
    "numpy": "Np",
    "tf": "TF",
}


@pytest.fixture(scope="module")
def folders(fixture_hub, tmp_path_factory):
    """A checkpoint of transformers' for each task, with the fixture's tokenizer."""
    source, made = fixture_hub / "fixtures" / "bert-tiny-sentiment", {}
    raw = json.loads((source / "config.json").read_text())
    for task, suffix in SUFFIXES.items():
        torch.manual_seed(0)
        labels = LABELS if task == "token-classification" else ["LABEL_0", "LABEL_1"]
        config = transformers.BertConfig.from_dict(
            {**raw, "id2label": dict(enumerate(labels)), "initializer_range": 0.2}
        )
        config.label2id = {label: i for i, label in enumerate(labels)}
        model = getattr(transformers, f"AutoModel{suffix}").from_config(config)
        made[task] = tmp_path_factory.mktemp(task)
        model.save_pretrained(made[task])
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / name, made[task])
    return made


@pytest.fixture(params=["pt", "np", pytest.param("tf", marks=pytest.mark.tensorflow)])
def framework(request):
    if request.param == "tf" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    return request.param


def both(task, folders, framework, **options):
    kind = {"ner": "token-classification", "feature-extraction": "fill-mask"}.get(task, task)
    folder = str(folders[kind])
    ours = hubloader.pipeline(task, model=folder, framework=framework, **options)
    return ours, transformers.pipeline(task, model=folder, device="cpu", **options)


def same(ours, theirs):
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif isinstance(theirs, (float, np.floating)):
        assert ours == pytest.approx(float(theirs), abs=1e-5)
    else:
        assert ours == theirs


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_are_those_of_transformers(folders, framework, strategy):
    ours, theirs = both("ner", folders, framework, aggregation_strategy=strategy)

    same(ours(TEXTS), theirs(TEXTS))
    same(ours(TEXTS[0]), theirs(TEXTS[0]))
    assert any(ours(TEXTS))


def test_ignored_labels_are_left_out(folders):
    ours, theirs = both("token-classification", folders, "np", ignore_labels=["B-PER", "I-LOC"])

    same(ours(TEXTS), theirs(TEXTS))


def test_masked_words_are_those_of_transformers(folders, framework):
    ours, theirs = both("fill-mask", folders, framework)
    one, two = "the [MASK] is good.", "the [MASK] is [MASK] good"

    same(ours(one), theirs(one))
    same(ours([one, two]), theirs([one, two]))
    same(ours([one], top_k=2), theirs([one], top_k=2))
    same(ours(one, targets=["good", "bad"]), theirs(one, targets=["good", "bad"]))


def test_a_text_without_a_mask_is_an_error(folders):
    with pytest.raises(ValueError, match=r"no mask token \(\[MASK\]\)"):
        both("fill-mask", folders, "np")[0]("the film is good")


@pytest.mark.filterwarnings("ignore:.*(made new|does not use)")
def test_features_are_the_last_hidden_states(folders, framework):
    ours, theirs = both("feature-extraction", folders, framework)

    same(ours(TEXTS[:2]), theirs(TEXTS[:2]))
    assert ours(TEXTS[0], return_tensors=True).shape == tuple(
        theirs(TEXTS[0], return_tensors=True).shape
    )


def test_an_answer_is_the_best_span_of_the_text(folders, framework):
    answer = hubloader.pipeline(
        "question-answering", model=str(folders["question-answering"]), framework=framework
    )
    question, context = "What do I love?", TEXTS[2]

    found = answer(question=question, context=context)

    assert found["answer"] == context[found["start"] : found["end"]]
    assert found == answer({"question": question, "context": context})
    expected = best_span(folders["question-answering"], question, context)
    assert (found["start"], found["end"]) == expected[:2]
    assert found["score"] == pytest.approx(expected[2], abs=1e-5)
    several = answer(question=[question] * 2, context=context, top_k=3)
    assert [len(one) for one in several] == [3, 3]
    assert several[0][0] == pytest.approx(found, abs=1e-5)


def best_span(folder, question, context):
    """Return by brute force the best span: its characters, whole words, and its score."""
    tokenizer = hubloader.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(question, context, return_offsets_mapping=True)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.no_grad():
        output = model(**{name: torch.tensor([encoded[name]]) for name in names})
    inside = torch.tensor([side == 1 for side in encoded.sequence_ids()])
    inside[0] = True  # the first token tells that there is no answer
    start, end = (
        x[0].masked_fill(~inside, -1e9).softmax(0) for x in (output.start_logits, output.end_logits)
    )
    places = [i for i in range(1, len(inside)) if inside[i]]
    pairs = [(float(start[i] * end[j]), i, j) for i in places for j in places if i <= j < i + 15]
    words, answers = encoded.word_ids(), {}
    for score, i, j in sorted(pairs, reverse=True)[:12]:  # those that are looked at for one answer
        a = encoded.word_to_chars(words[i], sequence_index=1).start
        b = encoded.word_to_chars(words[j], sequence_index=1).end
        answers[a, b] = answers.get((a, b), 0.0) + score
    (a, b), score = max(answers.items(), key=lambda item: item[1])
    return a, b, score


def test_a_long_text_is_read_in_windows(folders):
    answer = hubloader.pipeline(
        "question-answering", model=str(folders["question-answering"]), framework="np"
    )
    context = "nothing to see here. " * 20 + "the end"

    found = answer(question="where?", context=context, max_seq_len=30, doc_stride=10, top_k=4)

    assert all(context[one["start"] : one["end"]] == one["answer"] for one in found)
    nothing = answer(question="w?", context="no", handle_impossible_answer=True, top_k=9)
    assert {"start": 0, "end": 0, "answer": ""}.items() <= nothing[-1].items() or any(
        one["answer"] == "" for one in nothing
    )


def test_a_question_is_asked_as_it_was_in_transformers_4(folders):
    answer = hubloader.pipeline(
        "question-answering", model=str(folders["question-answering"]), framework="np"
    )
    asked = {"question": "where?", "context": TEXTS[2]}
    alone = answer(**asked)

    assert answer([asked]) == alone
    assert answer(question=["where?"], context=[TEXTS[2]]) == alone
    assert answer(**asked, max_question_len=8, padding="max_length") == alone
    assert answer(**asked, topk=3) == answer(**asked, top_k=3)


@pytest.mark.parametrize(
    "backend", ["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)]
)
@pytest.mark.parametrize("task", SUFFIXES)
@pytest.mark.filterwarnings("error::UserWarning:hubloader")
def test_a_head_is_loaded_answers_with_its_loss_and_is_saved(folders, backend, task, tmp_path):
    if backend == "tf" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    facade = getattr(hubloader, f"{BACKENDS[backend]}AutoModel{SUFFIXES[task]}")
    ids = np.random.default_rng(0).integers(5, 90, (2, 3, 9))
    targets = {"labels": np.where(ids % 3, ids % 2, -100)[:, 0]}
    if task == "multiple-choice":
        targets = {"labels": np.array([2, 0])}
    else:
        ids = ids[:, 0]
    if task == "question-answering":
        targets = {"start_positions": np.array([1, 40]), "end_positions": np.array([3, 4])}
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), **targets}
    native = {name: torch.tensor(value) for name, value in inputs.items()}
    reference = getattr(transformers, f"AutoModel{SUFFIXES[task]}").from_pretrained(folders[task])

    model = facade.from_pretrained(folders[task])
    with torch.no_grad():
        found = model(**(native if backend == "torch" else inputs))
        expected = reference.eval()(**native)

    assert float(found["loss"]) == pytest.approx(float(expected.loss), abs=1e-5)
    assert found.keys() == expected.keys()
    for name in list(expected.keys())[1:]:
        np.testing.assert_allclose(np.asarray(found[name]), expected[name], atol=1e-5)
    assert type(model).__name__ == f"{BACKENDS[backend]}{type(reference).__name__}"
    model.save_pretrained(tmp_path)
    _, info = type(reference).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_a_pipeline_of_a_head_needs_a_model():
    with pytest.raises(UnsupportedTask, match="needs a model"):
        hubloader.pipeline("ner")


def test_a_pipelines_unknown_option_is_an_error(folders):
    with pytest.raises(TypeError, match="top_k"):
        both("fill-mask", folders, "np")[0]("a [MASK]", topk=3)
