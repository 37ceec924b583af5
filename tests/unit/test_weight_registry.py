from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from weight_files import one_tensor, torch_zip

from hubloader.errors import CorruptFile, EntryNotFound, PolicyRefused, UnsafeFile
from hubloader.formats import WeightPolicy, choose_weights, open_weights, save_safetensors
from hubloader.resolve.files import DirectoryFiles

ALL = ("model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack")


def folder(tmp_path, *names: str) -> DirectoryFiles:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    return DirectoryFiles(tmp_path)


def shards(tmp_path, weight_map, made=("model-1.safetensors", "model-2.safetensors")):
    for number, name in enumerate(made):
        save_safetensors({f"w{number}": np.full(2, number, np.float32)}, tmp_path / name, {})
    index = {"metadata": {"total_size": 16}, "weight_map": weight_map}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return DirectoryFiles(tmp_path)


@pytest.mark.parametrize(
    ("policy", "names", "chosen"),
    [
        (WeightPolicy("torch"), ALL, "model.safetensors"),
        (WeightPolicy("tf"), ALL, "model.safetensors"),
        (WeightPolicy("torch"), ALL[1:], "pytorch_model.bin"),
        (WeightPolicy("tf"), ALL[1:], "tf_model.h5"),
        (WeightPolicy("numpy"), ALL[1:], "pytorch_model.bin"),
        (WeightPolicy("torch"), ALL[2:], "tf_model.h5"),
        (WeightPolicy("torch"), ALL[3:], "flax_model.msgpack"),
        (WeightPolicy("torch", use_safetensors=False), ALL, "pytorch_model.bin"),
        (WeightPolicy("torch", only="tf"), ALL, "tf_model.h5"),
        (WeightPolicy("torch", only="flax"), ALL, "flax_model.msgpack"),
        (WeightPolicy("tf", only="pt"), ALL[1:], "pytorch_model.bin"),
        (WeightPolicy("torch", only="tf"), ALL[:1], "model.safetensors"),
        (
            WeightPolicy("torch", variant="fp16"),
            (*ALL, "model.fp16.safetensors"),
            "model.fp16.safetensors",
        ),
        (
            WeightPolicy("torch"),
            ("model.safetensors.index.json", "pytorch_model.bin"),
            "model.safetensors.index.json",
        ),
        (
            WeightPolicy("torch", variant="fp16"),
            ("model.safetensors.index.fp16.json",),
            "model.safetensors.index.fp16.json",
        ),
    ],
)
def test_the_policy_chooses_by_name(tmp_path, policy, names, chosen):
    assert choose_weights(folder(tmp_path, *names), policy).filename == chosen


def test_no_weights_is_an_error_that_names_what_was_looked_for(tmp_path):
    with pytest.raises(EntryNotFound, match=r"model\.safetensors, pytorch_model\.bin"):
        choose_weights(folder(tmp_path, "config.json"), WeightPolicy("torch"))


def test_a_variant_that_is_not_there_is_an_error_that_names_what_is(tmp_path):
    with pytest.raises(EntryNotFound, match=r"model\.fp16\.safetensors.*it has model\.safetensors"):
        choose_weights(folder(tmp_path, *ALL), WeightPolicy("torch", variant="fp16"))


def test_demanding_safetensors_where_there_are_none_is_refused(tmp_path):
    with pytest.raises(PolicyRefused, match=r"only pytorch_model\.bin"):
        choose_weights(folder(tmp_path, ALL[1]), WeightPolicy("torch", use_safetensors=True))


def test_a_pickle_called_safetensors_is_refused_and_not_read(tmp_path):
    torch_zip(tmp_path / "model.safetensors", one_tensor(), {"0": bytes(24)})

    with pytest.raises(UnsafeFile, match="holds a PyTorch pickle"):
        open_weights(DirectoryFiles(tmp_path), WeightPolicy("torch"))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "git-lfs"),
        ("model.safetensors", b"<!DOCTYPE html><html>", "is no safetensors file"),
        ("pytorch_model.bin", b"\x89HDF\r\n\x1a\n" + bytes(30), "holds h5"),
        ("tf_model.h5", b"0123456789", "is no h5 file"),
    ],
)
def test_content_of_another_kind_than_the_name_says_is_corrupt(tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)

    with pytest.raises(CorruptFile, match=says):
        open_weights(DirectoryFiles(tmp_path), WeightPolicy("torch"))


def test_a_safetensors_file_whose_length_looks_like_a_pickle_is_read(tmp_path):
    tensors = {"w": np.zeros(2, np.float32)}
    save_safetensors(tensors, tmp_path / "model.safetensors", {"note": ""})
    (length,) = struct.unpack("<Q", (tmp_path / "model.safetensors").read_bytes()[:8])
    note = "x" * (0x0280 - length)
    save_safetensors(tensors, tmp_path / "model.safetensors", {"note": note})
    assert (tmp_path / "model.safetensors").read_bytes().startswith(b"\x80\x02")

    weights = open_weights(DirectoryFiles(tmp_path), WeightPolicy("torch"))

    assert weights.read("w").tolist() == [0, 0]


def test_shards_are_read_as_one_checkpoint(tmp_path):
    files = shards(tmp_path, {"w0": "model-1.safetensors", "w1": "model-2.safetensors"})

    weights = open_weights(files, WeightPolicy("numpy"))

    assert list(weights.names()) == ["w0", "w1"]
    assert weights.read("w1").tolist() == [1, 1]
    assert weights.describe() == "model.safetensors.index.json (2 shards)"


def test_missing_shards_are_named_all_at_once(tmp_path):
    files = shards(tmp_path, {"a": "model-8.safetensors", "b": "model-9.safetensors"})

    with pytest.raises(EntryNotFound, match=r"model-8\.safetensors, model-9\.safetensors"):
        open_weights(files, WeightPolicy("numpy"))


def test_tensors_that_their_shard_does_not_hold_are_named_all_at_once(tmp_path):
    weight_map = {
        "w0": "model-1.safetensors",
        "x": "model-1.safetensors",
        "y": "model-2.safetensors",
    }

    with pytest.raises(CorruptFile, match="x, y"):
        open_weights(shards(tmp_path, weight_map), WeightPolicy("numpy"))


@pytest.mark.parametrize(
    "shard",
    [
        "evil.bin",
        "../outside.safetensors",
        "/abs.safetensors",
        "a\\b.safetensors",
        "C:x.safetensors",
        "./model-1.safetensors",
        "con.safetensors",
        "",
        "a\x00.safetensors",
        "x" * 300 + ".safetensors",
    ],
)
def test_an_index_may_only_name_files_of_its_own_format_below_its_folder(tmp_path, shard):
    with pytest.raises(UnsafeFile, match="shards it must not"):
        open_weights(shards(tmp_path, {"w0": shard}), WeightPolicy("numpy"))


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "JSON"),
        ("[]", "no weight_map"),
        ("null", "no weight_map"),
        ('{"weight_map": {}}', "no weight_map"),
        ('{"weight_map": {"w": null}}', "names no shard"),
        ('{"weight_map": "w"}', "no weight_map"),
        ('{"a":' * 100_000, "JSON"),
    ],
)
def test_a_malformed_index_is_corrupt(tmp_path, index, says):
    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(CorruptFile, match=says):
        open_weights(DirectoryFiles(tmp_path), WeightPolicy("numpy"))


def test_an_index_without_metadata_is_fine(tmp_path):
    shards(tmp_path, {})
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"w0": "model-1.safetensors"}}'
    )

    weights = open_weights(DirectoryFiles(tmp_path), WeightPolicy("numpy"))

    assert weights.read("w0").tolist() == [0, 0]
