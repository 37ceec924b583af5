"""Bundles: what a lock names, as one tar, to be carried to a site without a network.

::

    models.lock             the index: every file with its sha256; first
    trees/<commit>.json     what the whole commit holds, in huggingface_hub's format
    blobs/<sha256>          contents, each once, sorted

The bytes depend on nothing but the content, so a broken export goes on where it stopped, and two
exports of one lock are one file. On the way in nothing is extracted: contents stream into the
cache's own verified writer, under names that the cache makes; a path, size or hash that is not the
index's ends it. What is in the cache already is read past. Pointers and refs come last, when every
content is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from hubloader.errors import CacheMiss, CorruptFile, IntegrityError, UnsafeFile
from hubloader.locking import tar
from hubloader.locking.desk import check_sha256
from hubloader.locking.lockfile import LOCK_NAME, format_lock, parse_lock
from hubloader.locking.syncing import set_refs
from hubloader.types import Manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hubloader.cache.store import CacheStore
    from hubloader.cache.writer import BlobWriter
    from hubloader.locking.desk import Desk
    from hubloader.locking.values import Lock, LockedFile, LockedModel
    from hubloader.types import RepoId

__all__ = ["Imported", "export_bundle", "import_bundle", "parse_have"]

_MAX_LOCK = 256 * 2**20  # bytes
_MAX_TREE = 512 * 2**20
_CHUNK = 2**20
_BLOB = re.compile(r"blobs/([0-9a-f]{64})")
_TREE = re.compile(r"trees/([0-9a-f]{40})\.json")
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class _Part:
    """One member of a bundle to write: ``data``, or the file at ``path``, whose hash is known."""

    name: str
    size: int
    data: bytes = b""
    path: str = ""
    sha256: str = ""

    def chunks(self) -> Iterator[bytes]:
        """The header, the content and the padding; the content is hashed on its way."""
        yield tar.header(self.name, self.size)
        content, count = hashlib.sha256(), 0
        for data in self._content():
            content.update(data)
            count += len(data)
            yield data
        if count != self.size or (self.sha256 and content.hexdigest() != self.sha256):
            raise IntegrityError(
                f"{self.path} is not the content that was locked",
                expected=self.sha256,
                actual=content.hexdigest(),
                hint="run `hubloader verify --repair`",
            )
        yield tar.padding(self.size)

    def _content(self) -> Iterator[bytes]:
        if not self.path:
            yield self.data
            return
        with open(self.path, "rb") as file:
            while data := file.read(_CHUNK):
                yield data


# out


def parse_have(text: str) -> frozenset[str]:
    """The contents that the other side has: every sha256 in a text, a lock among them."""
    return frozenset(_SHA256.findall(text))


def export_bundle(
    desk: Desk, lock: Lock, target: str | IO[bytes], have: Collection[str] = ()
) -> int:
    """Write a bundle; all its files have to be in the cache.

    Args:
        desk: the cache.
        lock: what to carry.
        target: a path, where a broken export is gone on with, or a stream.
        have: contents to leave out.

    Returns:
        The size of the bundle in bytes.

    Raises:
        CacheMiss: files are not in the cache.
        IntegrityError: a cached content is bad.

    """
    parts = list(_parts(desk, lock, have))
    if not isinstance(target, str):
        size = sum(target.write(data) for part in parts for data in part.chunks())
        return size + target.write(tar.END)
    draft = f"{target}.part"
    with open(draft, "a+b") as file:
        done = _resumable(file, parts)
        file.seek(0, os.SEEK_END)
        for part in parts[done:]:
            file.writelines(part.chunks())
        file.write(tar.END)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    os.replace(draft, target)
    return size


def _parts(desk: Desk, lock: Lock, have: Collection[str]) -> Iterator[_Part]:
    text = format_lock(lock).encode()
    yield _Part(LOCK_NAME, len(text), data=text)
    blobs: dict[str, _Part] = {}
    trees: dict[str, _Part] = {}
    for model in lock.models:
        paths = desk.bring(model.manifest, [file.path for file in model.files])
        for file in model.files:
            name, path = f"blobs/{file.sha256}", os.fspath(paths[file.path])
            if file.sha256 not in have:
                blobs[name] = _Part(name, file.size, path=path, sha256=file.sha256)
        tree = _listing(desk.store, model)
        if tree is not None:
            trees[model.commit] = _Part(f"trees/{model.commit}.json", len(tree), data=tree)
    yield from (trees[name] for name in sorted(trees))
    yield from (blobs[name] for name in sorted(blobs))


def _listing(store: CacheStore, model: LockedModel) -> bytes | None:
    from hubloader.cache.trees import format_tree

    known = store.read_manifest(model.repo, model.revision, model.commit)
    return format_tree(known.entries) if known is not None and known.complete else None


def _resumable(file: IO[bytes], parts: list[_Part]) -> int:
    """How many parts are in the file already, to the byte; what follows them is cut off."""
    file.seek(0)
    good, done = 0, 0
    for part in parts:
        if not all(file.read(len(data)) == data for data in part.chunks() if data):
            break
        good, done = file.tell(), done + 1
    file.truncate(good)
    return done


# in


@dataclass
class Imported:
    """What an import brought: the entries, and what was not in the cache before.

    ``received`` is in bytes, ``contents`` a count.
    """

    lock: Lock
    received: int = 0
    contents: int = 0


def import_bundle(desk: Desk, stream: IO[bytes], expected: Lock | None = None) -> Imported:
    """Bring a bundle into the cache.

    Args:
        desk: the cache.
        stream: the bundle; read once, in order.
        expected: a lock that its entries have to be in, as they are there; None to trust its own.

    Raises:
        UnsafeFile: it holds something that a bundle does not have.
        IntegrityError: a content is not the one that the index names, or it is not whole.
        CacheMiss: contents were left out of it, and are not in the cache.
        DiskFull: there is no room.

    """
    members = tar.members(stream)
    done = Imported(_index(members, expected))
    places = _places(done.lock)
    _refuse_without_room(desk.store, done.lock, places)
    with contextlib.ExitStack() as stack:
        for repo in {model.repo for model in done.lock.models}:
            stack.enter_context(desk.store.using(repo))
        with desk.store.batch():
            trees = _take_all(desk.store, members, places, done)
            _refuse_gaps(desk.store, done.lock)
            for model in done.lock.models:
                for file in model.files:
                    desk.store.link(model.manifest, file.path)
                _keep_listing(desk.store, model, trees.get(model.commit))
        _publish(desk, done.lock)
    return done


def _index(members: Iterator[tar.Member], expected: Lock | None) -> Lock:
    first = next(members, None)
    if first is None or first.name != LOCK_NAME:
        raise CorruptFile(
            f"the bundle does not begin with {LOCK_NAME}",
            hint="it was not made by `hubloader export`",
        )
    try:
        text = first.content(_MAX_LOCK).decode("utf-8")
    except UnicodeDecodeError:
        raise CorruptFile(f"{LOCK_NAME} of the bundle is not UTF-8", hint="copy it again") from None
    lock = parse_lock(text, f"{LOCK_NAME} of the bundle")
    if expected is not None:
        for model in lock.models:
            if expected.named(model.name) != model:
                raise IntegrityError(
                    f"the bundle's entry {model.name!r} is not the one of the lock that was given",
                    hint="the bundle was made from another lock",
                    repo_id=str(model.repo),
                )
    return lock


def _places(lock: Lock) -> dict[str, list[tuple[RepoId, LockedFile]]]:
    """Where each content belongs: a repository names it by sha256 or by git's sha1."""
    places: dict[str, list[tuple[RepoId, LockedFile]]] = {}
    for model in lock.models:
        for file in model.files:
            known = places.setdefault(file.sha256, [])
            if all((repo, f.entry) != (model.repo, file.entry) for repo, f in known):
                known.append((model.repo, file))
    return places


def _refuse_without_room(
    store: CacheStore, lock: Lock, places: Mapping[str, list[tuple[RepoId, LockedFile]]]
) -> None:
    here = set(_contents_here(store, lock))
    sizes = [
        file.size
        for files in places.values()
        for repo, file in files
        if (repo, file.entry.etag) not in here
    ]
    store.check_room(sum(sizes), len(sizes), " out of the bundle")


def _contents_here(store: CacheStore, lock: Lock) -> Iterator[tuple[RepoId, str]]:
    for model in lock.models:
        disk = store.inspect(model.manifest, [file.path for file in model.files])
        for file in model.files:
            if disk[file.path].blob and disk[file.path].trusted:
                yield model.repo, file.entry.etag


def _take_all(
    store: CacheStore,
    members: Iterator[tar.Member],
    places: Mapping[str, list[tuple[RepoId, LockedFile]]],
    done: Imported,
) -> dict[str, bytes]:
    """Take every content in, and return the listings by their commit."""
    seen: set[str] = set()
    trees: dict[str, bytes] = {}
    here = set(_contents_here(store, done.lock))
    commits = {model.commit for model in done.lock.models}
    for member in members:
        if member.name in seen:
            raise UnsafeFile(f"the bundle has {member.name[:200]!r} twice")
        seen.add(member.name)
        tree, blob = _TREE.fullmatch(member.name), _BLOB.fullmatch(member.name)
        if tree is not None and tree[1] in commits:
            trees[tree[1]] = member.content(_MAX_TREE)
        elif blob is not None and blob[1] in places:
            files = [p for p in places[blob[1]] if (p[0], p[1].entry.etag) not in here]
            _take(store, member, blob[1], places[blob[1]][0][1].size, files)
            done.contents += bool(files)
            done.received += member.size * bool(files)
        else:
            raise UnsafeFile(
                f"the bundle is refused: its index knows nothing of {member.name[:200]!r}",
                hint="make it with `hubloader export`",
            )
    return trees


def _take(
    store: CacheStore,
    member: tar.Member,
    sha256: str,
    size: int,
    files: list[tuple[RepoId, LockedFile]],
) -> None:
    """Stream one content into the cache, under each name that it has there."""
    if member.size != size:
        raise IntegrityError(
            f"{member.name} of the bundle has not the size that its index names",
            expected=f"{size} bytes",
            actual=f"{member.size} bytes",
        )
    if not files:
        return
    content, offset = hashlib.sha256(), 0
    with contextlib.ExitStack() as stack:
        writers: list[BlobWriter] = []
        for repo, file in files:
            stack.enter_context(store.blob_lock(repo, file.entry.etag))
            writers.append(stack.enter_context(store.writer(repo, file.entry)))
        for data in member.chunks():
            content.update(data)
            for writer in writers:
                writer.write_at(offset, data)
            offset += len(data)
        if content.hexdigest() != sha256:
            for writer in writers:
                writer.discard()
            raise IntegrityError(
                f"{member.name} of the bundle is damaged",
                expected=sha256,
                actual=content.hexdigest(),
                hint="copy it again",
            )
        for writer in writers:
            writer.commit()


def _refuse_gaps(store: CacheStore, lock: Lock) -> None:
    gaps = [
        f"{model.name}: {name}"
        for model in lock.models
        for name, state in store.inspect(model.manifest, model.manifest.entries).items()
        if not state.blob
    ]
    if gaps:
        raise CacheMiss(
            f"the bundle leaves out what is not in this cache: {', '.join(gaps)}",
            missing=tuple(gaps),
            hint="export it anew, with a --have list of this cache, or without one",
        )


def _keep_listing(store: CacheStore, model: LockedModel, data: bytes | None) -> None:
    from hubloader.cache.trees import parse_tree

    entries = None if data is None else parse_tree(data)
    if entries is None:
        return
    for file in model.files:
        entry = entries.get(file.path)
        if entry is None or entry.etag != file.entry.etag:
            raise IntegrityError(
                f"the bundle's listing of {model.commit} does not fit its index",
                repo_id=str(model.repo),
                filename=file.path,
            )
    store.write_manifest(Manifest(model.repo, model.revision, model.commit, entries))


def _publish(desk: Desk, lock: Lock) -> None:
    for model in lock.models:
        check_sha256(desk.store, model)
        with desk.store.batch():
            desk.store.mark_absent(model.manifest, model.absent)
            set_refs(desk, model)
        desk.store.mark_used(model.repo, model.commit)
