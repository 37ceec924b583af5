"""Some 170 folders that are no good, through the front door: each gets its error, named, at once.

The folders are generated. Every one must end in an error of hubloader's own, of the class that is
expected, that names the model; nothing runs, and nothing large is allocated on the way.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from weight_files import (
    Pickle,
    entry,
    flax_array,
    msgpack,
    one_tensor,
    safetensors_bytes,
    torch_zip,
)

import hubloader
from hubloader.errors import (
    CorruptFile,
    EntryNotFound,
    FormatError,
    HubloaderError,
    PolicyRefused,
    RemoteCodeRefused,
    UnknownArchitecture,
    UnsafeFile,
    UnsupportedArchitecture,
    UnsupportedDtype,
    WeightsMismatch,
)

SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}
LIMIT = 64 * 2**20  # bytes that reading a bad folder may take
HEADER_LENGTH = struct.Struct("<Q")


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    config = hubloader.AutoConfig.for_model("bert", **SIZES)
    hubloader.NpAutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(good, tmp_path):
    for name, data in good.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def refused(folder, error, **options):
    """Load a bad folder; the error must be of a class, name the folder, and cost little."""
    tracemalloc.start()
    try:
        with pytest.raises(HubloaderError) as caught:
            hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, error), repr(caught.value)
    assert caught.value.repo_id == str(folder)
    assert "\n" not in caught.value.message
    assert peak < LIMIT
    return caught.value


def weights(folder, name, data):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(data)


# config.json

WRONG = (None, "text", -1, 0, 1.5, True, [], {}, 2**40, float("nan"))
INTEGERS = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size")
CONFIG_VALUES = [
    *((key, value) for key in INTEGERS for value in WRONG),
    *(("num_hidden_layers", value) for value in (-1, 10**6, "2", 1.0, None, [2])),
    *(("layer_norm_eps", value) for value in ("small", float("inf"), [], True, None)),
    *(("hidden_dropout_prob", value) for value in (-0.1, 1.5, "0.1", None, [])),
    *(("hidden_act", value) for value in ("evil", "os.system", 5, None, ["gelu"])),
    *(("problem_type", value) for value in ("guess", 5, [], True)),
    *(("id2label", value) for value in ([], "x", 5, {"x": "y"}, {}, {"-1": "a"})),
    *(("label2id", value) for value in ([], {"a": "b"}, "x")),
    *(("dtype", value) for value in ("load", "int8", 5, "float8_e4m3fn")),
    ("pad_token_id", "zero"),
    ("pad_token_id", 10**30),
]


@pytest.mark.parametrize(("key", "value"), CONFIG_VALUES, ids=lambda v: str(v)[:24])
def test_a_value_that_cannot_be(folder, key, value):
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, key: value}))

    error = refused(folder, CorruptFile)

    assert error.filename == "config.json"
    assert key in error.message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model_type": "weathernet"}, UnknownArchitecture),
        ({"model_type": "../../etc/passwd"}, UnknownArchitecture),
        ({"model_type": "os"}, UnknownArchitecture),
        ({"model_type": ""}, None),
        ({"model_type": "weathernet", "auto_map": {"AutoModel": "m.X"}}, RemoteCodeRefused),
        ({"hidden_size": 32}, WeightsMismatch),
        ({"vocab_size": 2**27}, CorruptFile),
        ({"vocab_size": 21}, WeightsMismatch),
        ({"num_hidden_layers": 2}, WeightsMismatch),
        ({"num_hidden_layers": 1024}, CorruptFile),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, UnsupportedArchitecture),
        ({"add_cross_attention": True}, UnsupportedArchitecture),
        ({"hidden_act": "xielu"}, UnsupportedArchitecture),
        ({"intermediate_size": 2**20}, WeightsMismatch),
        ({"num_attention_heads": 3}, CorruptFile),
        ({"model_type": "distilbert"}, WeightsMismatch),
        ({"id2label": {str(n): "x" for n in range(9)}}, WeightsMismatch),
    ],
    ids=str,
)
def test_a_config_that_fits_nothing(folder, values, expected):
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, **values}))

    if expected is None:  # the class's name in `architectures` stands in for the model_type
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(folder)
    else:
        refused(folder, expected)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b"[]",
        b'"bert"',
        b'{"a": 1, "a": 2}',
        b"\xff\xfe{\x00}\x00",
        b'{"a": "\xe9"}',
        b"{'model_type': 'bert'}",
        b'{"a":' * 50_000,
        b"<!DOCTYPE html><html>Not found</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    ],
    ids=lambda t: t[:16].decode("latin-1"),
)
def test_a_config_that_is_no_json_object(folder, text):
    (folder / "config.json").write_bytes(text)

    assert refused(folder, CorruptFile).filename == "config.json"


def test_a_config_larger_than_any(folder):
    (folder / "config.json").write_bytes(b'{"a": "' + b"x" * 2_000_000 + b'"}')

    refused(folder, UnsafeFile)


# safetensors


def cut(data, length):
    return data[:length]


def header_of(data):
    (length,) = HEADER_LENGTH.unpack(data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


HEADERS = {
    "renamed": lambda h: {f"x.{k}": v for k, v in h.items()},
    "no shape": lambda h: {**h, FIRST: {"dtype": "F32", "data_offsets": [0, 4]}},
    "negative": lambda h: {**h, FIRST: {**h[FIRST], "shape": [-2]}},
    "another shape": lambda h: {**h, FIRST: {**h[FIRST], "shape": [1, *h[FIRST]["shape"]]}},
    "overlap": lambda h: {**h, FIRST: {**h[FIRST], "data_offsets": [4, 68]}},
    "huge": lambda h: {**h, FIRST: {**h[FIRST], "shape": [2**40]}},
    "null": lambda h: {**h, FIRST: None},
    "dtype": lambda h: {**h, FIRST: {**h[FIRST], "dtype": "F128"}},
    "one gone": lambda h: {k: v for k, v in h.items() if k != FIRST},
    "metadata": lambda h: {**h, "__metadata__": {"format": 1}},
}
FIRST = "bert.encoder.layer.0.output.dense.bias"


@pytest.mark.parametrize("name", HEADERS)
def test_a_safetensors_header_that_is_not_the_files(folder, name):
    path = folder / "model.safetensors"
    header, data = header_of(path.read_bytes())
    path.write_bytes(safetensors_bytes(HEADERS[name](header), data))

    refused(folder, (FormatError, WeightsMismatch))


@pytest.mark.parametrize("word", ["I8", "U8", "F8_E4M3", "I64", "BOOL"])
def test_packed_weights_that_no_config_speaks_of(folder, word):
    path = folder / "model.safetensors"
    header, _ = header_of(path.read_bytes())
    width = 8 if word == "I64" else 1
    shape = [header[FIRST]["shape"][0]]
    kept, at = {}, 0
    for name, spec in header.items():
        if name == "__metadata__":
            continue
        start, end = spec["data_offsets"]
        size = width * shape[0] if name == FIRST else end - start
        dtype = word if name == FIRST else spec["dtype"]
        kept[name] = {"dtype": dtype, "shape": spec["shape"], "data_offsets": [at, at + size]}
        at += size
    path.write_bytes(safetensors_bytes(kept, bytes(at)))

    error = refused(folder, UnsupportedDtype)

    assert FIRST in error.message


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_safetensors_file(folder, share):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])

    assert refused(folder, CorruptFile).filename == "model.safetensors"


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 64,
        b"<!DOCTYPE html><html>",
        b"version https://git-lfs.github.com/spec/v1\n",
        HEADER_LENGTH.pack(2**64 - 1) + b"{}",
        HEADER_LENGTH.pack(2) + b"{}",
        safetensors_bytes({"w": entry([1], 0, 4)}, bytes(4)),
        b"\x89HDF\r\n\x1a\n" + bytes(64),
    ],
    ids=lambda d: repr(d[:12]),
)
def test_something_else_called_safetensors(folder, data):
    (folder / "model.safetensors").write_bytes(data)

    refused(folder, (CorruptFile, WeightsMismatch))


@pytest.mark.parametrize("use", [None, True])
def test_a_pickle_called_safetensors(folder, use):
    torch_zip(folder / "model.safetensors", one_tensor(), {"0": bytes(24)})

    refused(folder, UnsafeFile, use_safetensors=use)


# an index


@pytest.mark.parametrize(
    ("weight_map", "expected"),
    [
        ({"w": "evil.bin"}, UnsafeFile),
        ({"w": "../model.safetensors"}, UnsafeFile),
        ({"w": "/etc/passwd"}, UnsafeFile),
        ({"w": "a\\..\\b.safetensors"}, UnsafeFile),
        ({"w": "C:\\x.safetensors"}, UnsafeFile),
        ({"w": "nul.safetensors"}, UnsafeFile),
        ({"w": "\x00.safetensors"}, UnsafeFile),
        ({"w": "missing.safetensors"}, EntryNotFound),
        ({"ghost": "shard.safetensors"}, CorruptFile),
        ({"w": None}, CorruptFile),
        ({"w": 5}, CorruptFile),
        ({}, CorruptFile),
        ([], CorruptFile),
        (None, CorruptFile),
    ],
    ids=str,
)
def test_an_index_that_promises_what_it_must_not(folder, weight_map, expected):
    (folder / "model.safetensors").rename(folder / "shard.safetensors")
    index = {"metadata": None, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    refused(folder, expected)


# pickles


class Command:
    """What an attacker pickles."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "command",
    [
        Command(os.system, "touch ran"),
        Command(eval, "open('ran', 'w')"),
        Command(exec, "open('ran', 'w')"),
        Command(open, "ran", "w"),
        Command(getattr, "text", "upper"),
    ],
    ids=["system", "eval", "exec", "open", "getattr"],
)
def test_a_pickle_that_would_run_something(folder, monkeypatch, protocol, command):
    monkeypatch.chdir(folder)
    weights(folder, "pytorch_model.bin", b"")
    program = pickle.dumps({"w": command}, protocol)
    torch_zip(folder / "pytorch_model.bin", program, {})

    refused(folder, UnsafeFile)

    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (one_tensor((2**40,), (0,), count=1), UnsafeFile),
        (one_tensor(at=3), CorruptFile),
        (one_tensor(count=2**50), CorruptFile),
        (one_tensor(name="nobody.weight"), WeightsMismatch),
        (Pickle().add("state").done(), CorruptFile),
        (b"\x80\x02" + b"]" * 200_000 + b".", CorruptFile),
        (b"\x80\x02}.", WeightsMismatch),
        (b"garbage", FormatError),
        (b"", CorruptFile),
    ],
    ids=range(9),
)
def test_a_pickle_of_tensors_that_cannot_be(folder, program, expected):
    weights(folder, "pytorch_model.bin", b"")
    torch_zip(folder / "pytorch_model.bin", program, {"0": bytes(24)})

    refused(folder, expected)


def test_a_pickle_that_unpacks_to_a_gigabyte(folder):
    weights(folder, "pytorch_model.bin", b"")
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", one_tensor(count=2**26))
        with archive.open("a/data/0", "w") as record:
            for _ in range(64):
                record.write(bytes(2**22))

    refused(folder, UnsafeFile)


def test_only_a_pickle_where_safetensors_are_demanded(folder):
    weights(folder, "pytorch_model.bin", b"x")

    refused(folder, PolicyRefused, use_safetensors=True)


# the others


@pytest.mark.parametrize(
    "data",
    [
        b"\xde\xff\xff",
        msgpack({"w": flax_array(np.zeros(2, "f4"))}),
        msgpack([1, 2]),
        b"\x81\x01" * 5_000,
        b"",
    ],
    ids=range(5),
)
def test_flax_weights_that_are_none(folder, data):
    weights(folder, "flax_model.msgpack", data)

    refused(folder, (FormatError, WeightsMismatch))


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n" + bytes(99), b"text"], ids=range(3))
def test_keras_weights_that_are_none(folder, data):
    pytest.importorskip("h5py")
    weights(folder, "tf_model.h5", data)

    refused(folder, CorruptFile)


def test_a_folder_without_anything(tmp_path):
    assert refused(tmp_path, EntryNotFound).filename == "config.json"


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()

    refused(folder, EntryNotFound)


def test_code_is_never_wanted(folder):
    refused(folder, RemoteCodeRefused, trust_remote_code=True)
