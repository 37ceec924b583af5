"""Nyströmformer's attention by way of landmarks, on every kit, against transformers itself.

transformers 5.23 adds a mask of every query to what landmarks see, which fits where nothing is
padded, or where each token is a landmark; 4.57 and earlier added that of the keys, as is done here.
"""

from __future__ import annotations

import numpy as np
import pytest
import test_architectures as suite

from hubloader.architectures import SEQUENCE_CLASSIFICATION, find
from hubloader.errors import CorruptFile, UnfitLength
from hubloader.nn import Trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

KITS = suite.KITS
VARIANTS = {
    "fours": {"num_landmarks": 4, "segment_means_seq_len": 16},
    "threes, of a length that five do not divide": {
        "num_landmarks": 5,
        "segment_means_seq_len": 18,
    },
    "one landmark": {"num_landmarks": 1, "segment_means_seq_len": 17},
    "each token, of a length that is longer": {"num_landmarks": 16, "segment_means_seq_len": 31},
    "each by its own sum": {
        "num_landmarks": 4,
        "segment_means_seq_len": 16,
        "inv_coeff_init_option": True,
    },
}
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


@pytest.fixture
def masks_of_keys(monkeypatch):
    """Let transformers mask as it did, and read the option that it cannot read of a config."""
    module = transformers.models.nystromformer.modeling_nystromformer
    whole = module.create_bidirectional_mask

    def of_keys(**options):
        mask = whole(**options)
        return None if mask is None else mask[:, :, :1]

    monkeypatch.setattr(module, "create_bidirectional_mask", of_keys)
    config = transformers.NystromformerConfig
    monkeypatch.setattr(config, "__getitem__", lambda *_: "its own", raising=False)


def made(variant: str, seed: int = 0) -> suite.Oracle:
    plain = suite.oracle("nystromformer", "plain", SEQUENCE_CLASSIFICATION, seed)
    raw = {**plain.raw, **VARIANTS[variant]}
    model = type(plain.model)._from_config(type(plain.model.config).from_dict(raw)).eval()
    model.load_state_dict(plain.model.state_dict())
    return plain._replace(model=model, raw=raw)


def batch_of(case: suite.Oracle) -> dict[str, np.ndarray]:
    landmarks, tokens = case.raw["num_landmarks"], case.raw["segment_means_seq_len"]
    rng = np.random.default_rng(tokens)
    ids = rng.integers(5, 120, (5, tokens // landmarks * landmarks))
    mask = np.ones_like(ids)
    mask[0, 11:] = mask[1, :6] = mask[2, 5:9] = mask[4, :] = 0
    types = rng.integers(0, 2, ids.shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@pytest.mark.usefixtures("masks_of_keys")
@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_look_at_each_other_through_landmarks(variant, seed, kit_name):
    case = made(variant, seed)
    batch, trace = batch_of(case), Trace(hidden_states=True, attentions=True)
    theirs, module = case.reference(batch), case.build(kit_name)
    assert suite.difference(suite.run(kit_name, module, batch), theirs.logits) <= suite.TOLERANCE
    suite.run(kit_name, module, batch, trace=trace)
    for ours, expected in suite.traced(trace, theirs):
        assert max(map(suite.difference, ours, expected)) <= suite.TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("padded", [False, True])
def test_what_transformers_masks_itself_is_masked_alike(padded, kit_name):
    case = made("each token, of a length that is longer" if padded else "fours")
    batch = batch_of(case)
    if not padded:
        batch["attention_mask"] = np.ones_like(batch["attention_mask"])
    ours = suite.run(kit_name, case.build(kit_name), batch)
    assert suite.difference(ours, case.reference(batch).logits) <= suite.TOLERANCE


@pytest.mark.parametrize("kit_name", KITS[1:])
def test_gradients_flow_through_landmarks_as_in_transformers(kit_name):
    case, labels = made("fours"), np.array([0, 1, 2, 1, 0])
    batch = {n: value for n, value in batch_of(case).items() if n != "attention_mask"}
    case.model.zero_grad()
    logits = case.model(**suite.native("torch", batch)).logits
    torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
    ours = suite._gradients(kit_name, case, batch, labels)
    for name, value in case.model.named_parameters():
        if value.grad is not None:
            assert np.abs(ours[name] - value.grad.numpy()).max() <= 2 * suite.TOLERANCE


@pytest.mark.tensorflow
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_a_graph_of_unknown_sizes_takes_the_one_length_and_no_other(compiled):
    import tensorflow as tf

    case = made("fours")
    ids = batch_of(case)["input_ids"]
    module = case.build("tf")
    graph = tf.function(
        module, input_signature=[tf.TensorSpec((None, None), tf.int32)], jit_compile=compiled
    )
    expected = case.reference({"input_ids": ids}).logits
    assert suite.difference(graph(tf.constant(ids, tf.int32)), expected) <= suite.TOLERANCE
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.constant(ids[:, :-1], tf.int32))


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("tokens", [15, 17, 32])
def test_a_length_that_landmarks_do_not_cut_is_refused(tokens, kit_name):
    module = made("fours").build(kit_name)
    with pytest.raises(UnfitLength, match="landmarks are of 16") as refused:
        suite.run(kit_name, module, {"input_ids": np.full((2, tokens), 7)})
    assert "max_length=16" in str(refused.value.hint)


def test_more_landmarks_than_tokens_are_refused():
    raw = {**made("fours").raw, "num_landmarks": 17}
    with pytest.raises(CorruptFile, match="17 are more than 16 tokens"):
        find("nystromformer").config.from_json(raw)


def test_half_precision_stays_near_and_finite():
    case = made("fours")
    batch = batch_of(case) | {"attention_mask": np.ones((5, 16), int)}
    expected = case.reference(batch).logits
    for dtype in ("float16", "bfloat16"):
        with torch.no_grad():
            half = case.build("torch", dtype=dtype)(**suite.native("torch", batch))
        assert suite.difference(half.float(), expected) <= 0.2
