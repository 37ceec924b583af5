from __future__ import annotations

import json

import numpy as np
import pytest

from hubloader.auto.saving import shard_bytes
from hubloader.formats import WeightPolicy, open_weights, save_sharded
from hubloader.resolve.files import DirectoryFiles

TENSORS = {name: np.full(4, number, np.float32) for number, name in enumerate("abcd")}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_fits_one_file_is_one_file(tmp_path):
    save_sharded(TENSORS, tmp_path, max_shard_size=64)

    assert names(tmp_path) == ["model.safetensors"]


def test_what_does_not_fit_is_cut_into_numbered_shards_and_an_index(tmp_path):
    save_sharded(TENSORS, tmp_path, max_shard_size=40)

    assert names(tmp_path) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 64
    read = open_weights(DirectoryFiles(tmp_path), WeightPolicy("numpy"))
    assert {name: read.read(name).tolist() for name in read.names()} == {
        name: array.tolist() for name, array in TENSORS.items()
    }


def test_a_tensor_larger_than_a_shard_has_one_to_itself(tmp_path):
    save_sharded(TENSORS, tmp_path, max_shard_size=1)

    assert len(names(tmp_path)) == 5


def test_a_save_takes_away_what_an_earlier_one_left_and_nothing_else(tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"")
    (tmp_path / "model.fp16.safetensors").write_bytes(b"")

    save_sharded(TENSORS, tmp_path, max_shard_size=40)
    save_sharded(TENSORS, tmp_path, max_shard_size=100)
    assert names(tmp_path) == ["model.fp16.safetensors", "model.safetensors", "other.safetensors"]

    save_sharded(TENSORS, tmp_path, max_shard_size=40)
    assert "model.safetensors" not in names(tmp_path)


def test_a_variant_has_its_own_names(tmp_path):
    save_sharded(TENSORS, tmp_path, max_shard_size=40, variant="fp16")

    assert names(tmp_path) == [
        "model.fp16-00001-of-00002.safetensors",
        "model.fp16-00002-of-00002.safetensors",
        "model.safetensors.index.fp16.json",
    ]
    policy = WeightPolicy("numpy", variant="fp16")
    assert len(list(open_weights(DirectoryFiles(tmp_path), policy).names())) == 4


@pytest.mark.parametrize(
    ("size", "expected"),
    [(5, 5), ("5B", 5), ("5KB", 5000), ("5 MB", 5 * 10**6), ("50GB", 5 * 10**10), ("2KiB", 2048)],
)
def test_sizes_are_read_as_people_write_them(size, expected):
    assert shard_bytes(size) == expected


@pytest.mark.parametrize("size", [0, -1, "", "big", "0MB", "1TBB", None])
def test_what_is_no_size_is_an_error(size):
    with pytest.raises(ValueError, match="max_shard_size"):
        shard_bytes(size)
