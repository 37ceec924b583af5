"""Find things in the cache, and in the read-only caches behind it. Writes nothing, locks nothing.

A content counts as there when it is a regular file of the announced size, reached in one of these
ways and no other, so that a link planted by somebody else leads nowhere:

- the pointer is a link to the repository's blob of the announced etag, here or in a base cache, and
  the system comes to that blob by it (a folder on the way may be a planted link);
- the pointer is a file itself (no symbolic links here, or huggingface_hub moved the blob there);
- that blob is a link into the cache's shared store of Xet files.

One look-up is a fixed number of system calls: readlink and stat of the pointer, lstat of the blob,
one read of its stamp.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hubloader.cache import stamps
from hubloader.cache.failures import is_absence
from hubloader.cache.ownership import Ownership
from hubloader.cache.reading import leads_to, names_in, points_at, read_small
from hubloader.cache.trees import read_tree
from hubloader.errors import CacheMiss, InvalidReference
from hubloader.names import check_filename, is_commit, is_etag, is_short_commit
from hubloader.types import CommitHash, Entry, Manifest, OnDisk, RepoId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hubloader.cache.layout import CacheLayout, RepoLayout
    from hubloader.cache.told import Told

__all__ = ["Found", "Lookup", "Verify", "can_keep_stamps", "files_below", "not_cached"]

Verify = Literal["size", "always"]
_MAX_LAYERS = 256  # repositories whose paths are kept at hand


@dataclass(frozen=True)
class Found:
    """A content of the right size on this disk.

    ``path`` is what to open, ``pointer`` the snapshot's name for it (None if it has none yet),
    ``facts`` what lstat said of ``path``, ``layout`` the cache that the content is in.
    """

    path: str
    pointer: str | None
    facts: os.stat_result
    layout: RepoLayout


class Lookup:
    """Questions to one cache and the base caches behind it, in order.

    Args:
        caches: the writable cache first.
        verify: ``always`` trusts no stamp.
        ownership: whose files are believed; None for everyone's.

    """

    def __init__(
        self,
        caches: Sequence[CacheLayout],
        verify: Verify = "size",
        ownership: Ownership | None = None,
    ) -> None:
        self._caches = tuple(caches)
        self._verify: Verify = verify
        self._ownership = ownership or Ownership()
        self._layers: dict[RepoId, tuple[RepoLayout, ...]] = {}

    @property
    def top(self) -> CacheLayout:
        """The writable cache."""
        return self._caches[0]

    def layers(self, repo: RepoId) -> tuple[RepoLayout, ...]:
        """Return the repository's paths in each cache."""
        layers = self._layers.get(repo)
        if layers is None:
            layers = tuple(cache.repo(repo) for cache in self._caches)
            if len(self._layers) >= _MAX_LAYERS:
                self._layers.clear()
            self._layers[repo] = layers
        return layers

    def _believed(self, repo: RepoId) -> tuple[RepoLayout, ...]:
        """Return ``layers``, looked at as ``ownership`` wants it."""
        layers = self.layers(repo)
        for layout in layers:
            self._ownership.check_repo(layout)
        return layers

    # names and commits

    def read_ref(self, repo: RepoId, revision: str) -> CommitHash | None:
        """Return the commit that ``revision`` was, None if no cache has a readable ref of it."""
        for layout in self._believed(repo):
            self._ownership.check_file(layout.ref(revision))
            text = read_small(layout.ref(revision))
            if is_commit(text):
                return CommitHash(text)
        return None

    def known_commit(self, repo: RepoId, revision: str) -> CommitHash | None:
        """Return the commit of a branch, tag, full or short commit that the cache knows."""
        if is_commit(revision):
            return CommitHash(revision) if self._has_commit(repo, revision) else None
        commit = self.read_ref(repo, revision)
        if commit is None and is_short_commit(revision):
            known = {c for layout in self.layers(repo) for c in _commits(layout)}
            fitting = [c for c in known if c.startswith(revision)]
            commit = CommitHash(fitting[0]) if len(fitting) == 1 else None
        return commit

    def _has_commit(self, repo: RepoId, commit: str) -> bool:
        return any(
            os.path.isdir(layout.snapshot(commit)) or os.path.isfile(layout.tree(commit))
            for layout in self.layers(repo)
        )

    def canonical(self, repo: RepoId, *, guess: bool = True) -> RepoId:
        """Return the name under which the cache has ``repo``: itself, its new or its old name.

        Args:
            repo: a model, dataset or space.
            guess: whether a one-part name may mean the one cached repository of that name, where
                the Hub was never heard to say so.

        """
        if self._is_here(repo):
            return repo
        choices = self._aliased(repo)
        if repo.namespace is not None:
            choices += self._asked_as(repo)
        elif guess and not choices:
            choices = self._same_name(repo)
        here = {choice for choice in choices if self._is_here(choice)}
        return here.pop() if len(here) == 1 else repo

    def _is_here(self, repo: RepoId) -> bool:
        return any(os.path.isdir(layout.snapshots) for layout in self.layers(repo))

    def _aliased(self, repo: RepoId) -> list[RepoId]:
        texts = [read_small(cache.alias(repo)) for cache in self._caches]
        return [found for text in texts if (found := _parse_repo(text, repo)) is not None]

    def _same_name(self, repo: RepoId) -> list[RepoId]:
        """Return the cached repositories of any namespace with this one-part name."""
        names = (name for cache in self._caches for name in names_in(cache.root))
        found = (self._caches[0].parse_folder(name) for name in names)
        return [f for f in found if f and (f.name, f.repo_type) == (repo.name, repo.repo_type)]

    def _asked_as(self, repo: RepoId) -> list[RepoId]:
        """Return the old names under which ``repo`` was asked for."""
        found = []
        for cache in self._caches:
            for name in names_in(cache.aliases):
                old = cache.parse_folder(name)
                if old is not None and read_small(cache.alias(old)) == str(repo):
                    found.append(old)
        return found

    # what a commit holds

    def read_manifest(self, repo: RepoId, revision: str, commit: CommitHash) -> Manifest | None:
        """Return the commit's listing; without one, what its snapshot shows; None if nothing."""
        for layout in self._believed(repo):
            self._ownership.check_file(layout.tree(commit))
            entries = read_tree(layout, commit)
            if entries is not None:
                return Manifest(repo, revision, commit, entries)
        seen: dict[str, Entry] = {}
        absent: set[str] = set()
        for layout in reversed(self.layers(repo)):
            seen |= dict(_snapshot_entries(layout, commit))
            absent |= set(files_below(layout.absent_folder(commit)))
        if not seen and not self._has_commit(repo, commit):
            return None
        gone = frozenset(absent) - seen.keys()
        return Manifest(repo, revision, commit, seen, absent=gone, complete=False)

    def is_absent(self, repo: RepoId, commit: str, filename: str) -> bool:
        """Whether the commit is known not to have ``filename``.

        A listing decides where there is one; a mark alone may come from one wrong answer to another
        client, and counts only without.
        """
        for layout in self.layers(repo):
            entries = read_tree(layout, commit)
            if entries is not None:
                return filename not in entries
        marks = (layout.absent_mark(commit, filename) for layout in self.layers(repo))
        return any(os.path.isfile(mark) for mark in marks)

    def read_told(self, repo: RepoId, commit: str, endpoint: str) -> Told | None:
        """Return what an endpoint that lists nothing told of a commit's files, if it is kept."""
        from hubloader.cache.told import read_told  # first use: few endpoints list nothing

        found = (read_told(layer, commit, endpoint) for layer in self.layers(repo))
        return next((told for told in found if told is not None), None)

    # files

    def find(self, manifest: Manifest, filename: str) -> Found | None:
        """Return where the content of a file is, with the right size.

        The writable cache wins over the ones behind it, and in each a pointer over a blob alone:
        so what was fetched anew wins over what is bad below.
        """
        entry = manifest.entries.get(filename)
        if entry is None:
            return None
        etag = entry.sha256 or entry.git_sha1
        layers = self._believed(manifest.repo)
        blobs = [layout.blob(etag) for layout in layers] if etag else []
        for index, layout in enumerate(layers):
            pointer = layout.pointer(manifest.commit, filename)
            content = _pointer_content(pointer, blobs, self._caches)
            if content is not None and _fits(content[1], entry):
                path, facts, owner = content
                self._ownership.check_file(path, facts)
                return Found(path, pointer, facts, layout if owner is None else layers[owner])
            loose = _blob_facts(blobs[index], self._caches) if blobs else None
            if loose is not None and _fits(loose[1], entry):
                self._ownership.check_file(*loose)
                return Found(loose[0], None, loose[1], layout)
        return None

    def inspect(
        self, manifest: Manifest, filename: str, *, pending: Callable[[str], bool]
    ) -> OnDisk:
        """Return what the disk holds of one file.

        Args:
            manifest: says what it should be.
            filename: in the repository.
            pending: whether a blob is here and verified, and only waits for its name.

        """
        entry = manifest.entries.get(filename)
        if entry is None:
            return OnDisk()
        etag = entry.sha256 or entry.git_sha1
        top = self.layers(manifest.repo)[0]
        found = self.find(manifest, filename)
        if found is None:
            if etag and pending(top.blob(etag)):
                return OnDisk(pointer=False, blob=True, trusted=True)
            return OnDisk(partial=_resumable(top, etag))
        trusted = etag is None or self.trusts(found, etag)
        return OnDisk(pointer=found.pointer is not None, blob=True, trusted=trusted)

    def trusts(self, found: Found, etag: str) -> bool:
        """Whether the content was hashed before and has not changed since.

        Where no stamp can be kept (a read-only cache), its size has to do.
        """
        if self._verify == "always":
            return False
        top = self.layers(found.layout.repo)[0]
        places = dict.fromkeys((found.layout.stamp(etag), top.stamp(etag)))
        if any(stamps.find(place, found.facts) is not None for place in places):
            return True
        return not can_keep_stamps(top)


def _resumable(layout: RepoLayout, etag: str | None) -> int:
    if etag is None or not os.path.isdir(layout.partials):
        return 0
    from hubloader.cache.partial import resumable_bytes  # first use: something is downloaded

    return resumable_bytes(layout, etag)


def _fits(facts: os.stat_result, entry: Entry) -> bool:
    return entry.size is None or facts.st_size == entry.size


def _regular(path: str) -> os.stat_result | None:
    """Return the facts of a file that is no link, folder or device; None for anything else."""
    facts = _lstat(path)
    return facts if facts is not None and stat.S_ISREG(facts.st_mode) else None


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError as error:
        if is_absence(error):
            return None
        raise


def _pointer_content(
    pointer: str, blobs: list[str], caches: tuple[CacheLayout, ...]
) -> tuple[str, os.stat_result, int | None] | None:
    """Return what to open for a pointer, its facts, and which blob it is (None: itself).

    None if there is no pointer, or it leads anywhere else.
    """
    target = points_at(pointer)
    if target is None:
        facts = _regular(pointer)
        return None if facts is None else (pointer, facts, None)
    for index, blob in enumerate(blobs):
        if _is_same_name(target, blob):
            content = _blob_facts(blob, caches)
            if content is None or not leads_to(pointer, content[1]):
                return None
            return (*content, index)
    return None


def _is_same_name(target: str, blob: str) -> bool:
    """Whether a link's target is the blob: by its text, or by its folder (reached two ways)."""
    if target == blob:
        return True
    (folder, name), (right_folder, right_name) = os.path.split(target), os.path.split(blob)
    return name == right_name and os.path.realpath(folder) == os.path.realpath(right_folder)


def _blob_facts(blob: str, caches: tuple[CacheLayout, ...]) -> tuple[str, os.stat_result] | None:
    facts = _lstat(blob)
    if facts is None:
        return None
    if stat.S_ISREG(facts.st_mode):
        return blob, facts
    shared = points_at(blob) if stat.S_ISLNK(facts.st_mode) else None
    if shared is None or not any(cache.is_shared_blob(shared) for cache in caches):
        return None
    facts = _regular(shared)
    return None if facts is None else (shared, facts)


def can_keep_stamps(layout: RepoLayout) -> bool:
    """Whether the cache can remember what was hashed; writes nothing to find out."""
    folder = layout.own
    while not os.path.isdir(folder):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return False
    return os.access(folder, os.W_OK | os.X_OK)


def _commits(layout: RepoLayout) -> Iterator[str]:
    yield from (name for name in names_in(layout.snapshots) if is_commit(name))
    stems = (name.removesuffix(".json") for name in names_in(layout.trees))
    yield from (stem for stem in stems if is_commit(stem))


def _snapshot_entries(layout: RepoLayout, commit: str) -> Iterator[tuple[str, Entry]]:
    """Give each file of a snapshot, as far as its link tells: name, size and hash."""
    for filename in files_below(layout.snapshot(commit)):
        pointer = layout.pointer(commit, filename)
        target = points_at(pointer)
        name = os.path.basename(target) if target else ""
        try:
            size = os.stat(pointer).st_size
        except OSError as error:
            if is_absence(error):
                continue
            raise
        if target is None or not is_etag(name):
            yield filename, Entry(size)
        elif is_commit(name):
            yield filename, Entry(size, git_sha1=name)
        else:
            yield filename, Entry(size, sha256=name)


def files_below(folder: str, prefix: str = "") -> Iterator[str]:
    """Give the POSIX names of all files and links below a folder."""
    for name in names_in(folder):
        filename, path = prefix + name, os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            yield from files_below(path, f"{filename}/")
        elif _is_filename(filename):
            yield filename


def _is_filename(text: str) -> bool:
    try:
        check_filename(text)
    except InvalidReference:
        return False
    return True


def _parse_repo(text: str, like: RepoId) -> RepoId | None:
    if not text:
        return None
    try:
        return RepoId.parse(text, like.repo_type)
    except InvalidReference:
        return None


def not_cached(manifest: Manifest, filename: str) -> CacheMiss:
    """Return the error that no cache has a file, whole and under this commit."""
    return CacheMiss(
        f"the content of {filename!r} is not in the cache",
        missing=(filename,),
        repo_id=str(manifest.repo),
        revision=manifest.revision,
        filename=filename,
    )
