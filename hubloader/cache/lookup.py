"""Find things in the cache, and in the read-only caches behind it. Writes nothing, locks nothing.

What counts as a file that is there says ``content.py``. One look-up is a fixed number of system
calls: those of ``content.py``, and one read of the content's stamp.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from hubloader.cache import stamps
from hubloader.cache.content import Found, Seen, blob_content, fits, pointer_content
from hubloader.cache.failures import is_absence
from hubloader.cache.ownership import Ownership
from hubloader.cache.reading import names_in, points_at, read_small
from hubloader.cache.trees import read_tree
from hubloader.errors import CacheMiss, InvalidReference
from hubloader.names import check_filename, is_commit, is_etag, is_short_commit
from hubloader.types import CommitHash, Entry, Manifest, OnDisk, RepoId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hubloader.cache.content import Marks
    from hubloader.cache.layout import CacheLayout, RepoLayout
    from hubloader.cache.told import Told

__all__ = ["Lookup", "Verify", "can_keep_stamps", "files_below", "not_cached"]

Verify = Literal["size", "always"]
_MAX_LAYERS = 256  # repositories whose paths are kept at hand


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
        self._seen = Seen()

    @property
    def top(self) -> CacheLayout:
        """The writable cache."""
        return self._caches[0]

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of all caches."""
        return tuple(cache.root for cache in self._caches)

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
            path = layout.ref(revision)
            self._ownership.check_file(path)
            text = read_small(path)
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
            seen = self._seen.find(pointer, etag)
            if seen is not None and fits(seen.facts, entry):
                return seen
            content = pointer_content(pointer, blobs, self._caches)
            if content is not None and fits(content[1], entry):
                path, facts, owner = content
                self._ownership.check_file(path, facts)
                found = Found(path, pointer, facts, layout if owner is None else layers[owner])
                self._seen.note(found, etag)
                return found
            loose = blob_content(blobs[index], self._caches) if blobs else None
            if loose is not None and fits(loose[1], entry):
                self._ownership.check_file(*loose)
                return Found(loose[0], None, loose[1], layout)
        return None

    def marks(self, manifest: Manifest, filenames: Iterable[str]) -> Marks | None:
        """Return by what to know at one look that files are as they were; None if none serves.

        For contents that were found in the writable cache, under their pointers, and trusted: one
        of a base cache may come to lie before it.
        """
        pointer = self.layers(manifest.repo)[0].pointer
        return self._seen.marks(pointer(manifest.commit, name) for name in filenames)

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
        if self._seen.is_trusted(found):
            return True
        since = stamps.forgotten()
        top = self.layers(found.layout.repo)[0]
        places = dict.fromkeys((found.layout.stamp(etag), top.stamp(etag)))
        known = any(stamps.find(place, found.facts) is not None for place in places)
        if known or not can_keep_stamps(top):
            self._seen.trust(found, since)
            return True
        return False


def _resumable(layout: RepoLayout, etag: str | None) -> int:
    if etag is None or not os.path.isdir(layout.partials):
        return 0
    from hubloader.cache.partial import resumable_bytes  # first use: something is downloaded

    return resumable_bytes(layout, etag)


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
