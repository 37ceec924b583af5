"""Every path of the cache is huggingface_hub's, and none leaves its folder."""

from __future__ import annotations

import os

import pytest
from cache_cases import COMMIT, REPO

from hubloader.cache.layout import CacheLayout, colliding_names
from hubloader.errors import InvalidReference
from hubloader.types import RepoId

ETAG = "ab" * 20
ROOT = os.path.abspath(os.sep + "cache")


def below(path: str) -> str:
    return os.path.relpath(path, ROOT).replace(os.sep, "/")


@pytest.mark.parametrize(
    ("text", "repo_type", "folder"),
    [
        ("org/name", "model", "models--org--name"),
        ("gpt2", "model", "models--gpt2"),
        ("org/data", "dataset", "datasets--org--data"),
        ("org/app", "space", "spaces--org--app"),
    ],
)
def test_a_repository_has_the_folder_that_huggingface_hub_gives_it(text, repo_type, folder):
    repo = RepoId.parse(text, repo_type)
    layout = CacheLayout(ROOT)

    assert below(layout.repo(repo).folder) == folder
    assert layout.parse_folder(folder) == repo


def test_the_shared_paths_are_those_of_huggingface_hub():
    layout = CacheLayout(ROOT).repo(REPO)

    assert below(layout.blob(ETAG)) == f"models--org--name/blobs/{ETAG}"
    assert below(layout.lock(ETAG)) == f".locks/models--org--name/{ETAG}.lock"
    assert below(layout.ref("main")) == "models--org--name/refs/main"
    assert below(layout.ref("refs/pr/1")) == "models--org--name/refs/refs/pr/1"
    assert (
        below(layout.pointer(COMMIT, "a/b.txt")) == f"models--org--name/snapshots/{COMMIT}/a/b.txt"
    )
    assert below(layout.absent_mark(COMMIT, "x")) == f"models--org--name/.no_exist/{COMMIT}/x"
    assert below(layout.tree(COMMIT)) == f"models--org--name/trees/{COMMIT}.json"


def test_own_state_lies_where_huggingface_hub_neither_scans_nor_prunes():
    layout = CacheLayout(ROOT).repo(REPO)
    own = [
        layout.partial(ETAG, "0-1.2"),
        layout.stamp(ETAG),
        layout.tree_digest(COMMIT),
        layout.confirmed("refs/pr/1"),
        layout.used(COMMIT),
        layout.quarantine,
        layout.tmp,
    ]

    assert all(below(path).startswith("models--org--name/.hubloader/") for path in own)
    assert below(layout.cache.alias(REPO)).startswith(".locks/.hubloader/")


@pytest.mark.parametrize("bad", ["../../pwned", "/etc/passwd", "a b;rm", "x" * 300, "", "AB" * 20])
def test_no_string_of_a_server_becomes_a_path_unchecked(bad):
    layout = CacheLayout(ROOT).repo(REPO)

    for build in (layout.blob, layout.lock, layout.stamp, layout.snapshot, layout.tree):
        with pytest.raises(InvalidReference):
            build(bad)
    with pytest.raises(InvalidReference):
        layout.partial(ETAG, "../x")


@pytest.mark.parametrize(
    "bad", ["../x", "/abs", "a/../../b", "a\\..\\b", "C:x", "con", "a//b", "a/."]
)
def test_no_file_name_leaves_its_snapshot(bad):
    layout = CacheLayout(ROOT).repo(REPO)

    with pytest.raises(InvalidReference):
        layout.pointer(COMMIT, bad)
    with pytest.raises(InvalidReference):
        layout.absent_mark(COMMIT, bad)


@pytest.mark.parametrize("bad", ["../main", "/main", "a..b", "a.lock", ""])
def test_no_revision_leaves_the_folder_of_refs(bad):
    with pytest.raises(InvalidReference):
        CacheLayout(ROOT).repo(REPO).ref(bad)


@pytest.mark.parametrize(
    "name", [".locks", "blobs", "models--", "kernels--a--b", "models--a--b--c"]
)
def test_a_folder_that_is_no_repository_is_not_parsed(name):
    assert CacheLayout(ROOT).parse_folder(name) is None


def test_revisions_and_etags_are_read_back_from_paths():
    layout = CacheLayout(ROOT).repo(REPO)

    assert layout.revision_of(layout.ref("refs/pr/1")) == "refs/pr/1"
    assert layout.revision_of_mark(os.path.basename(layout.confirmed("refs/pr/1"))) == "refs/pr/1"
    assert layout.etag_of(layout.blob(ETAG)) == ETAG
    assert layout.etag_of(layout.ref("main")) is None


def test_only_hashed_names_count_as_shared_blobs():
    layout = CacheLayout(ROOT)
    shared = layout.shared_blob("cd" * 32)

    assert layout.is_shared_blob(shared)
    assert not layout.is_shared_blob(os.path.join(ROOT, "elsewhere", "cd" * 32))
    assert not layout.is_shared_blob(os.path.join(ROOT, "blobs", "cd", "passwd"))


def test_names_that_are_one_without_letter_case_are_found():
    names = frozenset({"README.md", "readme.md", "a.txt", "caf\u00e9", "cafe\u0301"})

    assert colliding_names(names) == [("README.md", "readme.md"), ("cafe\u0301", "caf\u00e9")]
