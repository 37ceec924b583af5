"""Every operation on the cache, hit at each of its calls: killed, refused, unplugged."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from cache_world import (
    ERRORS,
    LASTING,
    OLD,
    Operation,
    cut_everywhere,
    hit_every_call,
    kill,
    operations,
    refuse,
    small_is_large,
)

from hubloader.cache import disk, links
from hubloader.cache.digest import ContentHash

NAMES = tuple(operation.name for operation in operations())


@pytest.fixture(autouse=True)
def small():
    with small_is_large():
        yield


@pytest.fixture
def tmp_path(tmp_path):
    """A folder in memory, where there is one: thousands of syncs are made here."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def operation(request) -> Operation:
    return next(each for each in operations() if each.name == request.param)


@pytest.mark.parametrize("operation", NAMES, indirect=True)
def test_killed_at_each_call(operation, tmp_path):
    tally = hit_every_call(operation, kill, tmp_path)

    assert tally.wrong == []
    assert tally.leaked == 0
    assert tally.points >= 10


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("operation", NAMES, indirect=True)
def test_refused_at_some_calls(operation, error, tmp_path):
    stride = 1 if (operation.name, error) == ("update in small files", "EIO") else 7
    tally = hit_every_call(
        operation, refuse(error), tmp_path, stride=stride, first=1 + ERRORS.index(error) % stride,
        lasting=LASTING.get(error, frozenset()),
    )  # fmt: skip

    assert tally.wrong == []
    assert tally.leaked == 0
    assert tally.points >= 2


@pytest.mark.parametrize("operation", NAMES, indirect=True)
def test_unplugged_after_each_step(operation, tmp_path, monkeypatch):
    tally = cut_everywhere(operation, tmp_path, monkeypatch, keep=3)

    assert tally.wrong == []
    assert tally.points > 10


# the proofs prove something: with one care taken out, they fail


def test_without_syncs_a_removal_does_not_survive_a_power_cut(tmp_path, monkeypatch):
    removal = next(each for each in operations() if each.name == "remove a revision")
    monkeypatch.setattr(disk, "sync_folders", lambda _folders: None)

    faults = cut_everywhere(removal, tmp_path, monkeypatch).faults

    assert any("names no snapshot" in fault for fault in faults)
    assert any("leads nowhere" in fault for fault in faults)


def skipping(monkeypatch, skip=None) -> dict[str, int]:
    """Leave out the syncs that one place in the code asks for; count those of each place."""
    seen: dict[str, int] = {}

    def wrap(name):
        real = getattr(disk, name)

        def call(what):
            if name == "sync_folders":
                what = list(what)
                if not what:
                    return None
            frame, chain = sys._getframe(1), []
            while frame is not None and len(chain) < 3:
                if os.path.basename(os.path.dirname(frame.f_code.co_filename)) == "cache":
                    chain.append(frame.f_code.co_name)
                frame = frame.f_back
            site = f"{name} by {' of '.join(chain)}"
            seen[site] = seen.get(site, 0) + 1
            return True if site == skip else real(what)

        monkeypatch.setattr(disk, name, call)

    for name in ("sync_file", "sync_folders", "sync_filesystem"):
        wrap(name)
    return seen


@pytest.mark.parametrize("durability", ["batch", "full"])
def test_each_sync_of_a_download_is_needed(durability, tmp_path, monkeypatch):
    """Leave out one place's syncs at a time: the model notices each."""
    download = next(o for o in operations(durability=durability) if o.name == "first download")
    with monkeypatch.context() as patch:
        sites = skipping(patch)
        download.prepare(tmp_path / "all")
        download.work(tmp_path / "all")
    assert len(sites) >= 4

    unnoticed = []
    for number, site in enumerate(sorted(sites)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with monkeypatch.context() as patch:
            skipping(patch, site)
            if not cut_everywhere(download, folder, patch).faults:
                unnoticed.append(site)
    assert unnoticed == []


def test_without_the_atomic_rename_a_pointer_is_gone_for_a_moment(tmp_path, monkeypatch):
    anew = next(each for each in operations() if each.name == "link anew")

    def replace(source, target, *, aside):
        disk.remove(target)
        os.rename(source, target)

    monkeypatch.setattr(links.disk, "rename_over", replace)

    assert hit_every_call(anew, kill, tmp_path).faults != []


def test_without_the_hash_check_wrong_bytes_get_a_name(tmp_path, monkeypatch):
    first = next(each for each in operations() if each.name == "first download")
    monkeypatch.setattr(ContentHash, "matches", property(lambda _: True))
    monkeypatch.setitem(OLD, "vocab.txt", b"x" * 3000)
    root = tmp_path / "cache"
    first.prepare(root)
    first.work(root)
    monkeypatch.undo()

    assert any("is not what it says" in fault for fault in first.faults(root))
