"""An audit reads every content once, names what is bad, and mends it through its caller."""

from __future__ import annotations

import os

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest, sha256

from hubloader.cache import CacheStore
from hubloader.cache.audit import FaultKind, audit_cache, audit_manifest
from hubloader.cache.report import scan_cache_dir
from hubloader.errors import CacheError
from hubloader.types import RepoId

FILES = {"config.json": b"{}", "sub/model.bin": content(5000)}
OTHER = RepoId.parse("org/other")


@pytest.fixture
def store(tmp_path):
    store = CacheStore(tmp_path)
    download(store, manifest(FILES, lfs=["sub/model.bin"]), FILES)
    download(store, manifest(FILES, lfs=["sub/model.bin"], commit=LATER, revision="dev"), FILES)
    download(store, manifest(FILES, repo=OTHER), FILES)
    return store


def blob(store, name="sub/model.bin", repo=REPO):
    wanted = manifest(FILES, lfs=["sub/model.bin"] if repo == REPO else [])
    return store.layout.repo(repo).blob(wanted.entries[name].etag)


def flip(path):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))


def kept_time(path, damage):
    """Damage that leaves the stamp as it was: only reading finds it."""
    facts = os.stat(path)
    damage(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def bring(store):
    def repair(wanted, names):
        calls.append((str(wanted.repo), wanted.commit, names))
        with store.batch():
            for name in names:
                with store.writer(wanted.repo, wanted.entries[name], resume=False) as writer:
                    writer.write(FILES[name])
                    writer.commit()
                store.link(wanted, name)

    calls: list = []
    return repair, calls


def test_a_sound_cache_is_read_once_and_left_alone(store):
    report = audit_cache(store)

    assert report.ok
    assert report.files == 6
    assert report.bytes == 2 * (2 + 5000)  # two revisions share their contents
    assert report.unknown == ()


def test_what_a_stamp_hides_is_found_in_every_snapshot_that_has_it(store):
    kept_time(blob(store), flip)

    report = audit_cache(store)

    assert [(f.kind, f.commit, f.filename) for f in report.faults] == [
        (FaultKind.DAMAGED, COMMIT, "sub/model.bin"),
        (FaultKind.DAMAGED, LATER, "sub/model.bin"),
    ]
    assert report.faults[0].expected == sha256(FILES["sub/model.bin"])
    assert report.faults[0].actual != report.faults[0].expected
    assert os.path.exists(blob(store))
    state = store.inspect(manifest(FILES, lfs=["sub/model.bin"]), ["sub/model.bin"])
    assert not state["sub/model.bin"].trusted  # and no load takes it for good any more


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: os.truncate(path, 7),
        lambda path: os.truncate(path, 0),
        lambda path: (os.unlink(path), os.mkdir(path)),
        lambda path: (os.unlink(path), os.symlink(path, path)),
        os.unlink,
    ],
    ids=["flipped", "cut", "emptied", "a folder", "a loop", "gone"],
)
def test_every_damage_is_named_and_mended(store, damage):
    damage(blob(store))
    assert len(audit_cache(store).faults) == 2
    repair, calls = bring(store)

    report = audit_cache(store, repair=repair)

    assert report.ok
    assert calls[0] == ("org/name", COMMIT, ("sub/model.bin",))
    assert 1 <= len(report.repaired) <= 2
    assert audit_cache(store).ok
    assert scan_cache_dir(store.layout.root).warnings == []


def test_a_base_cache_is_checked_for_a_manifest_and_not_changed(store, tmp_path):
    front = CacheStore(tmp_path / "front", base_caches=[store.layout.root])
    flip(blob(store))
    wanted = manifest(FILES, lfs=["sub/model.bin"])
    repair, _ = bring(front)

    report = audit_manifest(front, wanted, FILES, repair=repair)

    assert report.ok
    assert [fault.filename for fault in report.repaired] == ["sub/model.bin"]
    assert not audit_cache(store).ok


def test_of_a_named_repository_what_a_base_cache_has_is_read_too(store, tmp_path):
    front = CacheStore(tmp_path / "front", base_caches=[store.layout.root])
    kept_time(blob(store), flip)

    report = audit_cache(front, [REPO])

    assert report.files == 4
    assert [fault.filename for fault in report.faults] == ["sub/model.bin"] * 2
    assert report.faults[0].path == store.layout.repo(REPO).pointer(COMMIT, "sub/model.bin")


def test_what_a_load_set_aside_is_missed_and_mended(store):
    flip(blob(store))
    assert not store.verify_blob(manifest(FILES, lfs=["sub/model.bin"]), "sub/model.bin")
    repair, _ = bring(store)

    seen = audit_cache(store)
    assert {(fault.kind, fault.commit, fault.filename) for fault in seen.faults} == {
        (FaultKind.MISSING, COMMIT, "sub/model.bin"),
        (FaultKind.MISSING, LATER, "sub/model.bin"),
    }
    mended = audit_cache(store, repair=repair)

    assert mended.ok
    assert len(mended.repaired) == 2
    assert audit_cache(store).files == 6


def test_what_a_repair_could_not_bring_is_missed_again(store):
    flip(blob(store))

    def unreachable(_wanted, _names):
        raise CacheError("no network")

    with pytest.raises(CacheError, match="no network"):
        audit_cache(store, repair=unreachable)

    assert {fault.filename for fault in audit_cache(store).faults} == {"sub/model.bin"}
    assert audit_cache(store, repair=bring(store)[0]).ok


def test_only_what_was_named_is_read(store):
    flip(blob(store, repo=OTHER))

    assert audit_cache(store, [REPO]).ok
    assert audit_cache(store, commits=[LATER]).ok
    assert not audit_cache(store, [OTHER]).ok


def test_a_file_outside_the_listing_is_unknown_and_no_fault(store):
    stray = store.layout.repo(REPO).pointer(COMMIT, "notes.txt")
    with open(stray, "w") as file:
        file.write("mine")

    report = audit_cache(store)

    assert report.ok
    assert report.unknown == (stray,)


def test_given_digests_are_what_counts(store):
    wanted = manifest(FILES, lfs=["sub/model.bin"])
    digests = {name: sha256(data) for name, data in FILES.items()}
    assert audit_manifest(store, wanted, digests=digests).ok

    wrong = audit_manifest(store, wanted, digests={**digests, "config.json": "0" * 64})
    absent = audit_manifest(store, wanted, digests={**digests, "gone.txt": "0" * 64})

    assert [(f.kind, f.filename, f.expected) for f in wrong.faults] == [
        (FaultKind.DAMAGED, "config.json", "0" * 64)
    ]
    assert [(f.kind, f.filename) for f in absent.faults] == [(FaultKind.MISSING, "gone.txt")]


def test_what_cannot_be_mended_is_a_fault_still(store):
    flip(blob(store))

    report = audit_cache(store, repair=lambda *_: None)

    assert {(fault.kind, fault.commit) for fault in report.faults} == {
        (FaultKind.MISSING, COMMIT),  # both had it, and it was taken out of both
        (FaultKind.MISSING, LATER),
    }
    assert report.repaired == ()
    assert scan_cache_dir(store.layout.root).warnings == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(store):
    os.chmod(blob(store), 0)

    assert {fault.kind for fault in audit_cache(store).faults} == {FaultKind.UNREADABLE}


def test_without_a_listing_the_blobs_names_are_what_they_have_to_match(store):
    layout = store.layout.repo(REPO)
    os.unlink(layout.tree(COMMIT))
    os.unlink(layout.tree(LATER))
    flip(blob(store))

    assert len(audit_cache(store, [REPO]).faults) == 2


def test_a_cut_content_that_no_listing_announced_is_mended(store):
    """Without a listing a file's size is what the disk says: it is not announced by anybody."""
    layout = store.layout.repo(REPO)
    for commit in (COMMIT, LATER):
        for path in (layout.tree(commit), layout.tree_digest(commit)):
            os.unlink(path)
    os.chmod(blob(store), 0o644)
    os.truncate(blob(store), 100)

    def repair(wanted, names):
        announced = manifest(FILES, lfs=["sub/model.bin"], commit=wanted.commit)
        for name in names:
            if not store.inspect(announced, [name])[name].blob:
                with store.writer(REPO, announced.entries[name], resume=False) as writer:
                    writer.write(FILES[name])
                    writer.commit()
            store.link(announced, name)

    report = audit_cache(store, repair=repair)

    assert report.ok
    assert [fault.kind for fault in report.repaired] == [FaultKind.DAMAGED, FaultKind.MISSING]


def test_without_names_the_caches_behind_are_read_too(store, tmp_path):
    top = CacheStore(tmp_path / "top", base_caches=[store.layout.root])
    download(top, manifest(FILES, lfs=["sub/model.bin"]), FILES)
    kept_time(blob(store, repo=OTHER), flip)

    report = audit_cache(top)

    assert report.files == 6  # each commit once, in however many caches it is
    assert [(fault.repo, fault.filename) for fault in report.faults] == [(OTHER, "sub/model.bin")]
    assert os.path.exists(blob(store, repo=OTHER))
