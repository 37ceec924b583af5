"""The scan counts every byte once and names what is wrong without losing the rest."""

from __future__ import annotations

import os

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest

from hubloader.cache import CacheStore
from hubloader.cache.layout import CacheLayout
from hubloader.cache.report import scan
from hubloader.types import RepoId

FILES = {"config.json": b"{}", "model.safetensors": content(5000)}


@pytest.mark.parametrize("link_mode", ["symlink", "hardlink"])
def test_bytes_are_counted_once(tmp_path, link_mode):
    store = CacheStore(tmp_path, link_mode=link_mode)
    download(store, manifest(FILES), FILES)
    download(store, manifest(FILES, commit=LATER, revision="dev"), FILES)
    store.mark_used(REPO, COMMIT)

    [repo] = scan(tmp_path).repos

    assert repo.repo == REPO
    assert repo.size == 5002
    assert [(r.commit, r.refs, r.files, r.size) for r in repo.revisions] == [
        (COMMIT, ("main",), 2, 5002),
        (LATER, ("dev",), 2, 5002),
    ]
    assert repo.revisions[0].last_used is not None
    assert repo.revisions[1].last_used is None
    assert scan(tmp_path).size == 5002
    assert repo.warnings == ()


def test_an_unfinished_download_is_counted_apart(tmp_path):
    data = content(9 * 1024 * 1024)
    wanted = manifest({"big": data})
    with CacheStore(tmp_path).writer(REPO, wanted.entries["big"]) as writer:
        writer.write(data[:5000])

    [repo] = scan(tmp_path).repos

    assert repo.size == 0
    assert 5000 <= repo.partial < 5200


def test_what_is_wrong_is_named_and_the_rest_is_listed(tmp_path):
    store, layout = CacheStore(tmp_path), CacheLayout(tmp_path).repo(REPO)
    wanted = manifest(FILES)
    download(store, wanted, FILES)
    store.set_ref(RepoId.parse("other/fine"), "main", COMMIT)
    os.unlink(layout.blob(wanted.entries["config.json"].etag))
    with open(layout.ref("stale"), "w") as file:
        file.write(LATER)
    (tmp_path / "stray").mkdir()

    report = scan(tmp_path)

    broken, fine = report.repos
    assert len(broken.warnings) == 2
    assert broken.revisions[0].files == 1
    assert fine.warnings == ()
    assert report.warnings == (f"{tmp_path / 'stray'} is no repository",)


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    report = scan(tmp_path / "none")

    assert report.repos == ()
    assert report.size == 0
