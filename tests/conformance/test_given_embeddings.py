"""Embeddings and positions of a caller's own, in calls that ask a table more than once, or of many.

On PyTorch, against transformers; ``test_families_through_auto.py`` has every family's plain call.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_families_through_auto import IDS, MASK, made

import hubloader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

TOLERANCE = 1e-5


def both(family, head, folder):
    theirs = made(family, head)
    theirs.save_pretrained(folder)
    return theirs, getattr(hubloader, head).from_pretrained(folder)


def worst(ours, theirs, given):
    with torch.no_grad():
        return float((ours(**given).logits - theirs(**given).logits).abs().max())


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "gptj"])
def test_types_are_words_beside_embeddings_too(family, tmp_path):
    theirs, ours = both(family, "AutoModelForSequenceClassification", tmp_path)
    ids = torch.tensor(IDS)
    with torch.no_grad():
        words = theirs.get_input_embeddings()(ids)
    given = {"inputs_embeds": words, "token_type_ids": ids.flip(0)}
    assert worst(ours, theirs, given) < TOLERANCE


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "big_bird", "mpnet", "funnel"])
def test_of_choices_too(family, tmp_path):
    theirs, ours = both(family, "AutoModelForMultipleChoice", tmp_path)
    ids = torch.tensor(np.stack([IDS, IDS[::-1]]))  # two questions of three choices
    given = {"attention_mask": torch.tensor(np.stack([MASK, MASK[::-1]]))}
    with torch.no_grad():
        words = theirs.get_input_embeddings()(ids)
    assert worst(ours, theirs, {**given, "inputs_embeds": words}) < TOLERANCE
    if "position_ids" in ours.architecture.takes_besides:
        places = torch.arange(5).flip(0).expand(ids.shape) + 2
        given |= {"input_ids": ids, "position_ids": places}
        assert worst(ours, theirs, given) < TOLERANCE
