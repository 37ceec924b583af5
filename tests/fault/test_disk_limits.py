"""A disk that is full, read-only or another user's: what is cached loads, the rest is said."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cache_cases import REPO, content, download, manifest
from cache_world import M_OLD, OLD, in_child, kill, operations, small_is_large, whole

import hubloader
from hubloader.cache import CacheStore, disk
from hubloader.cache.report import scan_cache_dir

UPDATE = next(operation for operation in operations() if operation.name == "update")

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
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
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


def test_too_few_inodes_are_told_before_the_first_byte(tmp_path):
    out = mounted(
        """
store.check_room(10, 4)
try:
    store.check_room(10, 20)
except DiskFull as error:
    print(error.message, "|", error.hint)
#--
""",
        "mount -t tmpfs -o nr_inodes=60 tmpfs {0}",
        "true",
        tmp_path,
    )

    assert "20 files are to be brought" in out
    assert "its inodes are used up, not its bytes" in out
    assert "hubloader prune" in out


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE])
def test_a_load_of_what_is_cached_needs_no_room_for_its_notes(tmp_path, monkeypatch, code):
    files = {"config.json": b"{}", "model.bin": content(3000)}
    store = CacheStore(tmp_path)
    download(store, manifest(files), files)
    shutil.rmtree(store.layout.repo(REPO).own)  # as huggingface_hub would have left it

    def full(*_arguments, **_keywords):
        raise OSError(code, os.strerror(code))

    for name in ("write_atomically", "append", "create", "make_nested"):
        monkeypatch.setattr(disk, name, full)
    found = hubloader.snapshot_download(str(REPO), cache_dir=tmp_path, local_files_only=True)

    assert {name: Path(found, name).read_bytes() for name in files} == files
    store.confirm_ref(REPO, "main")
    assert store.ref_age(REPO, "main") is None


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_another_user_reads_a_warm_cache_without_writing(public_path):
    root = public_path / "shared"
    UPDATE.prepare(root)
    before = sorted(str(path) for path in root.rglob("*"))

    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            store = CacheStore(root)
            status = 0 if whole(store, M_OLD, OLD) else 2
            store.mark_used(REPO, M_OLD.commit)
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(str(path) for path in root.rglob("*")) == before


@pytest.mark.oracle
def test_huggingface_hub_finds_nothing_to_warn_of_after_a_kill(tmp_path):
    with small_is_large():
        UPDATE.prepare(tmp_path / "base")
        for number in range(1, 120, 9):
            root = tmp_path / f"n{number}"
            shutil.copytree(tmp_path / "base", root, symlinks=True)
            in_child(number, kill, lambda root=root: UPDATE.work(root))

            assert scan_cache_dir(root).warnings == []
