"""What is named, and in which order the disk is asked to keep it."""

from __future__ import annotations

import os

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest

from hubloader.cache import CacheStore, disk, publish
from hubloader.errors import CacheError

SMALL = {f"{n}.json": b"%d" % n for n in range(3)}
MANY = {f"{n}.json": b"%d" % n for n in range(10)}
LARGE = {"model.safetensors": content(9 * 1024 * 1024)}


@pytest.fixture
def deeds(monkeypatch):
    """What was done to the disk, in order; however slow it is, that ends no batch."""
    monkeypatch.setattr(publish, "_MAX_WAIT", float("inf"))
    done: list[tuple[str, str]] = []

    def record(name: str, describe) -> None:
        real = getattr(disk, name)

        def wrapper(*args, **options):
            done.append((name, describe(*args)))
            return real(*args, **options)

        monkeypatch.setattr(disk, name, wrapper)

    def opened(descriptor: int) -> str:
        return os.readlink(f"/proc/self/fd/{descriptor}")

    record("sync_file", opened)
    record("sync_filesystem", opened)
    record("sync_folders", lambda folders: " ".join(sorted(set(folders))))
    record("rename", lambda _source, target: target)
    return done


def at(deeds, name: str, part: str) -> list[int]:
    return [n for n, (deed, what) in enumerate(deeds) if deed == name and part in what]


def test_a_content_is_safe_before_its_name_and_its_name_before_the_ref(tmp_path, deeds):
    download(CacheStore(tmp_path, durability="full"), manifest(LARGE), LARGE)

    [content_safe] = at(deeds, "sync_file", "/partials/")
    [named] = at(deeds, "rename", "/blobs/")
    name_safe = at(deeds, "sync_folders", "/blobs")[0]
    [pointed] = at(deeds, "rename", "/snapshots/")
    pointer_safe = at(deeds, "sync_folders", f"/snapshots/{COMMIT}")[0]
    [ref_moved] = at(deeds, "rename", "/refs/")
    ref_safe = at(deeds, "sync_folders", "/refs")[0]
    assert content_safe < named < name_safe < pointed < pointer_safe < ref_moved < ref_safe


def test_a_batch_syncs_many_small_contents_once_before_the_first_name(tmp_path, deeds):
    download(CacheStore(tmp_path), manifest(MANY), MANY)

    [safe] = at(deeds, "sync_filesystem", "")
    names, pointers = at(deeds, "rename", "/blobs/"), at(deeds, "rename", "/snapshots/")
    [ref_moved] = at(deeds, "rename", "/refs/")
    assert len(names) == len(pointers) == len(MANY)
    assert safe < min(names) < max(names) < min(pointers) < max(pointers) < ref_moved
    assert any(max(names) < n < min(pointers) for n in at(deeds, "sync_folders", "/blobs"))
    assert any(max(pointers) < n < ref_moved for n in at(deeds, "sync_folders", COMMIT))


def test_a_batch_without_syncfs_syncs_each(tmp_path, deeds, monkeypatch):
    monkeypatch.setattr(disk, "sync_filesystem", lambda _descriptor: False)

    download(CacheStore(tmp_path), manifest(MANY), MANY)

    syncs, names = at(deeds, "sync_file", "/partials/"), at(deeds, "rename", "/blobs/")
    assert len(syncs) == len(MANY)
    assert max(syncs) < min(names)


def test_a_few_small_contents_are_synced_one_by_one(tmp_path, deeds):
    download(CacheStore(tmp_path), manifest(SMALL), SMALL)

    assert len(at(deeds, "sync_file", "/partials/")) == len(SMALL)
    assert at(deeds, "sync_filesystem", "") == []


def test_durability_none_asks_the_disk_for_nothing(tmp_path, deeds):
    files = {**MANY, **LARGE}
    download(CacheStore(tmp_path, durability="none"), manifest(files), files)

    assert {name for name, _ in deeds} == {"rename"}


def test_outside_a_batch_a_content_is_safe_at_once(tmp_path, deeds):
    store, wanted = CacheStore(tmp_path), manifest(SMALL)
    with store.writer(REPO, wanted.entries["1.json"]) as writer:
        writer.write(SMALL["1.json"])
        path = writer.commit()

    assert path.exists()
    assert at(deeds, "sync_file", "/partials/") < at(deeds, "rename", "/blobs/")


def test_an_exception_in_a_batch_keeps_what_was_verified_and_moves_no_ref(tmp_path):
    store, wanted = CacheStore(tmp_path), manifest(SMALL, commit=LATER)
    download(store, manifest(SMALL), {})

    with pytest.raises(RuntimeError), store.batch():
        with store.writer(REPO, wanted.entries["1.json"]) as writer:
            writer.write(SMALL["1.json"])
            writer.commit()
        store.link(wanted, "1.json")
        raise RuntimeError

    assert store.path(wanted, "1.json").read_bytes() == SMALL["1.json"]
    assert store.read_ref(REPO, "main") == COMMIT


def test_a_sync_that_fails_names_nothing_keeps_no_draft_and_frees_the_locks(tmp_path, monkeypatch):
    store, wanted = CacheStore(tmp_path), manifest(MANY)

    def fail(_descriptor: int) -> bool:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync_filesystem", fail)
        with pytest.raises(CacheError, match="Input/output error"):
            download(store, wanted, MANY)

    repo = tmp_path / "models--org--name"
    assert not (repo / "blobs").exists()
    assert os.listdir(repo / ".hubloader" / "partials") == []
    assert not (repo / "refs").exists()
    download(store, wanted, MANY)
    assert all(store.path(wanted, name).read_bytes() == data for name, data in MANY.items())


def test_a_batch_does_not_hold_more_contents_than_it_has_open_locks_for(tmp_path, deeds):
    files = {f"{n}.json": b"%d" % n for n in range(300)}
    store, wanted = CacheStore(tmp_path), manifest(files)

    download(store, wanted, files)

    assert len(at(deeds, "sync_filesystem", "")) == 2
    assert all(state.pointer for state in store.inspect(wanted, files).values())


def test_batches_of_two_threads_join(tmp_path):
    import threading

    store = CacheStore(tmp_path)
    first = manifest({"a": b"1", "b": b"2"})
    second = manifest({"c": b"3", "b": b"2"}, commit=LATER, revision="other")
    files = {"a": b"1", "b": b"2", "c": b"3"}
    errors = []

    def fetch(wanted) -> None:
        try:
            download(store, wanted, {name: files[name] for name in wanted.entries})
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=fetch, args=(wanted,)) for wanted in (first, second)] * 1
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    for wanted in (first, second):
        assert all(state.pointer for state in store.inspect(wanted, wanted.entries).values())
