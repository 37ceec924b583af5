"""Models from a Hub: what is asked, what is fetched, and from which commit."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from weight_files import flax_tree, msgpack

import hubloader
from hubloader.errors import EntryNotFound, HubloaderError, UnknownArchitecture
from hubloader.formats import save_safetensors
from hubloader.mirror import MirrorServer

BERT = "fixtures/bert-tiny-sentiment"
IDS = [[101, 5, 6, 102]]


@pytest.fixture
def root(fixture_hub, tmp_path):
    """A copy of what these tests need, which they may change."""
    for name in (
        "bert-tiny-sentiment",
        "bert-tiny-sharded",
        "bert-tiny-h5",
        "unknown-architecture",
    ):
        shutil.copytree(fixture_hub / "fixtures" / name, tmp_path / "fixtures" / name)
    return tmp_path


@pytest.fixture
def hub(root, monkeypatch):
    with MirrorServer(root, record=True) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def asked(hub):
    """What the endpoint was asked for: the API's listings, and files by name."""
    paths = [request.path for request in hub.requests if request.status not in {302, 307}]
    return [p.rpartition("/")[2] if "/api/" not in p else "listing" for p in paths]


def test_a_cold_load_is_one_listing_and_one_request_for_each_file(hub):
    hubloader.NpAutoModelForSequenceClassification.from_pretrained(BERT)

    found = asked(hub)
    assert found.count("listing") == 1
    assert len(found) == 3


def test_the_second_load_of_a_process_asks_for_nothing(hub):
    load = hubloader.NpAutoModelForSequenceClassification.from_pretrained
    first = load(BERT)
    before = len(hub.requests)

    again = load(BERT)

    assert len(hub.requests) == before
    assert np.array_equal(first(IDS).logits, again(IDS).logits)


def test_the_config_and_the_weights_are_of_one_commit_though_the_branch_moves(hub, root):
    config = root / BERT / "config.json"
    load = hubloader.NpAutoModelForSequenceClassification.from_pretrained
    load(BERT)
    config.write_text(config.read_text().replace('"hidden_size": 32', '"hidden_size": 64'))

    model = load(BERT, revision="main")

    assert model.config.hidden_size == 32


def test_no_weights_are_fetched_for_an_architecture_that_nobody_implements(hub, root):
    weights = root / "fixtures" / "unknown-architecture" / "model.safetensors"
    save_safetensors({"w": np.zeros(4, np.float32)}, weights, {"format": "pt"})

    with pytest.raises(UnknownArchitecture) as caught:
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(
            "fixtures/unknown-architecture"
        )

    assert caught.value.repo_id == "fixtures/unknown-architecture"
    assert "model.safetensors" not in " ".join(r.path for r in hub.requests)


def test_shards_are_fetched_and_read_as_one(hub, root):
    local = root / "fixtures" / "bert-tiny-sharded"

    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
        "fixtures/bert-tiny-sharded"
    )

    same = hubloader.NpAutoModelForSequenceClassification.from_pretrained(local)
    assert np.array_equal(model(IDS).logits, same(IDS).logits)


def test_from_tf_fetches_the_tensorflow_file(hub, root):
    pytest.importorskip("h5py")
    (root / "fixtures" / "bert-tiny-h5" / "model.safetensors").write_bytes(b"not this one")

    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
        "fixtures/bert-tiny-h5", from_tf=True
    )

    assert model(IDS).logits.shape == (1, 3)
    assert "model.safetensors" not in " ".join(r.path for r in hub.requests)


def test_flax_weights_are_fetched_where_there_are_no_others(hub, root):
    source = root / "fixtures" / "bert-tiny-h5"
    expected = hubloader.NpAutoModelForSequenceClassification.from_pretrained(source)
    folder = root / "fixtures" / "bert-tiny-flax"
    folder.mkdir()
    shutil.copy(source / "config.json", folder)
    tree = flax_tree(expected.nn.export(expected))
    (folder / "flax_model.msgpack").write_bytes(msgpack(tree))

    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
        "fixtures/bert-tiny-flax"
    )

    assert len(asked(hub)) == 3
    assert np.abs(model(IDS).logits - expected(IDS).logits).max() < 1e-6


def test_offline_after_a_load_everything_is_there(hub, monkeypatch):
    load = hubloader.NpAutoModelForSequenceClassification.from_pretrained
    online = load(BERT)
    before = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    offline = load(BERT)

    assert len(hub.requests) == before
    assert np.array_equal(online(IDS).logits, offline(IDS).logits)
    assert np.array_equal(online(IDS).logits, load(BERT, local_files_only=True)(IDS).logits)


def test_a_name_with_a_revision_loads_that_revision(hub, root):
    shutil.copytree(root / BERT, root / f"{BERT}@three")

    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(f"{BERT}@three")

    assert model.config.name_or_path == f"{BERT}@three"
    assert model(IDS).logits.shape == (1, 3)


def test_a_subfolder_is_read(hub, root):
    shutil.copytree(root / BERT, root / "fixtures" / "nested" / "inner")

    model = hubloader.NpAutoModelForSequenceClassification.from_pretrained(
        "fixtures/nested", subfolder="inner"
    )

    assert model(IDS).logits.shape == (1, 3)


def test_an_error_names_the_repository_and_the_revision(hub, root):
    (root / BERT / "model.safetensors").unlink()

    with pytest.raises(EntryNotFound) as caught:
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(BERT, revision="main")

    assert caught.value.repo_id == BERT


def test_a_damaged_file_is_an_error_of_ours_and_leaves_the_other_files(hub, root):
    (root / BERT / "model.safetensors").write_bytes(b"\x00" * 64)

    with pytest.raises(HubloaderError) as caught:
        hubloader.NpAutoModelForSequenceClassification.from_pretrained(BERT)

    assert caught.value.filename == "model.safetensors"
    assert hubloader.AutoConfig.from_pretrained(BERT).model_type == "bert"


def test_a_forced_load_resolves_once_and_fetches_each_file_once(hub):
    load = hubloader.NpAutoModelForSequenceClassification.from_pretrained
    load(BERT)
    before = len(asked(hub))

    load(BERT, force_download=True)

    found = asked(hub)[before:]
    assert found.count("listing") == 1
    assert found.count("config.json") == 1
    assert len(found) == 3
