"""One cache, two libraries: what either wrote, the other loads, lists, verifies and deletes.

huggingface_hub runs in a process of its own, against the embedded Hub; it reads its environment
when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from cache_cases import COMMIT, LATER, REPO, content, download, manifest

from hubloader.cache import CacheStore
from hubloader.cache.layout import CacheLayout
from hubloader.cache.report import scan, scan_cache_dir
from hubloader.mirror import MirrorServer
from hubloader.types import Manifest, OnDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.oracle

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "empty.txt": b"",
    "model.safetensors": content(300_000),
    "sub/deep/notes.txt": b"notes",
}
LFS = ["model.safetensors"]
LOADED = OnDisk(pointer=True, blob=True, trusted=True)
UNHASHED = OnDisk(pointer=True, blob=True)

PRELUDE = """
import json, sys, warnings
warnings.simplefilter("error")
from huggingface_hub import (
    HfApi, constants, hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
)
from huggingface_hub.file_download import _CACHED_NO_EXIST
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorServer]:
    root = tmp_path_factory.mktemp("hub")
    for branch, extra in (("", b""), ("@dev", b"dev")):
        for name, data in FILES.items():
            path = root / f"org/name{branch}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data + extra if name == "sub/deep/notes.txt" else data)
    with MirrorServer(root) as running:
        yield running


@pytest.fixture
def hf(tmp_path: Path, server: MirrorServer) -> Callable[..., Any]:
    """Run Python in a process where huggingface_hub uses the test's cache; give what it printed."""

    def run(code: str, **environment: str) -> Any:
        env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        env |= {"HF_HUB_CACHE": str(tmp_path), "HF_HOME": str(tmp_path / "home")}
        env |= {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
            env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        return json.loads(lines[-1]) if lines else None

    return run


def hf_command(tmp_path: Path, *arguments: str) -> str:
    program = "from huggingface_hub.cli.hf import main; main()"
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def known(store: CacheStore, revision: str = "main") -> Manifest:
    commit = store.known_commit(REPO, revision)
    assert commit is not None
    found = store.read_manifest(REPO, revision, commit)
    assert found is not None
    return found


# theirs, read by us


@pytest.mark.parametrize("symlinks", [True, False])
def test_a_snapshot_of_theirs_is_found_hashed_once_and_used(hf, tmp_path, symlinks):
    hf("snapshot_download('org/name')", HF_HUB_DISABLE_SYMLINKS="" if symlinks else "1")
    store = CacheStore(tmp_path)
    found = known(store)

    assert found.complete
    assert set(found.entries) == set(FILES)
    assert store.inspect(found, FILES) == dict.fromkeys(FILES, UNHASHED)
    assert all(store.verify_blob(found, name) for name in FILES)
    assert store.inspect(found, FILES) == dict.fromkeys(FILES, LOADED)
    assert {name: store.path(found, name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("symlinks", [True, False])
def test_a_single_file_of_theirs_is_found_without_a_listing(hf, tmp_path, symlinks):
    hf("hf_hub_download('org/name', 'sub/deep/notes.txt')",
       HF_HUB_DISABLE_SYMLINKS="" if symlinks else "1")  # fmt: skip
    store = CacheStore(tmp_path)
    found = known(store)

    assert not found.complete
    assert set(found.entries) == {"sub/deep/notes.txt"}
    assert store.verify_blob(found, "sub/deep/notes.txt")
    assert store.path(found, "sub/deep/notes.txt").read_bytes() == b"notes"


def test_their_absence_mark_is_read(hf, tmp_path):
    hf("""
        try:
            hf_hub_download('org/name', 'tokenizer.json')
        except Exception:
            pass
    """)
    store = CacheStore(tmp_path)
    commits = os.listdir(tmp_path / "models--org--name" / ".no_exist")

    assert store.is_absent(REPO, commits[0], "tokenizer.json")


def test_a_damaged_blob_of_theirs_is_found_out(hf, tmp_path):
    hf("snapshot_download('org/name')")
    store = CacheStore(tmp_path)
    found = known(store)
    blob = CacheLayout(tmp_path).repo(REPO).blob(found.entries["model.safetensors"].etag)
    with open(blob, "r+b") as file:
        file.write(b"flip")

    assert not store.verify_blob(found, "model.safetensors")
    assert store.inspect(found, ["model.safetensors"])["model.safetensors"] == OnDisk()


# ours, read by them


def ours(tmp_path: Path, **options: Any) -> Manifest:
    wanted = manifest(FILES, lfs=LFS)
    store = CacheStore(tmp_path, **options)
    download(store, wanted, FILES)
    store.mark_absent(wanted, ["tokenizer.json"])
    store.set_ref(REPO, "refs/pr/1", wanted.commit)
    store.set_ref(REPO, "hubloader/pinned", wanted.commit)
    return wanted


READ_OURS = """
from pathlib import Path
folder = snapshot_download('org/name')
print(json.dumps({
    "files": sorted(str(p.relative_to(folder)) for p in Path(folder).rglob('*') if p.is_file()),
    "notes": Path(hf_hub_download('org/name', 'sub/deep/notes.txt')).read_text(),
    "pr": Path(hf_hub_download('org/name', 'config.json', revision='refs/pr/1')).read_text(),
    "absent": try_to_load_from_cache('org/name', 'tokenizer.json') is _CACHED_NO_EXIST,
    "warnings": [str(w) for w in scan_cache_dir().warnings],
    "incomplete": len(scan_cache_dir().incomplete_files),
}))
"""


@pytest.mark.parametrize("link_mode", ["symlink", "hardlink", "copy"])
@pytest.mark.parametrize("durability", ["batch", "none"])
def test_they_load_ours_offline_and_scan_it_without_a_warning(hf, tmp_path, link_mode, durability):
    ours(tmp_path, link_mode=link_mode, durability=durability)

    assert hf(READ_OURS, HF_HUB_OFFLINE="1") == {
        "files": sorted(FILES),
        "notes": "notes",
        "pr": FILES["config.json"].decode(),
        "absent": True,
        "warnings": [],
        "incomplete": 0,
    }


def test_a_suspended_download_of_ours_is_neither_a_warning_nor_pruned(tmp_path):
    ours(tmp_path)
    big = content(9 * 1024 * 1024)
    wanted = manifest({"big.bin": big}, commit=LATER)
    with CacheStore(tmp_path).writer(REPO, wanted.entries["big.bin"]) as writer:
        writer.write(big[:5000])

    report = scan_cache_dir(tmp_path)
    hf_command(tmp_path, "cache", "prune", "--yes")

    assert report.warnings == []
    assert CacheStore(tmp_path).inspect(wanted, ["big.bin"])["big.bin"].partial == 5000


def test_their_listing_of_a_commit_is_what_we_wrote(tmp_path):
    wanted = ours(tmp_path)
    from huggingface_hub._tree_cache import read_tree_cache

    theirs = read_tree_cache(str(tmp_path / "models--org--name"), wanted.commit)

    facts = {name: (e.size, e.blob_id, e.lfs_sha256) for name, e in theirs.items()}
    assert facts == {n: (e.size, e.git_sha1, e.sha256) for n, e in wanted.entries.items()}


def test_their_command_lists_and_removes_ours(tmp_path):
    ours(tmp_path)

    assert "org/name" in hf_command(tmp_path, "cache", "ls")
    hf_command(tmp_path, "cache", "rm", "model/org/name", "--yes")

    store = CacheStore(tmp_path)
    assert store.known_commit(REPO, "main") is None
    assert store.inspect(manifest(FILES, lfs=LFS), FILES) == dict.fromkeys(FILES, OnDisk())
    assert ours(tmp_path).commit == COMMIT


def test_a_commit_of_ours_with_a_ref_is_not_pruned_by_them(tmp_path):
    wanted = ours(tmp_path)

    hf_command(tmp_path, "cache", "prune", "--yes")

    fresh = CacheStore(tmp_path)
    assert fresh.inspect(wanted, FILES) == dict.fromkeys(FILES, LOADED)


def test_they_delete_one_revision_of_ours_and_the_other_stays_whole(tmp_path):
    first = ours(tmp_path)
    later_files = {**FILES, "config.json": b"{}"}
    later = manifest(later_files, lfs=LFS, commit=LATER, revision="dev")
    download(CacheStore(tmp_path), later, later_files)

    scan_cache_dir(tmp_path).delete_revisions(COMMIT).execute()

    store = CacheStore(tmp_path)
    assert store.inspect(later, later_files) == dict.fromkeys(later_files, LOADED)
    assert not store.inspect(first, ["config.json"])["config.json"].blob
    assert scan_cache_dir(tmp_path).warnings == []


# both at once


def test_they_go_on_with_a_cache_of_ours_and_we_with_theirs(hf, tmp_path):
    hf("snapshot_download('org/name', revision='dev')")
    store = CacheStore(tmp_path)
    dev = known(store, "dev")
    main = Manifest(
        REPO, "ours", COMMIT, {n: e for n, e in dev.entries.items() if n != "sub/deep/notes.txt"}
    )
    state = store.inspect(main, main.entries)
    assert all(s.blob and not s.pointer for s in state.values())

    assert all(store.verify_blob(main, name) for name in main.entries)
    for name in main.entries:
        store.link(main, name)
    store.set_ref(REPO, "ours", COMMIT)
    hf("snapshot_download('org/name', revision='main')")

    assert known(store, "main").complete
    assert scan_cache_dir(tmp_path).warnings == []
    assert scan(tmp_path).repos[0].warnings == ()


def test_both_take_the_same_lock(hf, tmp_path, server):
    """Theirs waits for ours: what we name meanwhile is what it uses, with one download."""
    hf("hf_hub_download('org/name', 'config.json')")
    store = CacheStore(tmp_path)
    commit = store.known_commit(REPO, "main")
    listed = manifest(FILES, lfs=LFS, commit=commit)
    facts = listed.entries["model.safetensors"]

    with store.blob_lock(REPO, facts.etag):
        env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        env |= {
            "HF_HUB_CACHE": str(tmp_path),
            "HF_ENDPOINT": server.url,
            "HF_HUB_VERBOSITY": "info",
        }
        code = PRELUDE + "print(hf_hub_download('org/name', 'model.safetensors'))"
        waiting = subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=3)
        assert not any(
            ".incomplete" in name for name in os.listdir(tmp_path / "models--org--name/blobs")
        )
        with store.writer(REPO, facts) as writer:
            writer.write(FILES["model.safetensors"])
            writer.commit()

    printed, _ = waiting.communicate(timeout=60)
    blob = CacheLayout(tmp_path).repo(REPO).blob(facts.etag)
    assert os.path.realpath(printed.strip()) == os.path.realpath(blob)
    assert os.stat(blob).st_mode & 0o222 == 0  # ours: theirs would be writable


def test_a_shared_xet_blob_of_theirs_is_used_and_never_written_through(tmp_path):
    wanted = ours(tmp_path)
    layout = CacheLayout(tmp_path)
    blob = layout.repo(REPO).blob(wanted.entries["model.safetensors"].etag)
    shared = layout.shared_blob("cd" * 32)
    os.makedirs(os.path.dirname(shared))
    (tmp_path / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    os.rename(blob, shared)
    os.symlink(os.path.relpath(shared, os.path.dirname(blob)), blob)
    store = CacheStore(tmp_path)

    assert store.inspect(wanted, FILES) == dict.fromkeys(FILES, LOADED)
    assert scan_cache_dir(tmp_path).warnings == []

    os.chmod(shared, 0o600)
    with open(shared, "r+b") as file:
        file.write(b"flip")
    assert not store.verify_blob(wanted, "model.safetensors")
    assert os.path.exists(shared)
    download(store, wanted, {"model.safetensors": FILES["model.safetensors"]})
    assert store.path(wanted, "model.safetensors").read_bytes() == FILES["model.safetensors"]
    with open(shared, "rb") as file:
        assert file.read(4) == b"flip"
