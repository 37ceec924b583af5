from __future__ import annotations

import json

import numpy as np
import pytest

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.formats import WeightPolicy, open_weights
from hubloader.formats.h5 import H5File
from hubloader.resolve.files import DirectoryFiles

h5py = pytest.importorskip("h5py")

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def made(tmp_path):
    """Hands a function an open file to fill; returns the reader of it."""

    def make(fill):
        path = tmp_path / "tf_model.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return lambda: H5File(path)

    return make


def test_datasets_are_read_by_their_path(made):
    file = made(lambda f: f.create_dataset("dense/model/dense/kernel:0", data=KERNEL))()

    assert list(file.names()) == ["dense/model/dense/kernel:0"]
    assert file.spec("dense/model/dense/kernel:0").shape == (2, 3)
    assert file.read("dense/model/dense/kernel:0").tolist() == KERNEL.tolist()
    assert file.naming == "tf"


def test_compressed_datasets_are_read_too(made):
    file = made(lambda f: f.create_dataset("w", data=KERNEL, compression="gzip", shuffle=True))()

    assert file.read("w").tolist() == KERNEL.tolist()


def test_a_contiguous_dataset_is_mapped_and_can_be_written_in_memory_only(made):
    opened = made(lambda f: f.create_dataset("w", data=KERNEL))

    array = opened().read("w")
    array[0, 0] = 9

    assert opened().read("w")[0, 0] == 0


def external_storage(file):
    file.create_dataset("w", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("w", layout)


def external_link(file):
    file["w"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    file["w"] = h5py.SoftLink("/w")


def loop(file):
    group = file.create_group("a")
    group["b"] = group


def text(file):
    file.create_dataset("w", data=["text"])


def references(file):
    file.create_dataset("w", (1,), h5py.ref_dtype)


def compound(file):
    file.create_dataset("w", (1,), [("a", "f4")])


def named_type(file):
    file["w"] = np.dtype("f4")


def sparse(file):
    file.create_dataset("w", (2**30,), "f4", chunks=(2**20,))


def deep(file):
    file.create_group("/".join("g" * 40))


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (external_storage, "/etc/passwd"),
        (virtual, "virtual"),
        (external_link, "/etc/passwd"),
        (soft_link, "link"),
        (loop, "linked twice|nested"),
        (text, "no array"),
        (references, "no array"),
        (compound, "no array"),
        (named_type, "neither"),
        (sparse, "larger than the file"),
        (deep, "nested"),
    ],
)
def test_what_reaches_out_of_the_file_or_claims_too_much_is_unsafe(made, fill, says):
    opened = made(fill)

    with pytest.raises(UnsafeFile, match=says) as caught:
        opened()

    assert caught.value.filename == "tf_model.h5"


def test_a_damaged_file_is_corrupt(tmp_path):
    path = tmp_path / "tf_model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))

    with pytest.raises(CorruptFile, match="HDF5"):
        H5File(path)


def test_shards_of_keras_are_read_by_their_own_names(tmp_path):
    for number, name in enumerate(("bert/a/kernel:0", "bert/b/kernel:0"), 1):
        with h5py.File(tmp_path / f"tf_model-0000{number}-of-00002.h5", "w") as file:
            file.create_dataset(name, data=KERNEL * number)
    index = {  # with a level, the model's class, that the shards leave out
        "weight_map": {
            "tf_bert_model/bert/a/kernel:0": "tf_model-00001-of-00002.h5",
            "tf_bert_model/bert/b/kernel:0": "tf_model-00002-of-00002.h5",
        }
    }
    (tmp_path / "tf_model.h5.index.json").write_text(json.dumps(index))

    weights = open_weights(DirectoryFiles(tmp_path), WeightPolicy("tf"))

    assert list(weights.names()) == ["bert/a/kernel:0", "bert/b/kernel:0"]
    assert weights.read("bert/b/kernel:0").tolist() == (KERNEL * 2).tolist()
    assert weights.naming == "tf"
