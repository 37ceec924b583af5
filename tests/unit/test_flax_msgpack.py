from __future__ import annotations

import numpy as np
import pytest
from weight_files import flax_array, msgpack

from hubloader.errors import CorruptFile, FormatError, UnsafeFile
from hubloader.formats.flax_msgpack import FlaxFile

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
TREE = {"bert": {"0": {"kernel": flax_array(KERNEL)}, "scale": flax_array(np.ones(2, "f2"))}}


def write(tmp_path, data: bytes):
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(data)
    return path


def test_nested_maps_become_names_with_slashes(tmp_path):
    file = FlaxFile(write(tmp_path, msgpack(TREE)))

    assert list(file.names()) == ["bert/0/kernel", "bert/scale"]
    assert file.spec("bert/scale").dtype == "F16"
    assert file.read("bert/0/kernel").tolist() == KERNEL.tolist()
    assert not file.read("bert/0/kernel").flags.owndata
    assert file.naming == "flax"


def test_an_array_in_chunks_is_joined(tmp_path):
    flat = KERNEL.reshape(-1)
    chunked = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 2, "1": 3},
        "chunks": {"0": flax_array(flat[:4]), "1": flax_array(flat[4:])},
    }

    file = FlaxFile(write(tmp_path, msgpack({"w": chunked})))

    assert file.spec("w").shape == (2, 3)
    assert file.read("w").tolist() == KERNEL.tolist()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xde\xff\xff",
        msgpack(TREE) + b"\x00",
        msgpack({"w": (1, msgpack([[2], "float32", bytes(4)]))}),
        msgpack({"w": (1, msgpack([[1], "object", bytes(8)]))}),
        msgpack({"w": (1, msgpack(["x", "float32", bytes(4)]))}),
        msgpack({"w": (1, msgpack([[1], "float32"]))}),
        msgpack({"w": (1, msgpack([[1], "float32", bytes(4)]) + b"\x00")}),
        b"\xde\x00\x02" + b"\xd9\x01a\x01" * 2,
        msgpack({"w": {"__msgpack_chunked_array__": True, "shape": {"0": 2}, "chunks": {}}}),
        b"\xa2\xff\xff",
    ],
)
def test_a_damaged_file_is_corrupt(tmp_path, data):
    with pytest.raises(CorruptFile):
        FlaxFile(write(tmp_path, data))


def test_maps_nested_too_deep_are_unsafe(tmp_path):
    with pytest.raises(UnsafeFile, match="nested"):
        FlaxFile(write(tmp_path, b"\x81\x01" * 10_000 + b"\x01"))


def test_every_truncation_is_an_error_of_ours(tmp_path):
    whole = msgpack(TREE)
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            FlaxFile(write(tmp_path, whole[:length]))
