"""Texts longer than a family's positions: refused where transformers raises, computed elsewhere.

Never wrong numbers: a table of positions has no row for them.
"""

from __future__ import annotations

import numpy as np
import pytest
import test_architectures as suite

from hubloader.architectures import supported
from hubloader.errors import UnfitLength

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

KITS = [kit for kit in suite.KITS if kit != "torch-eager"]
CASES = [(family, "plain") for family in supported()]
CASES += [("esm", "turned heads, masked tokens"), ("deberta", "as published"), ("deberta-v2", "v3")]


def longest(case: suite.Oracle) -> int:
    config = case.model.config
    given = (getattr(config, name, 0) for name in ("max_position_embeddings", "n_positions"))
    return max(suite.SMALL["max_position_embeddings"], *(size or 0 for size in given))


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_a_text_longer_than_the_positions_is_refused_where_transformers_raises(
    family, variant, kit_name
):
    case = suite.oracle(family, variant)
    module, tokens = case.build(kit_name), longest(case) + 1
    ids = np.random.default_rng(1).integers(8, 100, (2, tokens))
    mask = np.ones_like(ids)
    mask[:, 20:] = 0
    padding = getattr(case.model.config, "pad_token_id", None) or 0
    padded = {"input_ids": np.where(mask, ids, padding), "attention_mask": mask}
    for batch in ({"input_ids": ids}, padded):
        given = case.ended(batch)
        try:
            theirs = case.reference(given).logits
        except (IndexError, RuntimeError):
            with pytest.raises(UnfitLength, match=f"{tokens} tokens"):
                suite.run(kit_name, module, given)
        else:
            ours = suite.run(kit_name, module, given)
            assert suite.difference(ours, theirs) <= suite.TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
def test_falcons_numbered_keys_end_with_their_table(kit_name):
    case = suite.oracle("falcon", "ALiBi")
    ids = np.full((1, case.model.config.max_position_embeddings + 1), 9)
    with pytest.raises(UnfitLength, match="positions that this model has"):
        suite.run(kit_name, case.build(kit_name), {"input_ids": ids})


@pytest.mark.tensorflow
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_graph_of_unknown_sizes_makes_no_numbers_of_a_text_that_is_too_long(family, compiled):
    import tensorflow as tf

    module = suite.oracle(family, "plain").build("tf")
    spec = [tf.TensorSpec((None, None), tf.int32)]
    graph = tf.function(module, input_signature=spec, jit_compile=compiled)
    ids = tf.fill((1, 55), 9)
    if compiled:  # XLA refuses no index
        assert not np.isfinite(graph(ids)).any()
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph(ids)
