"""The other heads of every architecture, on every kit, against transformers itself.

Tokens, answers, masked words and choices; tiny random models as in ``test_architectures.py``, which
has the families and what each needs.
"""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest
import test_architectures as suite

import hubloader
from hubloader.architectures import (
    ENCODER,
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    TOKEN_CLASSIFICATION,
    find,
    supported,
)
from hubloader.nn import get_kit

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

AUTO = {
    TOKEN_CLASSIFICATION: transformers.AutoModelForTokenClassification,
    QUESTION_ANSWERING: transformers.AutoModelForQuestionAnswering,
    MASKED_LM: transformers.AutoModelForMaskedLM,
    MULTIPLE_CHOICE: transformers.AutoModelForMultipleChoice,
}
CASES = [
    pytest.param(family, task, id=f"{family}-{task}")
    for family in supported()
    for task in find(family).tasks
    if task in AUTO
]
ALL_KITS = [
    kit if kit != "torch-eager" else pytest.param(kit, marks=pytest.mark.slow) for kit in suite.KITS
]


@functools.cache
def oracle(family: str, task: str) -> suite.Oracle:
    plain = suite.oracle(family, "plain")
    values = {**plain.raw, "num_labels": 2 if task == QUESTION_ANSWERING else 3}
    if family == "rembert":
        values["output_embedding_size"] = 24
    config = type(plain.model.config).from_dict(values)
    config.num_labels = values["num_labels"]
    if family == "funnel":
        config.architectures = ["FunnelModel"]
    torch.manual_seed(1)
    model = AUTO[task].from_config(config, attn_implementation="eager").eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        for bias in (b for n, b in model.named_buffers() if n == "final_logits_bias"):
            bias.normal_()
    tied = dict(getattr(model, "_tied_weights_keys", None) or {})
    own = {name for name in tied if not name.endswith("embed_tokens.weight")}  # a table of ours too
    kept = {
        name: value.numpy().copy()
        for name, value in model.state_dict().items()
        if not name.endswith("inv_freq") and not (config.tie_word_embeddings and name in own)
    }
    raw = {**config.to_dict(), "num_labels": config.num_labels}
    return suite.Oracle(model, raw, kept, family, task)


def batch(case: suite.Oracle) -> dict[str, np.ndarray]:
    rows = {name: value[:4].copy() for name, value in case.batch().items()}
    rows["input_ids"][:, [4, 10, 16]] = 2  # Longformer looks for three separators
    rows["attention_mask"][:, [4, 10, 16]] = 1
    if case.task != MULTIPLE_CHOICE:
        return rows
    return {name: value.reshape(2, 2, *value.shape[1:]) for name, value in rows.items()}


def answers(case: suite.Oracle, given: dict[str, np.ndarray]) -> torch.Tensor:
    with torch.no_grad():
        found = case.model(**suite.native("torch", given))
    if case.task == QUESTION_ANSWERING:
        return torch.stack([found.start_logits, found.end_logits], -1)
    return found.logits


def worst(ours: np.ndarray, theirs: torch.Tensor) -> float:
    """The largest difference, of what is not a million below all else."""
    return suite.difference(np.maximum(ours, -1e3), theirs.clamp(min=-1e3))


@pytest.mark.parametrize("kit_name", ALL_KITS)
@pytest.mark.parametrize(("family", "task"), CASES)
def test_what_a_head_answers_is_what_transformers_answers(family, task, kit_name):
    case = oracle(family, task)
    given = batch(case)
    ours = suite.run(kit_name, case.build(kit_name), given)
    expected = answers(case, given)
    size = max(1.0, float(expected.max()))  # scores of words reach 20
    assert worst(ours, expected) <= suite.TOLERANCE * size


UNTIED = [family for family in supported() if MASKED_LM in find(family).tasks]


def difference_with(plain: suite.Oracle, **changes: Any) -> float:
    """How far we are from transformers where keys of the config are others."""
    config = type(plain.model.config).from_dict({**plain.raw, **changes})
    if plain.family == "funnel":
        config.architectures = ["FunnelModel"]
    model = AUTO[plain.task].from_config(config, attn_implementation="eager").eval().float()
    case = plain._replace(model=model, raw={**config.to_dict(), "num_labels": 3})
    case = suite.tensors_of(case)
    kept = {n: value for n, value in case.tensors.items() if not n.endswith("inv_freq")}
    given = batch(case)
    ours = suite.run("numpy", case.build("numpy", tensors=kept), given)
    expected = answers(case, given)
    return worst(ours, expected) / max(1.0, float(expected.max()))


@pytest.mark.parametrize("family", UNTIED)
def test_words_may_be_scored_by_a_table_of_their_own(family):
    plain = oracle(family, MASKED_LM)
    assert difference_with(plain, tie_word_embeddings=False) <= suite.TOLERANCE


@pytest.mark.parametrize("family", ["convbert", "electra", "roformer"])
def test_choices_may_be_made_by_a_summary_that_the_config_tells(family):
    plain = oracle(family, MULTIPLE_CHOICE)
    summary = {"summary_type": "mean", "summary_use_proj": True, "summary_activation": "tanh"}
    assert difference_with(plain, **summary) <= suite.TOLERANCE


@pytest.mark.parametrize("kit_name", ALL_KITS)
@pytest.mark.parametrize("told", ["nothing", "types", "lengths", "no mask"])
def test_big_bird_answers_behind_the_question(told, kit_name):
    case = oracle("big_bird", QUESTION_ANSWERING)
    rows = batch(case)
    separator = case.model.config.sep_token_id
    rows["input_ids"][rows["input_ids"] == separator] -= 1
    rows["input_ids"][0, [5, 16]] = rows["input_ids"][1, 0] = rows["input_ids"][3, 16] = separator
    given = {"input_ids": rows["input_ids"]}  # of which the third has no separator
    if told == "types":
        given["token_type_ids"] = rows["token_type_ids"]
    if told == "lengths":
        given["question_lengths"] = np.array([[3], [1], [17], [0]])
    if told != "no mask":
        given["attention_mask"] = rows["attention_mask"]
    expected = answers(case, given)
    ours = suite.run(kit_name, case.build(kit_name), given)
    assert worst(ours, expected) <= suite.TOLERANCE
    assert np.array_equal(ours < -1e5, (expected < -1e5).numpy())


@pytest.mark.parametrize("family", supported())
def test_every_head_that_transformers_has_of_a_family_is_here_by_its_name(family):
    kind = type(transformers.AutoConfig.for_model(family))
    theirs = {
        task: auto._model_mapping[kind]
        for task, auto in {**AUTO, **suite.TASKS}.items()
        if task != ENCODER and kind in auto._model_mapping
    }
    names = find(family).class_names
    assert {task: names.get(task) for task in theirs} == {
        task: cls.__name__ for task, cls in theirs.items()
    }


def test_what_is_called_a_label_is_what_transformers_trainer_takes_for_one():
    from transformers.utils.generic import find_labels

    names = [name for family in supported() for name in find(family).class_names.values()]
    theirs = {name: find_labels(getattr(transformers, name)) for name in names}
    assert {name: find_labels(getattr(hubloader, name)) for name in names} == theirs


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_heads_parameters_are_named_as_in_the_checkpoint(family, task):
    case = oracle(family, task)
    kit = get_kit("numpy")
    module = kit.build(case.layer, find(family).config.from_json(case.raw))
    assert kit.parameters(module) == {name: value.shape for name, value in case.tensors.items()}


GENERATIVE = [  # heads of decoders and encoder-decoders, of each kind one that is not slow
    ("gpt2", TOKEN_CLASSIFICATION),
    ("llama", QUESTION_ANSWERING),
    ("bart", MASKED_LM),
    pytest.param("t5", TOKEN_CLASSIFICATION, marks=pytest.mark.slow),
    pytest.param("t5", QUESTION_ANSWERING, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("family", "task"), [*(("bert", task) for task in AUTO), *GENERATIVE])
def test_a_head_copies_pickles_compiles_and_exports(family, task):
    case = oracle(family, task)
    module, given = case.build("torch"), suite.native("torch", batch(case))
    expected = module(**given)
    assert torch.equal(copy.deepcopy(module)(**given), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(**given), expected)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(**given), expected, atol=suite.TOLERANCE)
    torch.compiler.reset()
    exported = torch.export.export(module, (), given).module()
    assert torch.allclose(exported(**given), expected, atol=suite.TOLERANCE)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("family", "task"), [*(("roberta", task) for task in AUTO), *GENERATIVE])
def test_a_head_runs_as_a_graph_of_unknown_sizes(family, task):
    import tensorflow as tf

    case = oracle(family, task)
    module, given = case.build("tf"), batch(case)
    spec = {
        name: tf.TensorSpec([None] * value.ndim, tf.int32, name=name)
        for name, value in given.items()
    }
    graph = tf.function(lambda inputs: module(**inputs), input_signature=[spec])
    found: Any = graph(suite.native("tf", given))
    expected = answers(case, given)
    size = max(1.0, float(expected.abs().max()))
    assert suite.difference(found, expected) <= suite.TOLERANCE * size
