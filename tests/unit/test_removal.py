"""Deleting hurts nobody: not a reader, not a download, not huggingface_hub."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest

from hubloader.cache import CacheStore, disk, removal
from hubloader.cache.layout import CacheLayout
from hubloader.cache.leases import Grip, Leases, grip
from hubloader.cache.prune import carry_out, choose, choose_named
from hubloader.cache.repo_lock import RepoLock
from hubloader.cache.report import scan, scan_cache_dir

FILES = {"config.json": b"{}", "sub/model.safetensors": content(5000)}
MORE = {**FILES, "config.json": b'{"new": 1}'}
OTHER = manifest(FILES).repo.parse("org/other")


@pytest.fixture(params=["symlink", "hardlink", "copy"])
def store(request, tmp_path):
    """Two revisions that share a content, and another repository."""
    store = CacheStore(tmp_path, link_mode=request.param)
    download(store, manifest(FILES), FILES)
    download(store, manifest(MORE, commit=LATER, revision="dev/next"), MORE)
    download(store, manifest(FILES, repo=OTHER), FILES)
    return store


def named(store, *names):
    return choose_named(scan(store.layout.root), names)


def whole(store, wanted, files):
    states = store.inspect(wanted, files)
    return all(state.pointer and state.trusted for state in states.values()) and all(
        store.path(wanted, name).read_bytes() == files[name] for name in files
    )


def check(store):
    assert scan_cache_dir(store.layout.root).warnings == []
    report = scan(store.layout.root)
    assert report.warnings == ()
    for repo in report.repos:
        assert repo.warnings == ()
        assert [left for left in repo.leftovers if left.kind == "orphan"] == []


def test_a_revision_goes_and_the_others_stay_whole(store):
    layout = store.layout.repo(REPO)
    result = carry_out(named(store, (REPO, LATER)))

    assert [r.commit for r in result.removed] == [LATER]
    assert result.kept == ()
    assert store.known_commit(REPO, "dev/next") is None
    assert not os.path.exists(os.path.join(layout.refs, "dev"))
    assert not os.path.exists(layout.snapshot(LATER))
    assert not os.path.exists(layout.tree(LATER))
    assert whole(store, manifest(FILES), FILES)
    assert whole(store, manifest(FILES, repo=OTHER), FILES)
    check(store)


def test_what_was_planned_to_be_freed_is_freed(store):
    before = scan(store.layout.root).size
    plan = named(store, (REPO, LATER))
    result = carry_out(plan)

    assert result.freed == plan.size == before - scan(store.layout.root).size
    assert plan.left == scan(store.layout.root).size


def test_a_repository_goes_with_its_folder(store):
    store.mark_absent(manifest(FILES), ["tokenizer.json"])
    store.mark_used(REPO, COMMIT)
    result = carry_out(named(store, (REPO, None)))

    assert len(result.removed) == 2
    assert not os.path.exists(store.layout.repo(REPO).folder)
    assert whole(store, manifest(FILES, repo=OTHER), FILES)
    check(store)
    download(store, manifest(FILES), FILES)
    assert whole(store, manifest(FILES), FILES)


def test_a_plan_that_was_not_carried_out_changed_nothing(store):
    before = scan(store.layout.root)
    choose(before, now=time.time(), max_size=0)

    assert scan(store.layout.root) == before


HOLD = """
import sys
from hubloader.cache import CacheStore
from hubloader.types import RepoId
store = CacheStore(sys.argv[1])
assert store.lease(RepoId.parse("org/name"), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def holder(store, commit):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, store.layout.root, commit],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "held\n"
    return child


@pytest.mark.parametrize("end", ["ends", "is killed", "is stopped and killed"])
def test_what_a_process_uses_stays_until_it_ends(store, end):
    child = holder(store, LATER)
    try:
        if end == "is stopped and killed":
            child.send_signal(19)
        result = carry_out(named(store, (REPO, None)))

        assert [r.commit for r in result.removed] == [COMMIT]
        [(kept, why)] = result.kept
        assert (kept.commit, why) == (LATER, "a process uses it")
        assert whole(store, manifest(MORE, commit=LATER, revision="dev/next"), MORE)
        check(store)
    finally:
        if end == "ends":
            child.stdin.close()
        else:
            child.kill()
        child.wait()
        child.stdout.close()

    carry_out(named(store, (REPO, None)))
    assert not os.path.exists(store.layout.repo(REPO).folder)


def test_a_repository_that_is_downloaded_to_stays(store):
    with CacheStore(store.layout.root).using(REPO):
        result = carry_out(named(store, (REPO, None), (OTHER, None)))

    assert {why for _, why in result.kept} == {"a download of the repository is under way"}
    assert [r.repo for r in result.removed] == [OTHER]
    assert whole(store, manifest(FILES), FILES)


def test_what_was_loaded_or_named_since_the_scan_stays(store):
    report = scan(store.layout.root)
    plan = choose(report, now=time.time() + 10, older_than=1.0)
    store.mark_used(REPO, COMMIT)
    store.set_ref(REPO, "pinned", LATER)
    result = carry_out(plan)

    assert {(r.commit, why) for r, why in result.kept} == {
        (COMMIT, "it was loaded meanwhile"),
        (LATER, "it was given another name meanwhile"),
    }
    assert [r.repo for r in result.removed] == [OTHER]


def test_a_ref_that_moved_since_the_scan_stays(store):
    plan = named(store, (REPO, LATER))
    with open(store.layout.repo(REPO).ref("dev/next"), "w") as file:
        file.write(COMMIT)

    carry_out(plan)

    assert store.read_ref(REPO, "dev/next") == COMMIT
    check(store)


def test_a_content_that_huggingface_hub_has_locked_stays(store):
    etag = manifest(MORE).entries["config.json"].etag
    with store.blob_lock(REPO, etag):
        carry_out(named(store, (REPO, None)))

        assert os.path.exists(store.layout.repo(REPO).blob(etag))
    assert scan_cache_dir(store.layout.root).warnings == []
    assert scan(store.layout.root).repos[0].revisions == ()


def test_a_content_that_huggingface_hub_names_just_before_we_lock_it_stays(store, monkeypatch):
    """The second look: between the scan and its lock another client may have made a pointer."""
    etag = manifest(MORE).entries["config.json"].etag
    layout = store.layout.repo(REPO)
    real, named_again = removal._hub_lock, layout.pointer("c3" * 20, "config.json")

    def lock(where, locked):
        if locked == etag and not os.path.lexists(named_again):
            os.makedirs(os.path.dirname(named_again))
            os.symlink(f"../../blobs/{etag}", named_again)
        return real(where, locked)

    monkeypatch.setattr(removal, "_hub_lock", lock)
    carry_out(named(store, (REPO, LATER)))

    assert os.path.exists(named_again)


def test_killed_while_it_deletes_the_last_of_a_repository_it_leaves_a_whole_folder_or_none(
    tmp_path, monkeypatch
):
    store = CacheStore(tmp_path)
    download(store, manifest(FILES), FILES)
    folder = store.layout.repo(REPO).folder
    real = os.rmdir

    def rmdir(path, **options):
        real(path, **options)
        if os.path.isdir(folder):
            assert os.path.isdir(os.path.join(folder, "snapshots"))

    monkeypatch.setattr(os, "rmdir", rmdir)
    carry_out(named(store, (REPO, None)))

    assert not os.path.lexists(folder)


def test_what_comes_into_a_folder_while_it_is_deleted_stays(tmp_path, monkeypatch):
    folder, tmp = tmp_path / "repo", tmp_path / "tmp"
    (folder / "snapshots").mkdir(parents=True)
    real = os.rename

    def rename(source, target):
        (folder / "snapshots" / "new").mkdir(exist_ok=True)
        monkeypatch.setattr(os, "rename", real)
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    disk.remove_nested(str(folder), str(folder / "snapshots"), tmp=str(tmp))

    assert (folder / "snapshots" / "new").is_dir()
    assert not tmp.exists()


def test_unfinished_downloads_go_with_their_repository_unless_somebody_writes_them(tmp_path):
    store, data = CacheStore(tmp_path), content(9 * 1024 * 1024)
    wanted = manifest({"big": data})
    with store.writer(REPO, wanted.entries["big"]) as writer:
        writer.write(data[:5000])
        carry_out(named(store, (REPO, None)))
        assert store.inspect(wanted, ["big"])["big"].partial == 5000

    result = carry_out(named(store, (REPO, None)))

    assert result.leftovers == 1
    assert not os.path.exists(store.layout.repo(REPO).folder)


def test_old_leftovers_of_every_kind_go(tmp_path):
    store, layout = CacheStore(tmp_path), CacheLayout(tmp_path).repo(REPO)
    download(store, manifest(FILES), FILES)
    places = [
        layout.blob("ab" * 20),
        os.path.join(layout.blobs, "cd" * 20 + ".12345678.incomplete"),
        os.path.join(layout.partials, "ef" * 20 + ".free.12345678"),
        os.path.join(layout.tmp, "0-stray"),
        os.path.join(layout.quarantine, "ab" * 20 + ".12345678"),
    ]
    for place in places:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(b"old")
    report = scan(tmp_path)

    assert choose(report, now=time.time()).idle
    plan = choose(report, now=time.time() + 3700)
    result = carry_out(plan)

    assert {left.kind for left in plan.leftovers} == {
        "orphan", "incomplete", "partial", "draft", "quarantine"
    }  # fmt: skip
    assert result.leftovers == 5
    assert result.freed == plan.size == 15
    assert not any(os.path.exists(place) for place in places)
    assert whole(store, manifest(FILES), FILES)


def test_a_leftover_that_changed_since_the_scan_stays(tmp_path):
    store, layout = CacheStore(tmp_path), CacheLayout(tmp_path).repo(REPO)
    download(store, manifest(FILES), FILES)
    orphan = layout.blob("ab" * 20)
    with open(orphan, "wb") as file:
        file.write(b"old")
    plan = choose(scan(tmp_path), now=time.time() + 3700)
    with open(orphan, "wb") as file:
        file.write(b"other")

    assert carry_out(plan).leftovers == 0
    assert os.path.exists(orphan)


def test_without_locks_what_was_used_within_the_hour_stays_unless_it_was_named(store, monkeypatch):
    monkeypatch.setattr(removal, "grip", lambda *_, **__: Grip.NONE)
    monkeypatch.setattr(RepoLock, "take", lambda _: Grip.NONE)
    result = carry_out(choose(scan(store.layout.root), now=time.time(), max_size=0))

    assert result.removed == ()
    assert {why for _, why in result.kept} == {removal._RECENT}
    assert len(carry_out(named(store, (REPO, None))).removed) == 2


def test_a_deletion_that_was_stopped_for_too_long_does_not_go_on(store, monkeypatch):
    monkeypatch.setattr(RepoLock, "fresh", property(lambda _: False))
    result = carry_out(named(store, (REPO, None)))

    assert result.removed == ()
    assert {why for _, why in result.kept} == {removal._STOPPED}
    assert whole(store, manifest(FILES), FILES)


def test_a_download_waits_for_a_deletion_and_not_for_ever(tmp_path):
    layout = CacheLayout(tmp_path).repo(REPO)
    clock = iter(range(100))
    deletion = RepoLock(layout)
    download_ = RepoLock(layout, clock=lambda: float(next(clock)), sleep=lambda _: None)
    assert deletion.take() is Grip.HELD
    assert download_.share() is Grip.BUSY
    deletion.release()
    assert download_.share() is Grip.HELD
    assert deletion.take() is Grip.BUSY
    download_.release()


def test_a_lease_on_a_snapshot_that_was_deleted_and_made_anew_is_taken_anew(tmp_path):
    leases, folder = Leases(), tmp_path / "snapshot"
    assert not leases.take(str(folder))
    folder.mkdir()
    assert leases.take(str(folder))
    assert leases.take(str(folder))
    folder.rmdir()
    assert not leases.take(str(folder))
    folder.mkdir()
    assert leases.take(str(folder))
    leases.drop(str(folder))


def test_a_lease_waits_for_a_deletion_that_has_the_snapshot_already(tmp_path, monkeypatch):
    """What is there is about to go: who took it for granted would return a dead path."""
    folder, leases = tmp_path / "snapshot", Leases()
    folder.mkdir()
    deletion = os.open(folder, os.O_RDONLY)
    assert grip(deletion, alone=True) is Grip.HELD

    def sleep(_seconds):
        folder.rmdir()
        os.close(deletion)

    monkeypatch.setattr("hubloader.cache.leases.time.sleep", sleep)

    assert not leases.take(str(folder))


def test_a_lease_does_not_wait_for_ever_for_a_deletion_that_was_stopped(tmp_path):
    deletion = os.open(tmp_path, os.O_RDONLY)
    try:
        assert grip(deletion, alone=True) is Grip.HELD
        assert not Leases().take(str(tmp_path), patience=0.0)
    finally:
        os.close(deletion)


def test_a_lease_is_not_taken_through_a_link(tmp_path):
    (tmp_path / "victim").mkdir()
    os.symlink(tmp_path / "victim", tmp_path / "link")

    assert not Leases().take(str(tmp_path / "link"))
