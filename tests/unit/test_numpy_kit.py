"""What the numpy kit promises beyond the ops: nothing copied that need not be."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION, find
from hubloader.errors import UnfitLength, UnsupportedDtype
from hubloader.nn import get_kit

KIT = get_kit("numpy")
SIZES = {
    "vocab_size": 50,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
}


def model(tensors=None, task=SEQUENCE_CLASSIFICATION):
    bert = find("bert")
    module = KIT.build(bert.tasks[task], bert.config.from_json(SIZES))
    rng = np.random.default_rng(0)
    names = KIT.parameters(module).items()
    tensors = tensors or {n: rng.standard_normal(s).astype(np.float32) for n, s in names}
    KIT.load(module, tensors)
    return module, tensors


def test_float32_weights_are_used_where_they_lie():
    module, tensors = model()
    exported = KIT.export(module)
    assert all(np.shares_memory(exported[name], tensors[name]) for name in tensors)


def test_an_embedding_table_stays_as_it_is_stored():
    _, tensors = model()
    half = {name: value.astype(np.float16) for name, value in tensors.items()}
    module, _ = model(half)
    table = module.bert.embeddings.word_embeddings.weight
    assert np.shares_memory(table, half["bert.embeddings.word_embeddings.weight"])
    assert module(np.array([[1, 2, 3]])).dtype == np.float32


def test_gelu_is_exact_to_float32():
    x = np.linspace(-6, 6, 50_000, dtype=np.float32)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.astype(float)]
    assert np.abs(KIT.gelu(x) - exact).max() < 1.5e-6


def test_a_model_pickles():
    module, _ = model()
    ids = np.array([[4, 5, 6, 7]])
    assert np.array_equal(pickle.loads(pickle.dumps(module))(ids), module(ids))


def test_float8_is_refused_by_name():
    _, tensors = model()
    name = "classifier.bias"
    stored = np.zeros(2, np.dtype([("float8_e4m3fn", "u1")]))
    with pytest.raises(UnsupportedDtype, match="float8_e4m3fn"):
        model({**tensors, name: stored})


def test_a_sequence_longer_than_the_positions_is_refused():
    module, _ = model(task=ENCODER)
    with pytest.raises(UnfitLength, match=r"13 tokens is longer than the 12 positions"):
        module(np.ones((1, 13), int))


def test_fairseqs_positions_are_counted_without_padding():
    kin = find("roberta")
    module = KIT.build(kin.tasks[ENCODER], kin.config.from_json(SIZES))
    shapes = KIT.parameters(module).items()
    KIT.load(module, {n: np.ones(s, np.float32) for n, s in shapes})
    padded = np.array([[5] * 10 + [1] * 6])
    assert module(padded).shape == (1, 16, 8)
    with pytest.raises(UnfitLength, match=r"16 tokens is longer than the 10 positions"):
        module(np.full((1, 16), 5))


def test_a_batch_of_no_texts_has_no_logits():
    module, _ = model()
    assert module(np.zeros((0, 4), int), np.zeros((0, 4), int)).shape == (0, 2)


def test_no_framework_is_imported():
    program = (
        "import sys; from hubloader.nn import get_kit; get_kit('numpy');"
        "from hubloader.architectures import supported; supported();"
        "assert not {'torch', 'tensorflow', 'keras', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_finding_an_architecture_does_not_import_numpy():
    program = (
        "import sys; from hubloader.architectures import find; find('bert');"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
