"""Every weight format gives the same tensors, named, specified and read alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
from weight_files import flax_array, msgpack, one_tensor, torch_zip

from hubloader.formats import WeightPolicy, open_weights, save_safetensors
from hubloader.resolve.files import DirectoryFiles

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def write_safetensors(folder):
    save_safetensors({"w": ARRAY}, folder / "model.safetensors", {"format": "pt"})


def write_sharded(folder):
    save_safetensors({"w": ARRAY}, folder / "model-00001-of-00001.safetensors", {})
    index = {"weight_map": {"w": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_zip_pickle(folder):
    torch_zip(folder / "pytorch_model.bin", one_tensor(), {"0": ARRAY.tobytes()})


def write_sharded_pickle(folder):
    torch_zip(folder / "pytorch_model-00001-of-00001.bin", one_tensor(), {"0": ARRAY.tobytes()})
    index = {"weight_map": {"w": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def write_h5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.create_dataset("w", data=ARRAY)


def write_flax(folder):
    (folder / "flax_model.msgpack").write_bytes(msgpack({"w": flax_array(ARRAY)}))


WRITERS = [
    write_safetensors,
    write_sharded,
    write_zip_pickle,
    write_sharded_pickle,
    write_h5,
    write_flax,
]


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__.removeprefix("write_"))
def weights(request, tmp_path):
    request.param(tmp_path)
    return open_weights(DirectoryFiles(tmp_path), WeightPolicy("torch"))


def test_names_are_listed(weights):
    assert list(weights.names()) == ["w"]


def test_a_spec_tells_dtype_and_shape_without_reading(weights):
    spec = weights.spec("w")

    assert (spec.name, spec.dtype, spec.shape) == ("w", "F32", (2, 3))


def test_an_array_is_what_was_written(weights):
    array = weights.read("w")

    assert array.dtype == np.float32
    assert np.array_equal(array, ARRAY)


def test_an_array_can_be_written_without_changing_the_file(weights):
    first = weights.read("w")
    first[...] = 0

    assert first.flags.writeable
    assert not np.shares_memory(first, ARRAY)


def test_no_array_is_copied_from_the_file(weights):
    assert weights.read("w").base is not None


def test_a_name_that_is_not_there_is_a_key_error(weights):
    with pytest.raises(KeyError):
        weights.spec("x")
    with pytest.raises(KeyError):
        weights.read("x")


def test_it_describes_itself_by_its_file(weights):
    assert weights.describe().startswith(("model", "pytorch_model", "tf_model", "flax_model"))


@pytest.mark.torch
@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_read_to_the_bit(tmp_path, legacy):
    import torch

    whole = torch.randn(6, 4)
    state = {
        "plain": whole,
        "turned": whole.t(),
        "part": whole[2:4, 1:3],
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "double": torch.randn(2).double(),
        "count": torch.arange(5),
        "small": torch.arange(5, dtype=torch.int8),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "expanded": torch.arange(8).expand((1, -1)),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
    }
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)

    read = open_weights(DirectoryFiles(tmp_path), WeightPolicy("torch"))

    assert list(read.names()) == list(state)
    for name, tensor in state.items():
        array = read.read(name)
        if name == "brain":
            back = torch.from_numpy(array["bfloat16"].view("i2")).view(torch.bfloat16)
        else:
            back = torch.from_numpy(array)
        assert back.dtype == tensor.dtype
        assert torch.equal(back, tensor.detach()), name


@pytest.mark.torch
def test_a_modules_state_dict_with_its_metadata_is_read(tmp_path):
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    torch.save(module.state_dict(), tmp_path / "pytorch_model.bin")

    read = open_weights(DirectoryFiles(tmp_path), WeightPolicy("torch"))

    assert list(read.names()) == list(module.state_dict())


@pytest.mark.oracle
def test_what_the_safetensors_package_writes_is_what_we_write(tmp_path):
    numpy_io = pytest.importorskip("safetensors.numpy")
    tensors = {"b": ARRAY, "a": np.ones(3, np.float16), "c": np.arange(4)}

    numpy_io.save_file(tensors, tmp_path / "theirs", metadata={"format": "pt"})
    save_safetensors(tensors, tmp_path / "ours", {"format": "pt"})

    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
