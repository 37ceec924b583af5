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

from hubloader.architectures import (
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
    tied = dict(getattr(model, "_tied_weights_keys", None) or {})
    kept = {
        name: value.numpy().copy()
        for name, value in model.state_dict().items()
        if not name.endswith("inv_freq") and not (config.tie_word_embeddings and name in tied)
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


@pytest.mark.parametrize("kit_name", ALL_KITS)
@pytest.mark.parametrize(("family", "task"), CASES)
def test_what_a_head_answers_is_what_transformers_answers(family, task, kit_name):
    case = oracle(family, task)
    given = batch(case)
    ours = suite.run(kit_name, case.build(kit_name), given)
    expected = answers(case, given)
    size = max(1.0, float(expected.abs().max()))  # scores of words reach 20
    assert suite.difference(ours, expected) <= suite.TOLERANCE * size


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_heads_parameters_are_named_as_in_the_checkpoint(family, task):
    case = oracle(family, task)
    kit = get_kit("numpy")
    module = kit.build(case.layer, find(family).config.from_json(case.raw))
    assert kit.parameters(module) == {name: value.shape for name, value in case.tensors.items()}


@pytest.mark.parametrize("task", AUTO)
def test_a_head_copies_pickles_compiles_and_exports(task):
    case = oracle("bert", task)
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
@pytest.mark.parametrize("task", AUTO)
def test_a_head_runs_as_a_graph_of_unknown_sizes(task):
    import tensorflow as tf

    case = oracle("roberta", task)
    module, given = case.build("tf"), batch(case)
    spec = {
        name: tf.TensorSpec([None] * value.ndim, tf.int32, name=name)
        for name, value in given.items()
    }
    graph = tf.function(lambda inputs: module(**inputs), input_signature=[spec])
    found: Any = graph(suite.native("tf", given))
    assert suite.difference(found, answers(case, given)) <= suite.TOLERANCE
