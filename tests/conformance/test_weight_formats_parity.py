"""One model in every format and every framework's naming gives the same logits, in all backends."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from weight_files import flax_tree, msgpack

import hubloader
from hubloader.errors import WeightsMismatch
from hubloader.formats import WeightPolicy, open_weights, save_safetensors
from hubloader.formats.flax_msgpack import FlaxFile
from hubloader.resolve.files import DirectoryFiles

IDS = [[101, 5, 6, 102], [101, 9, 102, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]
FAMILIES = ["bert-tiny", "distilbert-tiny"]
CLOSE = 1e-5  # of any two backends; each has its last bit, 5e-7, by the processor's vectors


@pytest.fixture(
    params=[
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("tensorflow", marks=pytest.mark.tensorflow),
    ]
)
def facade(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    prefix = {"numpy": "Np", "torch": "", "tensorflow": "TF"}[request.param]
    return getattr(hubloader, f"{prefix}AutoModelForSequenceClassification")


@pytest.fixture(params=FAMILIES)
def source(request, fixture_hub):
    return fixture_hub / "fixtures" / f"{request.param}-h5"


@pytest.fixture
def weights(source):
    """The committed tf_model.h5: Keras' own names and layout, as transformers 4 wrote it."""
    return open_weights(DirectoryFiles(source), WeightPolicy("tf"))


@pytest.fixture
def expected(source):
    return logits(hubloader.NpAutoModelForSequenceClassification, source)


@pytest.fixture
def folder(source, tmp_path):
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    return tmp_path


def logits(facade, folder, **options):
    model = facade.from_pretrained(folder, **options)
    if facade.backend != "torch":
        return np.asarray(model(np.array(IDS), attention_mask=np.array(MASK)).logits)
    import torch

    return model(torch.tensor(IDS), torch.tensor(MASK)).logits.detach().numpy()


def pytorch_arrays(folder):
    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    return model.nn.export(model)


@pytest.fixture
def complete(weights):
    pytest.importorskip("h5py")
    return weights


def without_class_level(name):
    layer, _, rest = name.split("/", 2)
    assert rest.startswith(layer)
    return rest


@pytest.mark.parametrize("metadata", [{"format": "tf"}, {}])
def test_safetensors_in_tensorflow_naming_is_converted(
    facade, complete, folder, expected, metadata
):
    arrays = {without_class_level(n): complete.read(n) for n in complete.names()}
    save_safetensors(arrays, folder / "model.safetensors", metadata)

    assert np.abs(logits(facade, folder) - expected).max() < CLOSE


@pytest.mark.parametrize("wrapped", [False, True])
def test_flax_weights_are_converted(facade, source, folder, expected, wrapped):
    tree = flax_tree(pytorch_arrays(source))
    data = msgpack({"params": tree} if wrapped else tree)
    (folder / "flax_model.msgpack").write_bytes(data)

    assert np.abs(logits(facade, folder) - expected).max() < CLOSE
    assert np.abs(logits(facade, folder, from_flax=True) - expected).max() < CLOSE


def test_flax_weights_in_shards_are_read(source, folder, expected):
    tree = flax_tree(pytorch_arrays(source))
    weight_map = {}
    for n, part in enumerate(tree, 1):
        shard = f"flax_model-0000{n}-of-0000{len(tree)}.msgpack"
        (folder / shard).write_bytes(msgpack({part: tree[part]}))
        opened = FlaxFile(folder / shard)
        weight_map |= dict.fromkeys(opened.names(), shard)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "flax_model.msgpack.index.json").write_text(json.dumps(index))
    facade = hubloader.NpAutoModelForSequenceClassification

    assert np.abs(logits(facade, folder) - expected).max() < CLOSE
    assert np.abs(logits(facade, folder, from_flax=True) - expected).max() < CLOSE


def test_from_tf_reads_the_tensorflow_file_where_others_are_too(facade, source, folder, expected):
    arrays = pytorch_arrays(source)
    zeros = {name: np.zeros_like(array) for name, array in arrays.items()}
    save_safetensors(zeros, folder / "model.safetensors", {"format": "pt"})
    (folder / "tf_model.h5").write_bytes((source / "tf_model.h5").read_bytes())

    assert np.abs(logits(facade, folder)).max() == 0
    assert np.abs(logits(facade, folder, from_tf=True) - expected).max() < CLOSE
    assert np.abs(logits(facade, folder, use_safetensors=False) - expected).max() < CLOSE
    with pytest.raises(ValueError, match="only one of"):
        logits(facade, folder, from_tf=True, from_flax=True)


def test_a_variant_is_read_where_it_is_asked_for(facade, source, folder, expected):
    arrays = pytorch_arrays(source)
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    save_safetensors(half, folder / "model.fp16.safetensors", {"format": "pt"})

    found = logits(facade, folder, variant="fp16", dtype="float32")

    assert 0 < np.abs(found - expected).max() < 1e-2


def test_what_tensorflow_names_cannot_place_is_an_error_not_random_weights(
    facade, complete, folder
):
    arrays = {f"x/y/z/{name}": complete.read(name) for name in complete.names()}
    save_safetensors(arrays, folder / "model.safetensors", {"format": "tf"})

    with pytest.raises(WeightsMismatch, match="the encoder lacks"):
        logits(facade, folder)
