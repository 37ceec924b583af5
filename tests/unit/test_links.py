"""A pointer names its blob by whatever means the folder has, and is replaced in one step."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest

from hubloader.cache import CacheStore
from hubloader.cache.layout import CacheLayout
from hubloader.cache.links import Linker
from hubloader.cache.reading import points_at

DATA = content(5000)
MODES = ["symlink", "hardlink", "copy"]


@pytest.fixture
def layout(tmp_path):
    layout = CacheLayout(tmp_path).repo(REPO)
    os.makedirs(layout.blobs)
    return layout


def blob_with(layout, data: bytes, etag: str) -> str:
    with open(layout.blob(etag), "wb") as file:
        file.write(data)
    return layout.blob(etag)


@pytest.mark.parametrize("mode", MODES)
def test_a_pointer_is_made_and_replaced(layout, mode):
    linker, pointer = Linker(mode), layout.pointer(COMMIT, "a/b/c.txt")

    for data, etag in ((b"one", "aa" * 20), (b"two", "bb" * 20), (b"two", "bb" * 20)):
        linker.make(layout, blob_with(layout, data, etag), pointer)
        with open(pointer, "rb") as file:
            assert file.read() == data

    assert not os.path.exists(layout.tmp)


def test_a_symbolic_link_is_relative_as_huggingface_hubs_are(layout):
    blob, pointer = blob_with(layout, b"x", "aa" * 20), layout.pointer(COMMIT, "a/b.txt")

    Linker("symlink").make(layout, blob, pointer)

    assert os.readlink(pointer) == f"../../../blobs/{'aa' * 20}"
    assert points_at(pointer) == blob


def test_a_pointer_that_is_right_is_left_alone(layout):
    blob, pointer = blob_with(layout, b"x", "aa" * 20), layout.pointer(COMMIT, "b.txt")
    linker = Linker()
    linker.make(layout, blob, pointer)

    assert linker.make(layout, blob, pointer) == []


def test_a_copy_keeps_the_time_so_that_the_stamp_fits(layout):
    blob, pointer = blob_with(layout, b"x", "aa" * 20), layout.pointer(COMMIT, "b.txt")
    os.utime(blob, ns=(5, 5))

    Linker("copy").make(layout, blob, pointer)

    assert os.stat(pointer).st_mtime_ns == 5


@pytest.mark.parametrize(
    ("broken", "way"), [([], "symlink"), (["symlink"], "hardlink"), (["symlink", "link"], "copy")]
)
def test_the_way_is_found_by_trying(layout, monkeypatch, broken, way):
    def no(*_args, **_options):
        raise OSError(errno.EPERM, "not here")

    for name in broken:
        monkeypatch.setattr(os, name, no)
    blob, pointer = blob_with(layout, b"x", "aa" * 20), layout.pointer(COMMIT, "b.txt")
    linker = Linker("auto")
    linker.make(layout, blob, pointer)

    found = "symlink" if os.path.islink(pointer) else "copy"
    found = (
        "hardlink" if os.stat(pointer).st_ino == os.stat(blob).st_ino and found == "copy" else found
    )
    assert found == way


@pytest.mark.parametrize("broken", [False, True])
def test_hard_links_are_copies_where_there_are_none_and_never_symbolic(layout, monkeypatch, broken):
    def no(*_args, **_options):
        raise OSError(errno.EPERM, "not here")

    if broken:
        monkeypatch.setattr(os, "link", no)
    blob, pointer = blob_with(layout, b"x", "aa" * 20), layout.pointer(COMMIT, "b.txt")
    Linker("hardlink").make(layout, blob, pointer)

    assert not os.path.islink(pointer)
    assert Path(pointer).read_bytes() == b"x"
    assert (os.stat(pointer).st_ino == os.stat(blob).st_ino) is not broken


@pytest.mark.parametrize("mode", MODES)
def test_the_same_content_at_a_new_commit_is_downloaded_once(tmp_path, mode):
    store = CacheStore(tmp_path, link_mode=mode)
    first, second = manifest({"f": DATA}), manifest({"f": DATA}, commit=LATER)
    download(store, first, {"f": DATA})

    state = store.inspect(second, ["f"])["f"]
    assert state.blob
    assert state.trusted
    assert not state.pointer
    assert store.link(second, "f").read_bytes() == DATA
    assert store.inspect(second, ["f"])["f"].pointer


@pytest.mark.parametrize("mode", MODES)
def test_what_was_linked_is_there_and_trusted(tmp_path, mode):
    store = CacheStore(tmp_path, link_mode=mode)
    wanted = manifest({"sub/f": DATA, "g": b""})
    download(store, wanted, {"sub/f": DATA, "g": b""})

    fresh = CacheStore(tmp_path)
    for state in fresh.inspect(wanted, wanted.entries).values():
        assert state.pointer
        assert state.trusted
