"""Repositories made up for the tests of the cache: contents, entries, manifests, downloads."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from hubloader.types import CommitHash, Entry, Manifest, RepoId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hubloader.cache import CacheStore

REPO = RepoId.parse("org/name")
COMMIT = CommitHash("a1" * 20)
LATER = CommitHash("b2" * 20)


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def entry(data: bytes, *, lfs: bool = False) -> Entry:
    pointer = git_sha1(b"pointer to " + data[:20])
    return Entry(len(data), pointer, sha256(data)) if lfs else Entry(len(data), git_sha1(data))


def manifest(
    files: Mapping[str, bytes],
    *,
    lfs: Iterable[str] = (),
    commit: CommitHash = COMMIT,
    repo: RepoId = REPO,
    revision: str = "main",
) -> Manifest:
    large = set(lfs)
    entries = {name: entry(data, lfs=name in large) for name, data in files.items()}
    return Manifest(repo, revision, commit, entries)


def overwrite(path: Path, data: bytes) -> None:
    """Write over a file that was looked at, once the file system's clock has moved on.

    It advances in steps of up to 10 ms: of two writes within one step, no time tells.
    """
    before = path.stat().st_ctime_ns
    path.chmod(0o644)
    path.write_bytes(data)
    while path.stat().st_ctime_ns == before:
        path.write_bytes(data)


def download(store: CacheStore, wanted: Manifest, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Do what the engine does, with bytes from memory."""
    paths = {}
    with store.batch():
        for name, data in files.items():
            facts = wanted.entries[name]
            with store.blob_lock(wanted.repo, facts.etag):
                if not store.inspect(wanted, [name])[name].blob:
                    with store.writer(wanted.repo, facts) as writer:
                        writer.write(memoryview(data)[writer.position :])
                        writer.commit()
            paths[name] = store.link(wanted, name)
        store.write_manifest(wanted)
        store.set_ref(wanted.repo, wanted.revision, wanted.commit)
    return paths
