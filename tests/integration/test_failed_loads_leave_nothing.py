"""A load that failed leaves the cache as it was: no folders, no locks, nothing to warn of."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hubloader import AutoTokenizer
from hubloader.cache import CacheStore
from hubloader.cache.report import scan_cache_dir
from hubloader.errors import (
    CacheMiss,
    GatedRepository,
    HubloaderError,
    RepositoryNotFound,
    RevisionNotFound,
)
from hubloader.mirror import MirrorServer
from hubloader.types import Entry, RepoId

REPO = RepoId.parse("org/locked")


def everything(root: Path) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), root)
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
    )


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("locked", "open"):
        repo = tmp_path / "hub" / "org" / name
        repo.mkdir(parents=True)
        (repo / "config.json").write_text('{"model_type": "bert"}')
        (repo / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (tmp_path / "hub" / "hub.json").write_text(json.dumps({"gated": ["org/locked"]}))
    with MirrorServer(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setenv("HUBLOADER_RETRY_BUDGET", "0")
        monkeypatch.setenv("HUBLOADER_CONNECT_BUDGET", "0")
        yield server


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("org/locked", {}, GatedRepository),
        ("org/none", {}, RepositoryNotFound),
        ("org/open", {"revision": "never"}, RevisionNotFound),
        ("org/open", {"endpoint": "http://127.0.0.1:9"}, HubloaderError),
        ("org/open", {"local_files_only": True}, CacheMiss),
    ],
    ids=["gated", "no repository", "no revision", "no network", "offline"],
)
def test_a_failed_load_of_what_was_never_cached_leaves_nothing(
    hub, tmp_path, name, options, error
):
    cache = tmp_path / "cache"
    with pytest.raises(error):
        AutoTokenizer.from_pretrained(name, cache_dir=cache, **options)

    assert everything(cache) == []


def test_a_failed_load_beside_cached_repositories_adds_nothing(hub, tmp_path):
    cache = tmp_path / "cache"
    AutoTokenizer.from_pretrained("org/open", cache_dir=cache)
    before = everything(cache)

    with pytest.raises(GatedRepository):
        AutoTokenizer.from_pretrained("org/locked", cache_dir=cache)

    assert everything(cache) == before
    assert scan_cache_dir(cache).warnings == []


def test_a_writer_that_gets_no_byte_leaves_nothing(tmp_path):
    store, wanted = CacheStore(tmp_path), Entry(5, git_sha1="ab" * 20)

    with store.blob_lock(REPO, wanted.etag), store.writer(REPO, wanted):
        pass

    assert everything(tmp_path) == []
