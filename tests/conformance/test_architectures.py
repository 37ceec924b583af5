"""Every file in hubloader/architectures, on every kit, against transformers itself.

Nothing here names a family but ``VARIANTS``, where one that has switches says which to try. Models
are tiny and random, LayerNorm weights too, so that a swapped name shows. The reference is
transformers' eager attention in float32.
"""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
from encoder_savings import ONE_LAYER
from family_sizes import has, sized
from generative_variants import FUSED, GENERATIVE, decoder_inputs, ended, traced, two_halves

from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION, find, supported
from hubloader.errors import UnsupportedArchitecture
from hubloader.nn import Trace, get_kit

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

TOLERANCE = 1e-5
KITS = [
    "numpy",
    "torch",
    "torch-eager",
    pytest.param("tf", marks=pytest.mark.tensorflow),
]
SMALL = {
    "vocab_size": 120,
    "max_position_embeddings": 40,
    "num_labels": 3,
    "hidden_size": 32,
    "dim": 32,
    "num_hidden_layers": 3,
    "n_layers": 3,
    "num_attention_heads": 4,
    "n_heads": 4,
    "intermediate_size": 56,
    "hidden_dim": 56,
    "embedding_size": 16,
    "input_embedding_size": 16,
    "type_vocab_size": 2,
}
NAMED_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "bert": {
        "gelu_new, two labels, no padding token": {
            "hidden_act": "gelu_new",
            "num_labels": 2,
            "pad_token_id": None,
        },
        "relu, one head, large eps": {
            "hidden_act": "relu",
            "num_attention_heads": 1,
            "layer_norm_eps": 0.1,
        },
        "silu, one label": {"hidden_act": "silu", "num_labels": 1, "type_vocab_size": 1},
    },
    "distilbert": {
        "relu, sinusoids": {"activation": "relu", "sinusoidal_pos_embds": True},
        "one layer": {"n_layers": 1, "pad_token_id": 3},
    },
    "albert": {
        "two groups of two": {"num_hidden_groups": 2, "inner_group_num": 2},
        "as many groups as layers": {"num_hidden_groups": 3, "hidden_act": "gelu"},
    },
    "electra": {"embeddings as wide as the layers": {"embedding_size": 32}},
    "ernie": {"tasks": {"use_task_id": True}},
    "big_bird": {
        "whole, no bias, scaled": {
            "attention_type": "original_full",
            "use_bias": False,
            "rescale_embeddings": True,
        },
    },
    "convbert": {
        "groups, one head, wide embeddings": {
            "num_groups": 2,
            "head_ratio": 8,
            "conv_kernel_size": 3,
            "embedding_size": 32,
        },
    },
    "deberta": {
        "as published": {
            "relative_attention": True,
            "pos_att_type": "c2p|p2c",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        "near, position for content alone": {
            "relative_attention": True,
            "max_relative_positions": 7,
            "pos_att_type": ["p2c"],
            "embedding_size": 16,
        },
    },
    "deberta-v2": {
        "v3": {
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
        },
        "v2 with convolution": {
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "conv_kernel_size": 3,
            "conv_act": "gelu",
            "conv_groups": 2,
            "position_biased_input": False,
        },
        "own projections, plain distances, token types": {
            "relative_attention": True,
            "max_relative_positions": 12,
            "type_vocab_size": 2,
            "pos_att_type": ["c2p", "p2c"],
            "embedding_size": 16,
        },
        "content for position alone": {
            "relative_attention": True,
            "position_buckets": 4,
            "pos_att_type": ["c2p"],
        },
        "far": {
            "relative_attention": True,
            "position_buckets": 32,
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
            "type_vocab_size": 0,
            "max_position_embeddings": 301,
            "max_relative_positions": 100,
        },
    },
    "esm": {
        "turned heads, masked tokens": {
            "position_embedding_type": "rotary",
            "token_dropout": True,
            "emb_layer_norm_before": True,
        },
    },
    "eurobert": {
        "mean, biases, shared keys": {
            "classifier_pooling": "mean",
            "attention_bias": True,
            "mlp_bias": True,
            "num_key_value_heads": 2,
        },
        "first token": {"classifier_pooling": "bos"},
    },
    "funnel": {
        "factors, repeats": {
            "attention_type": "factorized",
            "block_sizes": [2, 1],
            "block_repeats": [1, 2],
        },
        "the greatest, all pooled": {
            "block_sizes": [1, 1, 1],
            "pooling_type": "max",
            "pool_q_only": False,
            "separate_cls": False,
        },
        "the last token kept": {"truncate_seq": False, "num_decoder_layers": 1},
    },
    "gte": {"no token types": {"type_vocab_size": 0}},
    "longformer": {
        "windows of several sizes": {"attention_window": [4, 8, 8], "type_vocab_size": 1},
        "windows wider than the texts": {"attention_window": 64},
    },
    "mobilebert": {
        "narrow attention, norms": {
            "use_bottleneck_attention": True,
            "normalization_type": "layer_norm",
            "num_feedforward_networks": 1,
            "classifier_activation": False,
        },
        "no bottleneck, no trigrams": {"use_bottleneck": False, "trigram_input": False},
    },
    "modernbert": {
        "narrow windows, mean": {"local_attention": 6, "classifier_pooling": "mean"},
        "every bias, all layers global": {
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "classifier_bias": True,
            "layer_types": ["full_attention"] * 3,
        },
        "long texts": {"max_position_embeddings": 8192, "num_hidden_layers": 4},
    },
    "mpnet": {"longer than the farthest bucket": {"max_position_embeddings": 400}},
    "roberta": {"other padding": {"pad_token_id": 4, "type_vocab_size": 1}},
    "xlm": {
        "mean, relu, looking back": {
            "summary_type": "mean",
            "summary_activation": "tanh",
            "gelu_activation": False,
            "causal": True,
        },
        "last token, languages": {"summary_type": "last", "n_langs": 3},
    },
    "xlnet": {
        "near, mean": {"clamp_len": 6, "summary_type": "mean"},
    },
    "roformer": {"values too, narrow embeddings": {"rotary_value": True, "embedding_size": 24}},
    "squeezebert": {
        "no groups, relu": {
            **dict.fromkeys(("q_groups", "k_groups", "v_groups", "output_groups"), 1),
            "intermediate_groups": 1,
            "post_attention_groups": 2,
            "hidden_act": "relu",
        },
    },
}
VARIANTS |= GENERATIVE
CASES = [
    pytest.param(family, variant, id=f"{family}-{variant}".replace(" ", "_"))
    for family in supported()
    for variant in ("plain", *VARIANTS.get(family, {}))
]
TASKS = {
    ENCODER: transformers.AutoModel,
    SEQUENCE_CLASSIFICATION: transformers.AutoModelForSequenceClassification,
}


class Oracle(NamedTuple):
    """A random model of transformers', as config.json and tensors, and what it makes of a batch."""

    model: Any
    raw: dict[str, Any]
    tensors: dict[str, np.ndarray]
    family: str
    task: str
    attention: str = "eager"

    @property
    def layer(self) -> Any:
        return find(self.family).tasks[self.task]

    def build(self, kit_name: str, tensors=None, **options: Any) -> Any:
        kit = get_kit(kit_name)
        module = kit.build(self.layer, find(self.family).config.from_json(self.raw))
        report = kit.load(module, self.tensors if tensors is None else tensors, **options)
        assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
        return module

    def batch(self) -> dict[str, np.ndarray]:
        """Padding on the right, on the left, in the middle, nowhere, and nothing but padding."""
        rng = np.random.default_rng(5)
        config = find(self.family).config.from_json(self.raw)
        ids = rng.integers(5, config.vocab_size, (5, 17))
        mask = np.ones_like(ids)
        mask[0, 11:] = mask[1, :6] = mask[2, 5:9] = mask[4, :] = 0
        pad = getattr(config, "pad_token_id", None)
        batch = {"input_ids": np.where(mask == 1, ids, pad or 0), "attention_mask": mask}
        if getattr(config, "type_vocab_size", 0) > 1:
            batch["token_type_ids"] = rng.integers(0, config.type_vocab_size, ids.shape)
        elif takes(self.layer, "token_type_ids") and not hasattr(config, "type_vocab_size"):
            batch["token_type_ids"] = rng.integers(0, 3, ids.shape)
        if takes(self.layer, "langs"):
            batch["langs"] = rng.integers(0, config.n_langs, ids.shape)
        if hasattr(config, "task_type_vocab_size"):
            batch["task_type_ids"] = rng.integers(0, config.task_type_vocab_size, ids.shape)
        if hasattr(config, "max_2d_position_embeddings"):
            corners = rng.integers(0, config.max_2d_position_embeddings, (*ids.shape, 2, 2))
            batch["bbox"] = np.sort(corners, axis=2).reshape(*ids.shape, 4)
        if self.family == "funnel":
            # Of padding alone it makes noise: it subtracts a million, which leaves sixteenths.
            batch = {name: value[:4] for name, value in batch.items()}
        if two_halves(self.layer) and self.task == ENCODER:
            batch |= decoder_inputs(config.vocab_size)
        return self.ended(self.accepted(batch))

    def ended(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every text with an end, where a model looks for it."""
        return ended(self.layer, getattr(self.model.config, "eos_token_id", None), batch)

    def short(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Two rows of a batch, the beginning of each."""
        return self.ended({name: value[:2, :9] for name, value in batch.items()})

    def accepted(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: value for name, value in batch.items() if takes(self.layer, name)}

    def reference(self, batch: dict[str, np.ndarray]) -> Any:
        native = {name: torch.tensor(value) for name, value in batch.items()}
        with torch.no_grad():
            asked = self.attention == "eager"  # else transformers would be eager in this call
            return self.model(**native, output_hidden_states=True, output_attentions=asked)


def takes(layer: Any, name: str) -> bool:
    return name in inspect.signature(layer.forward).parameters


@functools.cache
def oracle(family: str, variant: str, task: str = SEQUENCE_CLASSIFICATION, seed: int = 0) -> Oracle:
    torch.manual_seed(seed)
    defaults = transformers.AutoConfig.for_model(family)
    options = {name: value for name, value in SMALL.items() if has(defaults, name)}
    options |= {
        name: min(i, 1)
        for i, name in enumerate(NAMED_TOKENS)
        if isinstance(getattr(defaults, name, None), int) and getattr(defaults, name) >= 120
    }
    options |= sized(family, SMALL["hidden_size"])
    if variant == "one layer" and family in ONE_LAYER:
        options |= ONE_LAYER[family]
    else:
        options |= VARIANTS.get(family, {}).get(variant, {})
    config = transformers.AutoConfig.for_model(family, **options)
    attention = "sdpa" if (family, variant) in FUSED else "eager"
    model = TASKS[task].from_config(config, attn_implementation=attention).eval().float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    raw = {**config.to_dict(), "num_labels": config.num_labels}
    tensors = {
        name: value.numpy().copy()
        for name, value in model.state_dict().items()
        if not name.endswith("inv_freq")  # a table, whatever is saved
    }
    return Oracle(model, raw, tensors, family, task, attention)


def traceable(family: str) -> Oracle:
    """As small a model as shows how a family is traced, compiled and exported."""
    return oracle(family, "one layer" if family in ONE_LAYER else "plain")


def native(kit_name: str, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    if kit_name == "numpy":
        return batch
    if kit_name == "tf":
        import tensorflow as tf

        return {name: tf.constant(value, tf.int32) for name, value in batch.items()}
    return {name: torch.tensor(value) for name, value in batch.items()}


def run(kit_name: str, module: Any, batch: dict[str, np.ndarray], **options: Any) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(module(**native(kit_name, batch), **options))


def difference(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    known = np.isfinite(theirs)  # transformers divides by the number of tokens, were it zero
    return float(np.abs(ours - theirs)[known].max())


SEEDED = [
    pytest.param(*case.values, seed, id=f"{case.id}-{seed}", marks=marks)
    for case in CASES
    for seed, marks in (
        (0, ()),
        (1, () if case.values[1] == "plain" else pytest.mark.slow),
        *((more, pytest.mark.slow) for more in (2, 3, 4)),
    )
]


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize(("family", "variant", "seed"), SEEDED)
def test_logits_are_those_of_transformers_whatever_the_padding(family, variant, seed, kit_name):
    case = oracle(family, variant, SEQUENCE_CLASSIFICATION, seed)
    batch = case.batch()
    ours = run(kit_name, case.build(kit_name), batch)
    assert difference(ours, case.reference(batch).logits) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
def test_flaubert_may_normalise_first(kit_name, monkeypatch):
    # transformers 5.23 asks its cache for a layer's part, of which it has none
    caches = transformers.cache_utils.EncoderDecoderCache
    monkeypatch.setattr(caches, "__getitem__", lambda self, _: self, raising=False)
    plain = oracle("flaubert", "plain")
    raw = {**plain.raw, "pre_norm": True}
    model = type(plain.model)._from_config(type(plain.model.config).from_dict(raw)).eval()
    model.load_state_dict(plain.model.state_dict())
    case = plain._replace(model=model, raw=raw)
    batch = case.batch()
    with torch.no_grad():
        expected = model(**native("torch", batch)).logits
    assert difference(run(kit_name, case.build(kit_name), batch), expected) <= TOLERANCE


def in_pieces(kit_name: str, module: Any, batch: dict[str, np.ndarray], **options: Any) -> Any:
    """Run a model that sees long texts in pieces; in a graph it sees them whole, by a mask."""
    if kit_name != "tf":
        return run(kit_name, module, batch, **options)
    import tensorflow as tf

    spec = {name: tf.TensorSpec((None, None), tf.int32) for name in batch}
    graph = tf.function(lambda given: module(**given), input_signature=[spec])
    found = np.asarray(graph(native("tf", batch)))
    np.testing.assert_allclose(run("tf", module, batch), found, atol=TOLERANCE)
    return found


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("tokens", [37, pytest.param(60, marks=pytest.mark.slow), 64])
def test_big_bird_sees_long_texts_by_blocks(kit_name, tokens):
    sizes = {"block_size": 4, "num_random_blocks": 2, "max_position_embeddings": 80}
    plain = oracle("big_bird", "plain")
    config = type(plain.model.config).from_dict({**plain.raw, **sizes})
    model = type(plain.model)._from_config(config, attn_implementation="eager").eval()
    case = tensors_of(plain._replace(model=model, raw={**config.to_dict(), "num_labels": 3}))
    rng = np.random.default_rng(tokens)
    mask = np.ones((4, tokens), int)
    mask[0, 30:] = mask[1, :9] = mask[2, 3:22] = 0
    batch = {"input_ids": rng.integers(5, 120, mask.shape), "attention_mask": mask}
    theirs, module = case.reference(batch), case.build(kit_name)
    assert difference(in_pieces(kit_name, module, batch), theirs.logits) <= TOLERANCE
    trace = Trace(hidden_states=True, attentions=True)
    run(kit_name, module, batch, trace=trace)
    real = torch.tensor(mask)[:, None, :, None]
    for ours, expected in zip(trace.kept_attentions, theirs.attentions, strict=True):
        there = expected[:, :, :tokens, :tokens] * real  # transformers pads to whole blocks
        assert difference(torch.tensor(np.asarray(ours)) * real, there) <= TOLERANCE


def tensors_of(case: Oracle) -> Oracle:
    """Give a case the weights that its model has."""
    with torch.no_grad():
        for parameter in case.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    state = case.model.state_dict().items()
    return case._replace(tensors={name: value.numpy().copy() for name, value in state})


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("given", [False, True], ids=["first_token_global", "any_global"])
def test_longformer_sees_long_texts_by_windows(kit_name, given):
    case = oracle("longformer", "plain")
    rng = np.random.default_rng(3)
    mask = np.ones((4, 35), int)
    mask[0, 30:] = mask[1, :9] = mask[2, 3:22] = 0
    batch = {
        "input_ids": np.where(mask, rng.integers(5, 120, mask.shape), 1),
        "attention_mask": mask,
    }
    if given:
        everywhere = np.zeros_like(mask)
        everywhere[0, [0, 4, 33]] = everywhere[1, 12] = everywhere[3, 30:] = 1
        batch["global_attention_mask"] = everywhere
    theirs, module = case.reference(batch), case.build(kit_name)
    assert difference(in_pieces(kit_name, module, batch), theirs.logits) <= TOLERANCE
    trace = Trace(hidden_states=True, attentions=True)
    run(kit_name, module, batch, trace=trace)
    for ours, expected in (
        (trace.kept_hidden_states, theirs.hidden_states),
        (trace.kept_attentions, theirs.attentions),
    ):
        assert max(map(difference, ours, expected)) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
def test_xlnet_may_look_back(kit_name):
    plain = oracle("xlnet", "plain")
    raw = {**plain.raw, "attn_type": "uni"}
    model = type(plain.model)._from_config(type(plain.model.config).from_dict(raw)).eval()
    model.load_state_dict(plain.model.state_dict())
    case = plain._replace(model=model, raw=raw)
    batch = case.batch()
    rows = [{name: value[i : i + 1] for name, value in batch.items()} for i in range(3)]
    # transformers 5.23 masks one text at a time
    expected = torch.cat([case.reference(row).logits for row in rows])
    ours = run(kit_name, case.build(kit_name), {n: value[:3] for n, value in batch.items()})
    assert difference(ours, expected) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_hidden_states_and_pooled_output_are_those_of_transformers(family, variant, kit_name):
    case = oracle(family, variant, ENCODER)
    batch = case.batch()
    theirs = case.reference(batch)
    module = case.build(kit_name)
    ours = run(kit_name, module, batch)
    assert difference(ours, theirs.last_hidden_state) <= TOLERANCE
    with torch.no_grad():
        pooled = module.pooled(_hidden(kit_name, ours))
    assert (pooled is None) == (theirs.get("pooler_output") is None)
    if pooled is not None:
        assert difference(pooled, theirs.pooler_output) <= TOLERANCE


def _hidden(kit_name: str, array: np.ndarray) -> Any:
    if kit_name == "tf":
        import tensorflow as tf

        return tf.constant(array)
    return torch.tensor(array) if kit_name.startswith("torch") else array


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_hidden_states_and_attentions_come_on_request(family, variant, kit_name):
    case = oracle(family, variant)
    batch = case.batch()
    theirs = case.reference(batch)
    trace = Trace(hidden_states=True, attentions=True)
    run(kit_name, case.build(kit_name), batch, trace=trace)
    if family == "squeezebert":  # transformers has scores there
        theirs["attentions"] = [torch.softmax(scores, -1) for scores in theirs.attentions]
    for ours, expected in traced(trace, theirs):
        if not expected and (family == "big_bird" or case.attention != "eager"):
            continue  # big_bird: transformers loses them where it falls back to seeing all
        assert len(ours) == len(expected)
        assert max(map(difference, ours, expected), default=0) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("family", ["bert", "distilbert", "xlm-roberta", "electra"])
def test_a_mask_of_a_query_and_a_key_each_is_taken_as_it_is(family, kit_name):
    case = oracle(family, "plain")
    ids = case.batch()["input_ids"]
    whole = np.tril(np.ones((5, 1, 17, 17), bool)) & (ids != -1)[:, None, None, :]
    added = np.where(whole, np.float32(0), np.finfo(np.float32).min)
    with torch.no_grad():
        expected = case.model(torch.tensor(ids), torch.tensor(added)).logits
    module = case.build(kit_name)
    for mask in (whole, added, whole[:, 0]):
        given = {"input_ids": ids, "attention_mask": mask}
        if kit_name == "tf":
            import tensorflow as tf

            given = {name: tf.constant(value) for name, value in given.items()}
        elif kit_name != "numpy":
            given = {name: torch.tensor(value) for name, value in given.items()}
        with torch.no_grad():
            assert difference(module(**given), expected) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("family", supported())
def test_a_decoder_looks_back_alone_or_is_refused(family, kit_name):
    plain = oracle(family, "plain")
    raw = {**plain.raw, "is_decoder": True}
    try:
        find(family).config.from_json(raw)
    except UnsupportedArchitecture:
        return  # transformers is handed it
    config = type(plain.model.config).from_dict({**raw, "use_cache": False})
    model = type(plain.model)._from_config(config, attn_implementation="eager").eval()
    model.load_state_dict(plain.model.state_dict())
    case = plain._replace(model=model, raw=raw)
    batch = case.batch()
    ours = run(kit_name, case.build(kit_name), batch)
    assert difference(ours, case.reference(batch).logits) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_one_text_without_a_mask_gives_the_same_logits(family, variant, kit_name):
    case = oracle(family, variant)
    module = case.build(kit_name)
    longest = 300 if getattr(case.model.config, "max_position_embeddings", 0) > 300 else 31
    # a text that is too short for all the pooling is an error of transformers'
    for length in (5, 6, longest) if family == "funnel" else (1, 2, longest):
        ids = np.random.default_rng(length).integers(5, 120, (1, length))
        batch = case.ended({"input_ids": ids})
        ours = run(kit_name, module, batch)
        assert difference(ours, case.reference(batch).logits) <= TOLERANCE


@pytest.mark.parametrize("kit_name", KITS[1:])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", supported())
def test_computing_in_half_precision_stays_near_and_finite(family, dtype, kit_name):
    case = oracle(family, "plain")
    batch = case.batch()
    module = case.build(kit_name, dtype=dtype)
    with torch.no_grad():
        logits = module(**native(kit_name, batch))
    assert dtype in str(logits.dtype)
    (ours,) = get_kit(kit_name).arrays({"logits": logits}).values()
    if ours.dtype.names:
        ours = (ours["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    assert difference(ours, case.reference(batch).logits) <= 0.2


@pytest.mark.parametrize("kit_name", KITS)
@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", supported())
def test_a_checkpoint_in_half_precision_computes_in_float32(family, stored, kit_name):
    case = oracle(family, "plain")
    halved = {k: v.to(getattr(torch, stored)) for k, v in case.model.state_dict().items()}
    reference = case._replace(model=copy.deepcopy(case.model))
    reference.model.load_state_dict({k: v.float() for k, v in halved.items()})
    tensors = {k: _stored(v) for k, v in halved.items()}
    batch = case.batch()
    ours = run(kit_name, case.build(kit_name, tensors, dtype="float32"), batch)
    assert ours.dtype == np.float32
    assert difference(ours, reference.reference(batch).logits) <= TOLERANCE


def _stored(value: Any) -> np.ndarray:
    """As a file's reader hands it over: numpy has no bfloat16."""
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(np.dtype([("bfloat16", "<u2")]))
    return value.numpy()


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize(("family", "variant"), CASES)
def test_parameters_are_named_and_shaped_as_in_the_checkpoint(family, variant, task):
    case = oracle(family, variant, task)
    expected = {name: value.shape for name, value in case.tensors.items()}
    for kit_name in ("numpy", "torch"):
        kit = get_kit(kit_name)
        module = kit.build(case.layer, find(family).config.from_json(case.raw))
        assert kit.parameters(module) == expected


@pytest.mark.parametrize("family", supported())
def test_what_a_kit_exports_is_what_it_loaded(family):
    case = oracle(family, "plain")
    for kit_name in ("numpy", "torch"):
        exported = get_kit(kit_name).export(case.build(kit_name))
        assert exported.keys() == case.tensors.keys()
        assert all(np.array_equal(exported[name], case.tensors[name]) for name in exported)


@pytest.mark.parametrize("family", supported())
def test_the_torch_model_copies_pickles_compiles_and_exports(family):
    case = traceable(family)
    module, batch = case.build("torch"), native("torch", case.batch())
    expected = module(**batch)
    assert torch.equal(copy.deepcopy(module)(**batch), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(**batch), expected)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(**batch), expected, atol=TOLERANCE)
    torch.compiler.reset()
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens", max=30)
    short = native("torch", case.short(case.batch()))
    if family == "funnel":  # PyTorch cannot tell what half of any length is: of an even one it can
        tokens = torch.export.Dim("pairs", min=2, max=15) * 2
        batch, short = ({n: x[:, : x.shape[1] - 1] for n, x in b.items()} for b in (batch, short))
    shapes = {name: {0: rows, 1: tokens} for name in batch}
    exported = torch.export.export(module, (), batch, dynamic_shapes=shapes).module()
    for given in (batch, short):
        assert torch.allclose(exported(**given), module(**given), atol=TOLERANCE)


@pytest.mark.parametrize("kit_name", KITS[1:])
@pytest.mark.parametrize("family", supported())
def test_gradients_are_those_of_transformers(family, kit_name):
    case = oracle(family, "plain")
    # Not the text of nothing but padding: there transformers has a gradient through the mask.
    batch, labels = (
        {name: value[:4] for name, value in case.batch().items()},
        np.array([0, 1, 2, 1]),
    )
    case.model.zero_grad()
    logits = case.model(**native("torch", batch)).logits
    torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
    expected = {
        name: value.grad.numpy()
        for name, value in case.model.named_parameters()
        if value.grad is not None
    }
    ours = _gradients(kit_name, case, batch, labels)
    assert ours.keys() == expected.keys()
    assert max(np.abs(ours[name] - expected[name]).max() for name in ours) <= 2 * TOLERANCE


def _gradients(kit_name, case, batch, labels) -> dict[str, np.ndarray]:
    kit, module, given = get_kit(kit_name), case.build(kit_name), native(kit_name, batch)
    labels = native(kit_name, {"labels": labels})["labels"]
    if kit_name != "tf":
        kit.cross_entropy(module(**given), labels).backward()
        found = {name: value.grad for name, value in module.named_parameters()}
        return {name: value.numpy() for name, value in found.items() if value is not None}
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = kit.cross_entropy(module(**given), labels)
    seen = {}  # a table that two layers share goes by its first name
    for slot in module.slots():
        variable = getattr(slot.owner, slot.attribute)
        seen.setdefault(id(variable), (slot.name, variable))
    variables = dict(seen.values())
    gradients = tape.gradient(loss, variables)
    found = {name: value for name, value in gradients.items() if value is not None}
    return {name: tf.convert_to_tensor(value).numpy() for name, value in found.items()}


@pytest.mark.tensorflow
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("family", supported())
def test_the_tensorflow_model_runs_as_a_graph_of_unknown_sizes(family, compiled):
    import tensorflow as tf

    case = traceable(family)
    module, batch = case.build("tf"), case.batch()
    expected = case.reference(batch).logits
    signature = {
        name: tf.TensorSpec((None, None, *value.shape[2:]), tf.int32, name=name)
        for name, value in batch.items()
    }
    graph = tf.function(
        lambda given: module(**given), input_signature=[signature], jit_compile=compiled
    )
    assert difference(graph(native("tf", batch)), expected) <= TOLERANCE
    if compiled:
        return  # XLA compiles each size anew: a second one costs seconds and shows nothing more
    short = case.short(batch)
    assert difference(graph(native("tf", short)), case.reference(short).logits) <= TOLERANCE
