"""A load that failed leaves the cache as it was: no folders, no locks, nothing to warn of."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import hubloader
from hubloader import AutoConfig, AutoTokenizer
from hubloader.cache import CacheStore
from hubloader.cache.report import scan_cache_dir
from hubloader.errors import (
    CacheMiss,
    CorruptFile,
    GatedRepository,
    HubloaderError,
    RepositoryNotFound,
    RevisionNotFound,
    UnknownArchitecture,
)
from hubloader.mirror import MirrorServer
from hubloader.types import Entry, RepoId

REPO = RepoId.parse("org/locked")


def everything(root: Path) -> dict[str, object] | None:
    """Every folder, link and file below ``root``, as they are; None where it is not there."""
    if not root.exists():
        return None
    paths = [path for path in root.rglob("*") if path != root]
    return {path.relative_to(root).as_posix(): facts_of(path) for path in paths}


def facts_of(path: Path) -> object:
    if path.is_symlink():
        return os.readlink(path)
    return "a folder" if path.is_dir() else (path.read_bytes(), path.stat().st_mtime_ns)


def without_names(tree: dict[str, object]) -> set[str]:
    """A tree's paths with the names of contents and repositories taken out, to compare two."""
    return {
        re.sub(r"--(open|broken|strange)\b", "--NAME", re.sub(r"[0-9a-f]{40}", "HASH", path))
        for path in tree
    }


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("locked", "open"):
        repo = tmp_path / "hub" / "org" / name
        repo.mkdir(parents=True)
        (repo / "config.json").write_text('{"model_type": "bert"}')
        (repo / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    for name, config in (("broken", '{"model_type":'), ("strange", '{"model_type": "zzz"}')):
        (tmp_path / "hub" / "org" / name).mkdir()
        (tmp_path / "hub" / "org" / name / "config.json").write_text(config)
    marks = {"gated": ["org/locked"], "aliases": {"old": "org/open"}}
    (tmp_path / "hub" / "hub.json").write_text(json.dumps(marks))
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
@pytest.mark.parametrize("loader", ["AutoTokenizer", "AutoConfig", "NpAutoModel"])
@pytest.mark.parametrize("before", ["no folder at all", "no folder", "an empty folder"])
def test_a_failed_load_of_what_was_never_cached_leaves_nothing(
    hub, tmp_path, loader, before, name, options, error
):
    home = tmp_path / "home"
    if before != "no folder at all":
        home.mkdir()
    if before == "an empty folder":
        (home / "cache").mkdir()
    was = everything(home)

    with pytest.raises(error):
        getattr(hubloader, loader).from_pretrained(name, cache_dir=home / "cache", **options)

    assert everything(home) == was


@pytest.mark.parametrize("cached", ["org/open", "old"])
def test_a_failed_load_beside_cached_repositories_adds_nothing(hub, tmp_path, cached):
    cache = tmp_path / "cache"
    AutoTokenizer.from_pretrained(cached, cache_dir=cache)
    before = everything(cache)

    with pytest.raises(GatedRepository):
        AutoTokenizer.from_pretrained("org/locked", cache_dir=cache)

    assert everything(cache) == before
    assert scan_cache_dir(cache).warnings == []


@pytest.mark.parametrize(
    ("loader", "name", "error"),
    [
        ("AutoConfig", "org/broken", CorruptFile),
        ("NpAutoModel", "org/broken", CorruptFile),
        ("NpAutoModel", "org/strange", UnknownArchitecture),
    ],
)
def test_a_config_that_will_not_do_leaves_what_a_good_one_leaves(
    hub, tmp_path, loader, name, error
):
    AutoConfig.from_pretrained("org/open", cache_dir=tmp_path / "good")

    with pytest.raises(error):
        getattr(hubloader, loader).from_pretrained(name, cache_dir=tmp_path / "bad")

    tree = everything(tmp_path / "bad")
    assert without_names(tree) == without_names(everything(tmp_path / "good"))
    folders = [path for path, what in tree.items() if what == "a folder"]
    assert [f for f in folders if not any(path.startswith(f"{f}/") for path in tree)] == []
    assert scan_cache_dir(tmp_path / "bad").warnings == []


@pytest.mark.parametrize("name", ["old", "org/open"])
def test_a_rejected_keyword_leaves_a_cached_repository_untouched(hub, tmp_path, name):
    cache = tmp_path / "cache"
    AutoConfig.from_pretrained(name, cache_dir=cache)
    before = everything(cache)

    with pytest.raises(TypeError):
        hubloader.NpAutoModel.from_pretrained(name, cache_dir=cache, outptu_attentions=True)

    assert everything(cache) == before


def test_an_alias_that_is_known_is_not_written_again(tmp_path):
    store, old, new = CacheStore(tmp_path), RepoId.parse("old"), RepoId.parse("org/open")
    store.remember_alias(old, new)
    before = everything(tmp_path)

    store.remember_alias(old, new)
    assert everything(tmp_path) == before

    store.remember_alias(old, RepoId.parse("org/other"))
    assert everything(tmp_path) != before


def test_a_writer_that_gets_no_byte_leaves_nothing(tmp_path):
    store, wanted = CacheStore(tmp_path), Entry(5, git_sha1="ab" * 20)

    with store.blob_lock(REPO, wanted.etag), store.writer(REPO, wanted):
        pass

    assert everything(tmp_path) == {}
