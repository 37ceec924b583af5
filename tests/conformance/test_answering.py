"""Answers by beams, on pages and behind questions: classes that no Auto class chooses, and calls.

From a checkpoint of transformers' by the class's name, on every backend, against transformers.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from family_sizes import has, sized

import hubloader
from hubloader.errors import UnsupportedTask

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.torch, pytest.mark.oracle]

TOLERANCE = 1e-5
BACKENDS = {"torch": "", "numpy": "Np", "tf": "TF"}
KITS = ["torch", "numpy", pytest.param("tf", marks=pytest.mark.tensorflow)]
BEAMS = ["XLNetForQuestionAnswering", "XLMForQuestionAnswering", "FlaubertForQuestionAnswering"]
FAMILIES = dict(zip(BEAMS, ("xlnet", "xlm", "flaubert"), strict=True))
FAMILIES |= {"LayoutLMForQuestionAnswering": "layoutlm", "BigBirdForQuestionAnswering": "big_bird"}
SMALL = {
    "vocab_size": 90,
    "num_labels": 2,
    "start_n_top": 4,
    "end_n_top": 3,
    "pad_token_id": 0,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "max_2d_position_embeddings": 100,
}
RNG = np.random.default_rng(3)
MASK = np.ones((3, 11), int)
MASK[1, 7:] = MASK[2, :4] = 0
BATCH = {"input_ids": np.where(MASK, RNG.integers(5, 60, MASK.shape), 0), "attention_mask": MASK}
IMPOSSIBLE = np.zeros(MASK.shape, np.float32)
IMPOSSIBLE[:, :3] = IMPOSSIBLE[0, 8] = 1
MORE = {
    "nothing": {},
    "impossible tokens": {"p_mask": IMPOSSIBLE},
    "types, another token that tells": {
        "token_type_ids": RNG.integers(0, 2, MASK.shape),
        "cls_index": np.array([0, 5, 10]),
    },
}
ENDS = {"start_positions": np.array([4, 5, 9]), "end_positions": np.array([6, 5, 10])}


@functools.cache
def reference(name: str) -> Any:
    torch.manual_seed(0)
    family = FAMILIES[name]
    defaults = transformers.AutoConfig.for_model(family)
    sizes = {key: value for key, value in SMALL.items() if has(defaults, key)} | sized(family, 16)
    config = transformers.AutoConfig.for_model(family, **sizes)
    model = getattr(transformers, name)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    @functools.cache
    def saved(name: str) -> Any:
        place = tmp_path_factory.mktemp(name)
        reference(name).save_pretrained(place)
        return place

    return saved


def tensors(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.tensor(value) for name, value in batch.items()}


def ours(backend: str, name: str, folder: Any) -> Any:
    return getattr(hubloader, BACKENDS[backend] + name).from_pretrained(folder(name))


def call(model: Any, backend: str, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = model(**(tensors(batch) if backend == "torch" else batch))
    return {key: np.asarray(value) for key, value in found.items()}


def places(index: np.ndarray, alike: bool) -> np.ndarray:
    """Tokens of each text; padding as -1 where all of it is the same: any of it may be chosen."""
    if not alike:
        return index
    return np.where(np.take_along_axis(MASK, index, 1) == 1, index, -1)


def compare(found: dict[str, np.ndarray], expected: Any, *, alike: bool = False) -> None:
    known = {k: torch.stack(v) if isinstance(v, tuple) else v for k, v in expected.items()}
    assert list(found) == list(known)
    for key, value in known.items():
        assert found[key].shape == value.shape
        if key.endswith("index"):
            assert np.array_equal(places(found[key], alike), places(value.numpy(), alike))
        else:
            assert np.abs(found[key] - value.numpy()).max() <= TOLERANCE


@pytest.mark.parametrize("backend", KITS)
@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("name", BEAMS)
def test_beams_are_those_of_transformers(name, more, backend, folder):
    batch = {**BATCH, **MORE[more]}
    with torch.no_grad():
        expected = reference(name)(**tensors(batch))
    found = call(ours(backend, name, folder), backend, batch)
    compare(found, expected, alike=not name.startswith("XLNet"))  # XLM's padding is zeros


@pytest.mark.parametrize("backend", KITS)
@pytest.mark.parametrize("told", ["ends", "that there is none", "impossible tokens"])
@pytest.mark.parametrize("name", BEAMS)
def test_what_beams_learn_from_is_what_it_is_in_transformers(name, told, backend, folder):
    batch = {**BATCH, **ENDS}
    if told == "that there is none":
        batch |= {"cls_index": np.array([0, 5, 10])}
        batch |= {"is_impossible": np.array([0.0, 1.0, 1.0], np.float32)}
    if told == "impossible tokens":
        batch["p_mask"] = IMPOSSIBLE
    with torch.no_grad():
        expected = reference(name)(**tensors(batch))
    found = call(ours(backend, name, folder), backend, batch)
    assert list(found) == list(expected)
    np.testing.assert_allclose(found["loss"], expected.loss, rtol=TOLERANCE)


@pytest.mark.parametrize("name", BEAMS)
def test_gradients_of_beams_are_those_of_transformers(name, folder):
    told = {"cls_index": np.array([0, 5, 10]), "is_impossible": np.array([0.0, 1.0, 1.0])}
    batch = tensors({**BATCH, **ENDS, **told})
    model, theirs = ours("torch", name, folder), reference(name)
    theirs.zero_grad()
    theirs(**batch).loss.backward()
    model(**batch).loss.backward()
    expected = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for key, gradient in found.items():
        assert torch.allclose(gradient, expected[key], rtol=1e-3, atol=TOLERANCE), key


@pytest.mark.parametrize("name", BEAMS)
def test_what_is_saved_is_loaded_by_transformers_and_by_its_own_class(name, folder, tmp_path):
    model = ours("torch", name, folder)
    model.save_pretrained(tmp_path)
    back, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(back) is type(reference(name))
    assert back.config.architectures == [name]


@pytest.mark.parametrize("name", BEAMS)
def test_the_auto_class_chooses_the_simple_head_as_in_transformers(name, folder):
    theirs, info = transformers.AutoModelForQuestionAnswering.from_pretrained(
        folder(name), output_loading_info=True
    )
    with pytest.warns(UserWarning, match="made new, at random"):
        model, report = hubloader.AutoModelForQuestionAnswering.from_pretrained(
            folder(name), output_loading_info=True
        )
    assert type(model).__name__ == type(theirs).__name__ == f"{name}Simple"
    assert report["missing_keys"] == set(info["missing_keys"])


@pytest.mark.tensorflow
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_beams_run_as_a_graph_of_unknown_sizes(compiled, folder):
    import tensorflow as tf

    model = ours("tf", "XLMForQuestionAnswering", folder)
    spec = {name: tf.TensorSpec((None, None), tf.int32, name=name) for name in BATCH}
    graph = tf.function(
        lambda given: dict(model(given)), input_signature=[spec], jit_compile=compiled
    )
    given = {name: tf.constant(value, tf.int32) for name, value in BATCH.items()}
    with torch.no_grad():
        expected = reference("XLMForQuestionAnswering")(**tensors(BATCH))
    compare({key: value.numpy() for key, value in graph(given).items()}, expected, alike=True)


def test_beams_compile_and_export(folder):
    model, given = ours("torch", "XLNetForQuestionAnswering", folder), tensors(BATCH)
    expected = model(**given)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(**given)
    torch.compiler.reset()
    exported = torch.export.export(model, (), given).module()(**given)
    for found in (compiled, exported):
        assert torch.equal(found.end_top_index, expected.end_top_index)
        assert torch.allclose(found.cls_logits, expected.cls_logits, atol=TOLERANCE)


@pytest.mark.parametrize("backend", KITS)
def test_a_page_answers_as_in_transformers(backend, folder):
    name = "LayoutLMForQuestionAnswering"
    corners = np.sort(RNG.integers(0, 100, (*MASK.shape, 2, 2)), axis=2)
    batch = {**BATCH, "bbox": corners.reshape(*MASK.shape, 4), **ENDS}
    with torch.no_grad():
        expected = reference(name)(**tensors(batch))
    model = ours(backend, name, folder)
    compare(call(model, backend, batch), expected)
    with pytest.raises(UnsupportedTask):  # transformers' refuses it too
        hubloader.AutoModelForQuestionAnswering.from_pretrained(folder(name))


@pytest.mark.parametrize("backend", KITS)
def test_big_bird_learns_answers_behind_the_question(backend, folder):
    name = "BigBirdForQuestionAnswering"
    batch = {**BATCH, **ENDS}
    batch["input_ids"] = np.where(np.arange(11) == 2, 66, batch["input_ids"])
    with torch.no_grad():
        expected = reference(name)(**tensors(batch))
    found = call(ours(backend, name, folder), backend, batch)
    np.testing.assert_allclose(found["loss"], expected.loss, rtol=TOLERANCE)
    for key in ("start_logits", "end_logits"):
        theirs = expected[key].numpy()
        assert np.array_equal(found[key] < -1e5, theirs < -1e5)
        assert np.abs(found[key] - theirs)[theirs > -1e5].max() <= TOLERANCE


@pytest.mark.parametrize("lengths", [False, True], ids=["no lengths", "lengths"])
def test_big_bird_answers_of_embeddings_that_hide_where_a_question_ends(lengths, folder):
    name = "BigBirdForQuestionAnswering"
    with torch.no_grad():
        words = reference(name).get_input_embeddings()(torch.tensor(BATCH["input_ids"]))
    batch = {"inputs_embeds": words, "attention_mask": torch.tensor(MASK)}
    if lengths:
        batch["question_lengths"] = torch.tensor([[2], [4], [5]])
    with torch.no_grad():
        expected = reference(name)(**batch)
        found = ours("torch", name, folder)(**batch)
    for key in ("start_logits", "end_logits"):
        theirs = expected[key]
        assert (found[key] - theirs)[theirs > -1e5].abs().max() <= TOLERANCE
