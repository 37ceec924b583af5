from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weight_files import entry, safetensors_bytes

from hubloader.errors import CorruptFile, FormatError, UnsafeFile, UnsupportedDtype
from hubloader.formats.base import dtype_word, numpy_dtype
from hubloader.formats.safetensors import SafetensorsFile, read_header, save_safetensors

GOOD = {"a": entry([2, 3], 0, 24), "b": entry([], 24, 28)}


def write(tmp_path, data: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return path


def test_arrays_are_read_by_name_with_their_shape_and_dtype(tmp_path):
    numbers = np.arange(7, dtype=np.float32)
    file = SafetensorsFile(write(tmp_path, safetensors_bytes(GOOD, numbers.tobytes())))

    assert list(file.names()) == ["a", "b"]
    assert file.spec("a").shape == (2, 3)
    assert file.spec("a").dtype == "F32"
    assert file.read("a").tolist() == numbers[:6].reshape(2, 3).tolist()
    assert file.read("b").tolist() == 6.0


def test_an_array_is_a_view_on_the_mapped_file_that_can_be_written_without_changing_it(tmp_path):
    path = write(tmp_path, safetensors_bytes(GOOD, bytes(28)))
    file = SafetensorsFile(path)

    first = file.read("a")
    first[0, 0] = 5

    assert first.flags.writeable
    assert not first.flags.owndata
    assert file.read("a")[0, 0] == 5
    assert SafetensorsFile(path).read("a")[0, 0] == 0


def test_bfloat16_says_itself_what_it_is(tmp_path):
    data = struct.pack("<HH", 0x3F80, 0xC000)
    file = SafetensorsFile(
        write(tmp_path, safetensors_bytes({"x": entry([2], 0, 4, "BF16")}, data))
    )

    array = file.read("x")

    assert array.dtype.names == ("bfloat16",)
    assert (array["bfloat16"].astype("u4") << 16).view("f4").tolist() == [1.0, -2.0]


def test_numbers_of_less_than_a_byte_are_refused_when_read_not_when_opened(tmp_path):
    data = safetensors_bytes({"x": entry([4], 0, 2, "F4"), "y": entry([1], 2, 6)}, bytes(6))
    file = SafetensorsFile(write(tmp_path, data))

    assert file.read("y").shape == (1,)
    with pytest.raises(UnsupportedDtype, match="F4"):
        file.read("x")


ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
DUPLICATE = b"{" + ONE + b"," + ONE + b"}"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"1234", "cut off"),
        (struct.pack("<Q", 2**63) + b"{}", "claims"),
        (struct.pack("<Q", 100) + b"{}", "claims"),
        (safetensors_bytes(b"[]"), "begin"),
        (safetensors_bytes(b"{]"), "JSON"),
        (safetensors_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "JSON"),
        (safetensors_bytes(b'{"\xff":1}'), "JSON"),
        (safetensors_bytes(DUPLICATE, bytes(4)), "duplicate tensor 'a'"),
        (safetensors_bytes({"a": 1}), "no dtype"),
        (safetensors_bytes({"a": entry([1], 0, 4, "F31")}, bytes(4)), "unknown dtype"),
        (safetensors_bytes({"a": entry([-1], 0, 4)}, bytes(4)), "shape"),
        (safetensors_bytes({"a": entry([True], 0, 4)}, bytes(4)), "shape"),
        (safetensors_bytes({"a": entry([2], 0, 4)}, bytes(4)), "cannot take"),
        (safetensors_bytes({"a": entry([2**62, 2**62], 0, 4)}, bytes(4)), "cannot take"),
        (safetensors_bytes({"a": entry([1], 4, 8)}, bytes(8)), "begins at byte 4"),
        (safetensors_bytes({"a": entry([1], 0, 4)}, bytes(8)), "end of the file"),
        (safetensors_bytes({"a": entry([1], 0, 4)}, bytes(2)), "end of the file"),
        (safetensors_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "begins"),
        (safetensors_bytes({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), "begins"),
        (safetensors_bytes({"__metadata__": {"n": 1}}), "metadata"),
        (safetensors_bytes({"__metadata__": []}), "metadata"),
    ],
)
def test_a_file_whose_header_cannot_be_true_is_corrupt(tmp_path, data, says):
    with pytest.raises(CorruptFile, match=says) as caught:
        SafetensorsFile(write(tmp_path, data))

    assert caught.value.filename == "model.safetensors"


def test_a_tensor_of_too_many_axes_is_unsafe(tmp_path):
    data = safetensors_bytes({"a": entry([1] * 17, 0, 4)}, bytes(4))

    with pytest.raises(UnsafeFile, match="17 axes"):
        SafetensorsFile(write(tmp_path, data))


def test_a_header_larger_than_any_honest_one_is_refused_before_it_is_parsed():
    big = struct.pack("<Q", 30_000_000) + b"{" + b" " * 30_000_000

    with pytest.raises(UnsafeFile, match="larger"):
        read_header(big)


def test_a_header_of_too_many_tensors_is_refused_before_it_is_parsed():
    header = b"{" + b'"data_offsets"' * 200_001  # no JSON: a parser would say so
    body = struct.pack("<Q", len(header)) + header + bytes(4 * len(header))

    with pytest.raises(UnsafeFile, match="tensors"):
        read_header(body)


@given(st.binary(max_size=200))
def test_any_header_is_read_or_refused_by_an_error_of_ours(raw):
    data = struct.pack("<Q", len(raw)) + raw

    try:
        found, start = read_header(data)
    except FormatError:
        return
    assert isinstance(found, dict)
    assert start == len(data)


@pytest.mark.parametrize(
    "word", ["BOOL", "U8", "I8", "I16", "F16", "BF16", "I32", "F32", "F64", "I64", "F8_E4M3", "C64"]
)
def test_what_is_saved_is_read_back(tmp_path, word):
    dtype = numpy_dtype(word)
    array = np.frombuffer(bytes(range(dtype.itemsize * 6)), dtype).reshape(2, 3)
    if word == "BOOL":
        array = np.array([[True, False, True]])

    save_safetensors({"x": array, "y.t": array.T}, tmp_path / "m.safetensors", {"format": "pt"})

    file = SafetensorsFile(tmp_path / "m.safetensors")
    assert file.metadata == {"format": "pt"}
    assert file.spec("x").dtype == word == dtype_word(dtype)
    assert file.read("x").tobytes() == array.tobytes()
    assert file.read("y.t").tolist() == array.T.tolist()


def test_saved_tensors_are_aligned_and_the_same_whatever_order_they_came_in(tmp_path):
    tensors = {"b": np.zeros(3, np.float16), "a": np.ones(5, np.float64), "c": np.zeros(1, "i4")}

    save_safetensors(tensors, tmp_path / "1", {})
    save_safetensors(dict(reversed(tensors.items())), tmp_path / "2", {})

    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    file = SafetensorsFile(tmp_path / "1")
    assert all(file.read(name).flags.aligned for name in tensors)


def test_a_failed_save_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "m.safetensors"
    save_safetensors({"a": np.zeros(1, np.float32)}, path, {})
    before = path.read_bytes()

    with pytest.raises(UnsupportedDtype):
        save_safetensors({"a": np.array(["text"])}, path, {})

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize(
    ("metadata", "name", "naming"),
    [
        ({"format": "pt"}, "a.weight", "pt"),
        ({}, "a.weight", "pt"),
        ({"format": "tf"}, "a/kernel:0", "tf"),
        ({}, "a/kernel:0", "tf"),
        ({"format": "flax"}, "a/kernel", "flax"),
    ],
)
def test_whose_names_a_file_uses_is_seen_by_its_metadata_or_the_names(
    tmp_path, metadata, name, naming
):
    save_safetensors({name: np.zeros(1, np.float32)}, tmp_path / "m", metadata)

    assert SafetensorsFile(tmp_path / "m").naming == naming


def test_the_header_is_padded_json_as_the_reference_writes_it(tmp_path):
    save_safetensors({"a": np.zeros(1, np.float32)}, tmp_path / "m", {"format": "pt"})

    raw = (tmp_path / "m").read_bytes()

    (length,) = struct.unpack("<Q", raw[:8])
    assert length % 8 == 0
    assert json.loads(raw[8 : 8 + length])["a"]["data_offsets"] == [0, 4]
