"""What a Longformer's global tokens see, on every backend, against transformers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import test_architectures as suite

import hubloader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

BACKENDS = {"torch": "", "numpy": "Np", "tf": "TF"}
KITS = ["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)]
MASK = np.ones((3, 18), int)  # whole windows: transformers leaves its own padding in
MASK[1, 10:] = MASK[2, :3] = 0
BATCH = {
    "input_ids": np.where(MASK, np.random.default_rng(0).integers(5, 90, MASK.shape), 1),
    "attention_mask": MASK,
}
EVERYWHERE = np.zeros_like(MASK)  # three of the first text, one of the second, none of the third
EVERYWHERE[0, [0, 4, 7]] = EVERYWHERE[1, 2] = 1


@functools.cache
def reference() -> Any:
    return suite.oracle("longformer", "plain").model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("longformer")
    reference().save_pretrained(path)
    return str(path)


@pytest.mark.parametrize("backend", KITS)
@pytest.mark.parametrize("given", [False, True], ids=["first_token", "any"])
def test_what_global_tokens_see_is_what_it_is_in_transformers(given, backend, folder):
    batch = {**BATCH, "global_attention_mask": EVERYWHERE} if given else BATCH
    with torch.no_grad():
        native = suite.native("torch", batch)
        expected = reference()(**native, output_attentions=True).global_attentions
    facade = f"{BACKENDS[backend]}AutoModelForSequenceClassification"
    model = getattr(hubloader, facade).from_pretrained(folder)
    given_to = suite.native(backend, batch)
    found = (
        model(given_to, output_attentions=True)
        if backend == "tf"
        else model(**given_to, output_attentions=True)
    )
    assert list(found.keys())[-2:] == ["attentions", "global_attentions"]
    assert (
        type(found).__name__
        == f"{BACKENDS[backend].replace('Np', '')}LongformerSequenceClassifierOutput"
    )
    for ours, theirs in zip(found.global_attentions, expected, strict=True):
        numbers = ours.detach() if backend == "torch" else ours
        assert suite.difference(numbers, theirs) <= suite.TOLERANCE


@pytest.mark.filterwarnings("ignore:.*does not use")
def test_they_are_not_there_without_global_tokens_or_unasked(folder):
    model = hubloader.NpAutoModel.from_pretrained(folder, add_pooling_layer=False)
    assert "global_attentions" not in model(**BATCH, output_attentions=True)
    assert "global_attentions" not in model(**BATCH, global_attention_mask=EVERYWHERE)
