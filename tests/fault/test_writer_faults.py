"""Killed, refused or unplugged at every step: correct bytes or a typed error, and a rerun mends.

The scenario is an update: a cache that holds one commit downloads the next. After every fault

- what is visible is whole: no pointer dangles, no blob has other bytes than its name says;
- the old snapshot is in service until the new one is complete: the ref moved last;
- huggingface_hub's scan finds nothing to warn of;
- running the same again ends well, without any cleaning up.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest
from power_cut import Recorder

from hubloader.cache import CacheStore, disk, writer
from hubloader.cache.digest import ContentHash
from hubloader.cache.layout import CacheLayout
from hubloader.cache.report import scan, scan_cache_dir
from hubloader.errors import CacheError

OLD = {"config.json": b'{"v": 1}', "vocab.txt": content(3000, 1), "model.bin": content(9000, 2)}
NEW = OLD | {"config.json": b'{"v": 2}', "sub/model.bin": content(50_000, 3)}
FEW = OLD | {"config.json": b'{"v": 2}', "sub/a.bin": content(2000, 4), "b": b"b", "c": b"c"}


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """Contents from 10,000 bytes are journalled, so that tests need no megabytes."""
    monkeypatch.setattr(writer, "LARGE", 10_000)
    monkeypatch.setattr(writer, "_CHECKPOINT", 10_000)


def cached(root: Path, **options) -> CacheStore:
    store = CacheStore(root, **options)
    download(store, manifest(OLD), OLD)
    return store


def update(store: CacheStore, files=NEW) -> None:
    download(store, manifest(files, commit=LATER), files)


def whole(store: CacheStore, wanted, files) -> bool:
    states = store.inspect(wanted, files)
    for name, state in states.items():
        if state.blob and not state.trusted and not store.verify_blob(wanted, name):
            return False
    return all(
        state.pointer and store.path(wanted, name).read_bytes() == files[name]
        for name, state in states.items()
    )


def faults_in(root: Path, files=NEW) -> list[str]:
    """What is wrong with a cache that was interrupted; nothing, if promises are kept."""
    store, layout = CacheStore(root), CacheLayout(root).repo(REPO)
    found = []
    expected = {e.etag for m in (manifest(OLD), manifest(files)) for e in m.entries.values()}
    for name in os.listdir(layout.blobs):
        with open(layout.blob(name), "rb") as file:
            data = file.read()
        digest = ContentHash(name, len(data))
        digest.update(data)
        if name not in expected or not digest.matches:
            found.append(f"blob {name} is not what its name says")
    found += [warning for repo in scan(root).repos for warning in repo.warnings]
    commit = store.read_ref(REPO, "main")
    if commit not in {COMMIT, LATER}:
        found.append(f"the ref is {commit}")
    if not whole(store, manifest(OLD), OLD):
        found.append("the old snapshot is not whole")
    if commit == LATER and not whole(store, manifest(files, commit=LATER), files):
        found.append("the ref moved to a snapshot that is not whole")
    return found


# killed at every call


CALLS = (
    "open", "write", "pwrite", "replace", "rename", "unlink", "mkdir", "symlink", "fsync",
    "ftruncate", "fchmod", "rmdir",
)  # fmt: skip


def at_call(number: int, act) -> list[int]:
    """Have ``act`` done instead of the N-th of the calls that change the disk; give the count."""
    counted = [0]

    def hook(name: str) -> None:
        real = getattr(os, name)

        def call(*args, **options):
            writes = name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR)
            counted[0] += bool(writes)
            if writes and counted[0] == number:
                act()
            return real(*args, **options)

        setattr(os, name, call)

    for name in CALLS:
        hook(name)
    return counted


KILLED, ENDED_WELL, OUR_ERROR, NO_FAULT_CAME = 137, 0, 3, 4


def in_child(number: int, act, work) -> int:
    """Fork, and do ``work`` with a fault at its N-th call."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            counted = at_call(number, act)
            work()
            status = ENDED_WELL if counted[0] >= number else NO_FAULT_CAME
        except CacheError:
            status = OUR_ERROR
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("durability", ["batch", "full"])
def test_killed_at_every_call_that_changes_the_disk(tmp_path, durability):
    base = tmp_path / "base"
    cached(base)
    for number in range(1, 1000):
        root = tmp_path / f"n{number}"
        shutil.copytree(base, root, symlinks=True)

        status = in_child(
            number,
            lambda: os._exit(KILLED),
            lambda root=root: update(CacheStore(root, durability=durability)),
        )

        assert status in {KILLED, NO_FAULT_CAME}
        assert faults_in(root) == []
        update(CacheStore(root))
        assert whole(CacheStore(root), manifest(NEW, commit=LATER), NEW)
        download(CacheStore(root), manifest({"next": b"n"}, commit=LATER), {"next": b"n"})
        assert scan(root).repos[0].partial == 0, "the next download sweeps what the dead left"
        shutil.rmtree(root)
        if status == NO_FAULT_CAME:
            break
    assert number > 60


@pytest.mark.parametrize(
    "number_of_error", ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE"]
)
def test_refused_at_every_call_that_changes_the_disk(tmp_path, number_of_error):
    code = getattr(errno, number_of_error)

    def refuse():
        raise OSError(code, os.strerror(code))

    base = tmp_path / "base"
    cached(base)
    for number in range(1, 1000):
        root = tmp_path / f"n{number}"
        shutil.copytree(base, root, symlinks=True)

        status = in_child(number, refuse, lambda root=root: update(CacheStore(root), FEW))

        assert status in {ENDED_WELL, OUR_ERROR, NO_FAULT_CAME}, f"call {number}: no error of ours"
        assert faults_in(root, FEW) == []
        update(CacheStore(root), FEW)
        assert whole(CacheStore(root), manifest(FEW, commit=LATER), FEW)
        shutil.rmtree(root)
        if status == NO_FAULT_CAME:
            break
    assert number > 60


# unplugged


@pytest.mark.parametrize("durability", ["batch", "full"])
def test_every_state_a_power_cut_may_leave_is_sound(tmp_path, monkeypatch, durability):
    assert states_with_faults(tmp_path, monkeypatch, durability) == []


@pytest.mark.parametrize("durability", ["batch", "full"])
@pytest.mark.parametrize("missing", ["sync_file", "sync_folders", "sync_filesystem"])
def test_the_model_notices_when_one_sync_is_missing(tmp_path, monkeypatch, durability, missing):
    if (durability, missing) == ("full", "sync_filesystem"):
        pytest.skip("full syncs each file: it has no use for one sync of all")
    assert states_with_faults(tmp_path, monkeypatch, durability, missing) != []


def states_with_faults(
    tmp_path: Path, monkeypatch, durability: str, missing: str | None = None
) -> list[str]:
    root = tmp_path / "cache"
    cached(root)
    recorder = Recorder(root)
    with recorder.recording(monkeypatch):
        if missing:
            monkeypatch.setattr(disk, missing, lambda _what: True)
        update(CacheStore(root, durability=durability), FEW)
    assert recorder.step > 50

    found = []
    for number, (step, names, fate) in enumerate(recorder.states(random.Random(7))):
        place = tmp_path / f"state{number}"
        place.mkdir()
        recorder.build(place, step, names, fate)
        wrong = faults_in(place, FEW)
        if step == recorder.step and not whole(CacheStore(place), manifest(FEW, commit=LATER), FEW):
            wrong.append("the call had returned, and its files are not there")
        found += [f"after step {step}, {fate}: {what}" for what in wrong]
        shutil.rmtree(place)
    return found


# no room, no right


CHILD = """
import os, sys
sys.path[:0] = [sys.argv[2]]
from cache_cases import COMMIT, LATER, REPO, content, download, manifest
from hubloader.cache import CacheStore
from hubloader.errors import CacheReadOnly, DiskFull
store = CacheStore(sys.argv[1])
files = {"config.json": b"{}", "model.bin": content(300_000, 2)}
wanted = manifest(files)
"""


def mounted(script: str, setup: str, after: str, tmp_path: Path) -> str:
    """Run ``setup``, Python, ``after`` and Python again in a mount namespace of their own."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    python = f'{sys.executable} -W error -c "$1" {folder} {Path(__file__).parent.parent}'
    second = f'{sys.executable} -W error -c "$2" {folder} {Path(__file__).parent.parent}'
    shell = f"set -e; {setup.format(folder)}; {python}; {after.format(folder)}; {second}"
    first, _, last = script.partition("#--\n")
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", shell, "sh", CHILD + first,
               CHILD + last]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_read_only_file_system_serves_all_that_is_cached_and_says_what_it_cannot(tmp_path):
    out = mounted(
        """
download(store, wanted, files)
#--
found = store.read_manifest(REPO, "main", store.known_commit(REPO, "main"))
assert all(s.pointer and s.trusted for s in store.inspect(found, files).values())
assert {n: store.path(found, n).read_bytes() for n in files} == files
assert all(store.verify_blob(found, n) for n in files)
store.mark_used(REPO, COMMIT); store.confirm_ref(REPO, "main")
with store.batch():
    store.set_ref(REPO, "main", COMMIT); store.write_manifest(found)
    store.link(found, "config.json")
with store.blob_lock(REPO, "ab" * 20) as outcome:
    print(outcome.name)
later = manifest({"new": b"new"}, commit=LATER)
for change in (lambda: store.writer(REPO, later.entries["new"]),
               lambda: store.set_ref(REPO, "main", LATER),
               lambda: store.write_manifest(later),
               lambda: store.mark_absent(later, ["x"])):
    try:
        change()
    except CacheReadOnly as error:
        print(error.errno, bool(error.hint))
""",
        "mount -t tmpfs tmpfs {0}",
        "mount -o remount,ro {0}",
        tmp_path,
    )

    assert out.split("\n") == ["UNAVAILABLE", *["30 True"] * 4, ""]


def test_blobs_without_stamps_on_a_read_only_file_system_are_trusted_by_size(tmp_path):
    mounted(
        """
import shutil
download(store, wanted, files)
shutil.rmtree(os.path.join(sys.argv[1], "models--org--name", ".hubloader"))
#--
assert all(s.trusted for s in store.inspect(wanted, files).values())
""",
        "mount -t tmpfs tmpfs {0}",
        "mount -o remount,ro {0}",
        tmp_path,
    )


def test_a_full_disk_is_one_clear_error_and_what_was_there_stays(tmp_path):
    out = mounted(
        """
download(store, wanted, files)
big = {"big.bin": content(9 * 1024 * 1024, 5), "other.bin": content(400_000, 6)}
for name in big:
    later = manifest(big, commit=LATER)
    try:
        download(store, later, {name: big[name]})
    except DiskFull as error:
        print(error.needed == len(big[name]), error.free is not None, bool(error.hint))
#--
assert {n: store.path(wanted, n).read_bytes() for n in files} == files
assert str(store.read_ref(REPO, "main")) == COMMIT
""",
        "mount -t tmpfs -o size=900k tmpfs {0}",
        "true",
        tmp_path,
    )

    assert out.split("\n")[0] == "True True True"


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_another_user_reads_a_warm_cache_without_writing(tmp_path):
    root = tmp_path / "shared"
    cached(root)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    before = sorted(str(path) for path in root.rglob("*"))

    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            store = CacheStore(root)
            status = 0 if whole(store, manifest(OLD), OLD) else 2
            store.mark_used(REPO, COMMIT)
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(str(path) for path in root.rglob("*")) == before


@pytest.mark.oracle
def test_huggingface_hub_finds_nothing_to_warn_of_after_a_kill(tmp_path):
    base = tmp_path / "base"
    cached(base)
    for number in range(1, 120, 9):
        root = tmp_path / f"n{number}"
        shutil.copytree(base, root, symlinks=True)
        in_child(number, lambda: os._exit(KILLED), lambda root=root: update(CacheStore(root)))

        assert scan_cache_dir(root).warnings == []
