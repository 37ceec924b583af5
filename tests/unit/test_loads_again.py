"""A load that is repeated looks at each file once, and no less carefully than the first did."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest, overwrite

from hubloader import hf_hub_download, snapshot_download, verify
from hubloader.cache import CacheStore
from hubloader.cache.digest import ContentHash
from hubloader.errors import CacheMiss

FILES = {"config.json": content(300, 1), "folder/model.bin": content(5000, 2)}
NAME = str(REPO)


@pytest.fixture
def store(tmp_path):
    store = CacheStore(tmp_path / "hub")
    download(store, manifest(FILES), FILES)
    return store


def load(store: CacheStore, name: str = NAME, **keywords) -> Path:
    return Path(
        snapshot_download(name, cache_dir=store.layout.root, local_files_only=True, **keywords)
    )


@pytest.fixture
def warm(store):
    """A cache of which this process has loaded everything, twice."""
    assert load(store) == load(store)
    return store


def blob_of(store: CacheStore, name: str) -> Path:
    return (store.snapshot_path(REPO, COMMIT) / name).resolve()


def test_a_repeated_load_follows_no_link_by_hand_and_reads_no_stamp(warm, monkeypatch):
    def refuse(*_args, **_keywords):
        raise AssertionError("it was looked at in full")

    monkeypatch.setattr("hubloader.cache.content.pointer_content", refuse)
    monkeypatch.setattr("hubloader.cache.lookup.pointer_content", refuse)
    monkeypatch.setattr("hubloader.cache.stamps.find", refuse)
    monkeypatch.setattr("hubloader.resolve.session.needs", refuse)

    assert (load(warm) / "config.json").read_bytes() == FILES["config.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: overwrite(blob, b""),
        lambda blob: overwrite(blob, FILES["folder/model.bin"][:-1]),
        lambda blob: overwrite(blob, b"x" * 5000),
        lambda blob: blob.unlink(),
    ],
    ids=["emptied", "truncated", "rewritten in the same size", "deleted"],
)
def test_what_is_damaged_between_two_loads_is_not_handed_out(warm, damage):
    damage(blob_of(warm, "folder/model.bin"))

    with pytest.raises(CacheMiss, match=r"folder/model\.bin"):
        load(warm)
    with pytest.raises(CacheMiss):
        hf_hub_download(NAME, "folder/model.bin", cache_dir=warm.layout.root, local_files_only=True)


def test_a_rewrite_that_sets_the_time_back_is_seen_by_its_change_time(warm, monkeypatch):
    blob = blob_of(warm, "config.json")
    before = blob.stat()
    overwrite(blob, FILES["config.json"])
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))

    looks = []
    look = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path: looks.append(path) or look(path))
    load(warm)

    assert warm.layout.repo(REPO).pointer(COMMIT, "config.json") in looks


def test_a_pointer_led_elsewhere_between_two_loads_is_not_followed(warm, tmp_path):
    planted = tmp_path / "planted"
    planted.write_bytes(FILES["config.json"])
    pointer = warm.snapshot_path(REPO, COMMIT) / "config.json"
    blob_of(warm, "config.json").unlink()
    pointer.unlink()
    pointer.symlink_to(planted)

    with pytest.raises(CacheMiss, match=r"config\.json"):
        load(warm)


def test_a_branch_that_moved_is_loaded_where_it_is(warm):
    files = {**FILES, "config.json": content(300, 3)}
    download(warm, manifest(files, commit=LATER), files)

    assert (load(warm) / "config.json").read_bytes() == files["config.json"]


def test_another_purpose_is_another_load(warm):
    blob_of(warm, "folder/model.bin").unlink()

    assert (load(warm, allow_patterns=["*.json"]) / "config.json").is_file()
    with pytest.raises(CacheMiss):
        load(warm)


def test_a_listing_that_grew_is_looked_at_anew(warm):
    files = {**FILES, "more.txt": content(10, 4)}
    warm.write_manifest(manifest(files))

    with pytest.raises(CacheMiss, match=r"more\.txt"):
        load(warm)


def test_always_verifying_hashes_at_each_load(store, monkeypatch):
    monkeypatch.setenv("HUBLOADER_VERIFY", "always")
    load(store)
    hashed = []
    verify = CacheStore.verify_blob

    def count(self, wanted, name, **keywords):
        hashed.append(name)
        return verify(self, wanted, name, **keywords)

    monkeypatch.setattr(CacheStore, "verify_blob", count)
    load(store)

    assert sorted(hashed) == sorted(FILES)


def test_a_file_whose_hash_was_found_wrong_is_trusted_no_more(warm, monkeypatch):
    """Rot under an unchanged size and time is what verify is for; here the hash alone differs."""
    monkeypatch.setattr(ContentHash, "actual", "0" * 64)
    assert not verify([NAME], cache_dir=warm.layout.root).ok

    with pytest.raises(CacheMiss, match="does not match its hash"):
        load(warm)


def test_a_file_that_came_to_lie_before_a_base_cache_is_the_one_returned(
    store, monkeypatch, tmp_path
):
    top = CacheStore(tmp_path / "top")
    monkeypatch.setenv("HUBLOADER_BASE_CACHES", store.layout.root)
    name = "config.json"

    def path():
        return hf_hub_download(NAME, name, cache_dir=top.layout.root, local_files_only=True)

    assert path() == path() == store.layout.repo(REPO).pointer(COMMIT, name)
    download(top, manifest(FILES), FILES)
    Path(top.layout.repo(REPO).tree(COMMIT)).unlink()  # the listing alone would tell
    assert path() == top.layout.repo(REPO).pointer(COMMIT, name)
