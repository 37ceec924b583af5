"""A cache that others write too: planted links lead nowhere, strangers' files are not believed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest

from hubloader.cache import CacheStore
from hubloader.cache.ownership import Ownership
from hubloader.cache.prune import carry_out, choose, choose_named
from hubloader.cache.report import scan
from hubloader.errors import CacheError, CacheReadOnly, HubloaderError, InvalidReference

FILES = {"config.json": b"{}", "model.bin": content(5000)}
SECRET = b"a" * 40  # a commit by its look: what a ref that is followed would give away
NOBODY = 65534


@pytest.fixture
def store(tmp_path):
    store = CacheStore(tmp_path / "cache")
    download(store, manifest(FILES), FILES)
    return store


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_bytes(SECRET)
    return path


def plant(place: str, victim: Path) -> None:
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place)
    elif os.path.lexists(place):
        os.unlink(place)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.symlink(victim, place)


def places(store):
    layout = store.layout.repo(REPO)
    etag = manifest(FILES).entries["model.bin"].etag
    return {
        "blob": layout.blob(etag),
        "pointer": layout.pointer(COMMIT, "model.bin"),
        "ref": layout.ref("main"),
        "listing": layout.tree(COMMIT),
        "stamp": layout.stamp(etag),
        "lock": layout.lock(etag),
        "repository lock": layout.guard,
        "mark": layout.used(COMMIT),
        "absence": layout.absent_mark(COMMIT, "tokenizer.json"),
    }


@pytest.mark.parametrize("level", places(CacheStore("/nowhere")))
def test_a_planted_link_is_neither_read_nor_written_through(store, victim, level):
    before = os.stat(victim)
    plant(places(store)[level], victim)
    wanted = manifest(FILES)

    assert store.read_ref(REPO, "main") in {None, COMMIT}
    for name, state in store.inspect(wanted, FILES).items():
        if state.pointer:
            assert store.path(wanted, name).read_bytes() == FILES[name]
    store.read_manifest(REPO, "main", COMMIT)
    refused = contextlib.suppress(HubloaderError) if level in {"stamp", "absence"} else None
    with refused or contextlib.nullcontext():
        with store.using(REPO):
            download(store, wanted, FILES)
        store.mark_used(REPO, COMMIT)
        store.mark_absent(wanted, ["tokenizer.json"])
    carry_out(choose_named(scan(store.layout.root), [(REPO, None)]))
    assert not os.path.exists(store.layout.repo(REPO).snapshot(COMMIT))

    after = os.stat(victim)
    assert victim.read_bytes() == SECRET
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("level", ["blob", "pointer"])
def test_where_a_link_was_planted_the_content_comes_again(store, victim, level):
    plant(places(store)[level], victim)
    wanted = manifest(FILES)
    download(store, wanted, FILES)

    assert store.path(wanted, "model.bin").read_bytes() == FILES["model.bin"]
    assert victim.read_bytes() == SECRET


@pytest.mark.parametrize("level", ["refs", "refs/pr", "trees", ".no_exist"])
def test_a_planted_folder_is_not_written_through(store, tmp_path, level):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    plant(os.path.join(store.layout.repo(REPO).folder, level), elsewhere)
    revision = "pr/1" if level == "refs/pr" else "main"
    later = manifest(FILES, commit=LATER, revision=revision)

    with pytest.raises(CacheReadOnly, match=f"{level} is a link"):
        download(store, later, FILES)
        store.mark_absent(later, ["tokenizer.json"])
    assert os.listdir(elsewhere) == []
    assert store.path(later, "model.bin").read_bytes() == FILES["model.bin"]


OWN = [
    ".hubloader",
    *(f".hubloader/{each}" for each in ("partials", "stamps", "tmp", "quarantine", "trees")),
]
LONG_AFTER = 4e9  # seconds since the epoch


def fill(folder: Path) -> dict[str, bytes]:
    """What somebody keeps elsewhere, by names that mean something in a cache."""
    names = ["notes.txt", f"{'a' * 40}.free.12345678", f"{'b' * 40}", f"{'c' * 40}.incomplete"]
    for name in names:
        (folder / name).write_bytes(SECRET)
    (folder / "work").mkdir()
    (folder / "work" / "data").write_bytes(SECRET)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def lead_elsewhere(store, level: str, elsewhere: Path) -> dict[str, bytes]:
    elsewhere.mkdir()
    before = fill(elsewhere)
    plant(os.path.join(store.layout.repo(REPO).folder, level), elsewhere)
    return before


@pytest.mark.parametrize("level", OWN)
def test_where_a_folder_of_our_own_state_was_planted_nothing_is_fetched(store, tmp_path, level):
    before = lead_elsewhere(store, level, tmp_path / "elsewhere")
    more = {**FILES, "small.json": b"{1}", "large.bin": content(9 * 2**20)}

    with pytest.raises(CacheReadOnly, match=f"{level} is a link"), store.using(REPO):
        pass
    for name in ("small.json", "large.bin"):
        with pytest.raises(CacheReadOnly, match=f"{level} is a link"):
            store.writer(REPO, manifest(more).entries[name])
    with pytest.raises(CacheReadOnly, match=f"{level} is a link"):
        download(store, manifest(more, commit=LATER), more)

    assert contents(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("level", OWN)
def test_where_a_folder_of_our_own_state_was_planted_what_is_cached_loads(store, tmp_path, level):
    before = lead_elsewhere(store, level, tmp_path / "elsewhere")
    wanted = manifest(FILES)

    store.mark_used(REPO, COMMIT)
    store.keep(REPO, "d" * 64, b"worked out")
    for name, data in FILES.items():
        state = store.inspect(wanted, [name])[name]
        assert state.trusted or store.verify_blob(wanted, name)
        assert store.path(wanted, name).read_bytes() == data

    assert contents(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("level", OWN)
def test_a_bad_content_is_not_moved_to_where_a_planted_folder_leads(store, tmp_path, level):
    before = lead_elsewhere(store, level, tmp_path / "elsewhere")
    blob = places(store)["blob"]
    os.chmod(blob, 0o644)
    Path(blob).write_bytes(b"x" * 5000)

    assert not store.verify_blob(manifest(FILES), "model.bin")

    assert contents(tmp_path / "elsewhere") == before
    assert os.path.exists(blob)


@pytest.mark.parametrize("level", OWN)
def test_pruning_deletes_nothing_where_a_planted_folder_leads(store, tmp_path, level):
    before = lead_elsewhere(store, level, tmp_path / "elsewhere")

    carry_out(choose(scan(store.layout.root), now=LONG_AFTER))
    done = carry_out(choose_named(scan(store.layout.root), [(REPO, None)]))

    assert contents(tmp_path / "elsewhere") == before
    assert [why for _, why in done.kept] == [f"{store.layout.repo(REPO).folder}/{level} is a link"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives links away")
def test_contents_are_not_led_elsewhere_by_a_strangers_link(store, tmp_path):
    blobs, more = store.layout.repo(REPO).blobs, {**FILES, "vocab.txt": b"a"}
    elsewhere = tmp_path / "elsewhere"
    os.rename(blobs, elsewhere)
    before = fill(elsewhere)
    os.symlink(elsewhere, blobs)
    os.chown(blobs, NOBODY, NOBODY, follow_symlinks=False)

    with pytest.raises(CacheReadOnly, match="blobs is a link"):
        download(store, manifest(more, commit=LATER), more)
    carry_out(choose(scan(store.layout.root), now=LONG_AFTER))
    carry_out(choose_named(scan(store.layout.root), [(REPO, None)]))

    assert contents(elsewhere) == before


def test_a_link_planted_for_a_stamp_is_replaced(store, victim):
    stamp = places(store)["stamp"]
    plant(stamp, victim)

    assert store.verify_blob(manifest(FILES), "model.bin")

    assert not os.path.islink(stamp)
    assert victim.read_bytes() == SECRET
    assert (
        CacheStore(store.layout.root).inspect(manifest(FILES), ["model.bin"])["model.bin"].trusted
    )


@pytest.mark.parametrize("part", ["data", "journal"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_partial_with_a_planted_part_is_not_gone_on_with(store, victim, part, kind):
    more = {"large.bin": content(9 * 2**20)}
    facts = manifest(more).entries["large.bin"]
    with store.writer(REPO, facts) as writer:
        writer.write(more["large.bin"][: 2**20])
    [left] = Path(store.layout.repo(REPO).partials).iterdir()
    (left / part).unlink()
    if kind == "link":
        (left / part).symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(left / part)
    else:
        (left / part).mkdir()

    paths = download(store, manifest(more, commit=LATER), more)

    assert paths["large.bin"].read_bytes() == more["large.bin"]
    assert victim.read_bytes() == SECRET
    assert not os.path.exists(store.layout.repo(REPO).partials)


def plant_folder(store, filename, tmp_path):
    """Put a link in the place of a pointer's folder: its links lead to an attacker's contents."""
    folder = store.path(manifest(FOLDED), filename).parent
    depth = len(folder.relative_to(store.layout.repo(REPO).folder).parts)
    elsewhere = tmp_path.joinpath("elsewhere", *map(str, range(depth)))
    elsewhere.parent.mkdir(parents=True)
    os.rename(folder, elsewhere)
    blobs = tmp_path / "elsewhere" / "blobs"
    blobs.mkdir()
    for name in os.listdir(store.layout.repo(REPO).blobs):
        (blobs / name).write_bytes(b"evil")
    os.symlink(elsewhere, folder)
    return elsewhere


FOLDED = {"config.json": b"{}", "onnx/model.bin": content(5000)}


@pytest.mark.parametrize("filename", FOLDED)
def test_a_folder_of_a_snapshot_that_is_a_planted_link_leads_nowhere(tmp_path, filename):
    store, wanted = CacheStore(tmp_path / "cache"), manifest(FOLDED)
    download(store, wanted, FOLDED)
    elsewhere = plant_folder(store, filename, tmp_path)
    planted = sorted(os.listdir(elsewhere))

    assert not store.inspect(wanted, [filename])[filename].pointer
    download(store, wanted, FOLDED)

    assert {name: store.path(wanted, name).read_bytes() for name in FOLDED} == FOLDED
    assert sorted(os.listdir(elsewhere)) == planted
    assert (tmp_path / "elsewhere" / "blobs").is_dir()


def test_snapshots_that_are_a_link_to_where_pointers_lead_nowhere_are_an_error(store, tmp_path):
    snapshots, wanted = store.layout.repo(REPO).snapshots, manifest(FILES)
    os.rename(snapshots, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", snapshots)

    assert not store.inspect(wanted, ["model.bin"])["model.bin"].pointer
    with pytest.raises(CacheError, match="snapshots is a link"):
        download(store, wanted, FILES)


def test_blobs_and_snapshots_may_lie_on_another_disk_together(store, tmp_path):
    layout, wanted = store.layout.repo(REPO), manifest(FILES)
    for folder in (layout.snapshots, layout.blobs):
        os.rename(folder, tmp_path / os.path.basename(folder))
        os.symlink(tmp_path / os.path.basename(folder), folder)
    more = {**FILES, "vocab.txt": b"a"}

    assert store.path(wanted, "model.bin").read_bytes() == FILES["model.bin"]
    paths = download(store, manifest(more, commit=LATER), more)
    assert {name: path.read_bytes() for name, path in paths.items()} == more


def test_a_pipe_planted_as_ref_does_not_block(store):
    ref = store.layout.repo(REPO).ref("main")
    os.unlink(ref)
    os.mkfifo(ref)

    assert store.read_ref(REPO, "main") is None


def strict(store, more=""):
    return CacheStore(store.layout.root, shared=f"strict{more}")


def test_strictly_shared_ones_own_cache_loads(store):
    wanted = manifest(FILES)

    assert strict(store).read_ref(REPO, "main") == COMMIT
    assert strict(store).path(wanted, "model.bin").read_bytes() == FILES["model.bin"]


@pytest.mark.parametrize("folder", ["blobs", "refs", "snapshots", "trees", "own", "folder"])
def test_strictly_shared_a_folder_that_is_a_link_is_an_error(store, tmp_path, folder):
    path = getattr(store.layout.repo(REPO), folder)
    os.rename(path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", path)

    with pytest.raises(CacheError, match="is no folder"):
        strict(store).read_ref(REPO, "main")


def test_strictly_shared_what_everyone_can_write_is_not_believed(store):
    layout, wanted = store.layout.repo(REPO), manifest(FILES)
    blob = layout.blob(wanted.entries["model.bin"].etag)
    os.chmod(blob, 0o666)
    with pytest.raises(CacheError, match="written by everyone"):
        strict(store).path(wanted, "model.bin")
    os.chmod(blob, 0o444)
    os.chmod(layout.blobs, 0o777)
    with pytest.raises(CacheError, match="written by everyone"):
        strict(store).path(wanted, "model.bin")
    os.chmod(layout.blobs, 0o1777)
    assert strict(store).path(wanted, "model.bin").read_bytes() == FILES["model.bin"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("level", ["ref", "listing", "blob"])
def test_strictly_shared_a_strangers_file_is_an_error_unless_he_is_named(store, level):
    os.chown(places(store)[level], NOBODY, NOBODY)
    wanted = manifest(FILES)

    def load(cache):
        commit = cache.read_ref(REPO, "main")
        cache.read_manifest(REPO, "main", commit)
        return cache.path(wanted, "model.bin").read_bytes()

    with pytest.raises(CacheError, match=f"belongs to user {NOBODY}"):
        load(strict(store))
    assert load(strict(store, f":{NOBODY}")) == FILES["model.bin"]
    assert load(store) == FILES["model.bin"]


def test_a_setting_that_means_nothing_is_refused():
    with pytest.raises(InvalidReference):
        Ownership("strict:me")
    with pytest.raises(InvalidReference):
        Ownership("loose")


CHILD = """
import os, sys
sys.path[:0] = [sys.argv[2]]
# This Python may be out of his reach: what is needed later is imported now.
import difflib, encodings.ascii, encodings.idna, fcntl, filelock
from cache_cases import COMMIT, LATER, REPO, content, download, manifest
from hubloader.cache import CacheStore
from hubloader.cache import partial, writer
from hubloader.errors import CacheReadOnly
os.setgid(65534); os.setuid(65534)
files = {"config.json": b"{}", "model.bin": content(5000)}
store, wanted = CacheStore(sys.argv[1]), manifest(files)
assert store.lease(REPO, COMMIT)
states = store.inspect(wanted, files)
assert all(s.pointer and s.trusted for s in states.values()), states
assert {n: store.path(wanted, n).read_bytes() for n in files} == files
assert store.read_manifest(REPO, "main", COMMIT).complete
store.mark_used(REPO, COMMIT)
try:
    store.writer(REPO, manifest({"new": b"new"}).entries["new"])
except CacheReadOnly as error:
    print("read-only")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_another_user_loads_what_is_cached_and_writes_nothing(public_path, umask):
    before = os.umask(umask)
    try:
        store = CacheStore(public_path / "cache")
        download(store, manifest(FILES), FILES)
    finally:
        os.umask(before)
    everything = [p for p in (public_path / "cache").rglob("*") if not p.is_symlink()]
    assert not [p for p in everything if p.stat().st_mode & stat.S_IWOTH]
    seen = {p: p.stat().st_mtime_ns for p in everything}

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, str(public_path / "cache"),
         str(Path(__file__).parent.parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout == "read-only\n"
    assert {p: p.stat().st_mtime_ns for p in everything} == seen


def test_private_and_group_modes_are_kept(tmp_path):
    before = os.umask(0o007)
    try:
        store = CacheStore(tmp_path / "cache")
        download(store, manifest(FILES, commit=LATER), FILES)
    finally:
        os.umask(before)
    layout = store.layout.repo(REPO)

    assert stat.S_IMODE(os.stat(layout.blobs).st_mode) == 0o770
    assert stat.S_IMODE(os.stat(layout.tree(LATER)).st_mode) == 0o660
    assert (
        stat.S_IMODE(os.stat(layout.guard).st_mode) == 0o660
        if os.path.exists(layout.guard)
        else True
    )
