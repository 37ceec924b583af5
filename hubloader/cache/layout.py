"""Build and parse every path of the cache; the only module that knows where things are.

::

    <root>/                                 the Hub cache: huggingface_hub's, shared with it
      CACHEDIR.TAG
      .locks/<repo folder>/<etag>.lock      flock, mode 0664; stays once the content came
      .locks/.hubloader/                    cache-wide state of ours
        aliases/<repo folder>               the Hub's own name of a renamed repository
        repos/<repo folder>.lock            downloads hold it shared, deletions alone
        pauses/<origin>                     until when a server wants no request
        asks/<32 hex>                       a revision whose listing is being asked for
        tmp/                                what has no name: not yet, or no more
      blobs/<2 hex>/<xet hash>              huggingface_hub's shared store; we only read it
      <type>s--<namespace>--<name>/         the repository, under the name it was asked for
        blobs/<etag>                        content, named by git sha1 or sha256
        refs/<revision>                     40 hex digits, no newline
        snapshots/<commit>/<filename>       a relative link to a blob (or a copy of it)
        .no_exist/<commit>/<filename>       empty: known to be absent from that commit
        trees/<commit>.json                 the listing of that commit
        .hubloader/                         own state: huggingface_hub neither scans nor prunes it
          partials/<etag>.<owner>.<random>  a download under way: a file, or a folder when large
          stamps/<etag>                     size and mtime of contents whose hash was seen to match
          trees/<commit>                    digest of the listing, as we wrote it
          confirmed/<revision>              when the Hub last said where the branch is
          used/<commit>                     when the commit was last loaded (to a day)
          kept/<64 hex>                     a tokenizer converted from legacy files, by their hashes
          quarantine/                       contents that turned out bad, and what they were of
          tmp/                              files before they get their name

Rules of this folder, for two libraries at once: names are exactly huggingface_hub's; a ref is
written after its snapshot's folder; no link ever dangles; no top-level entry is added; partials do
not match ``blobs/*.incomplete`` (``hf cache prune`` deletes those).

Every part of a path comes from a validated type (``RepoId``, ``ETag``, ``CommitHash``) or is
checked here; paths are ``str``, because looking up a file is a hot path.

Source: huggingface_hub 2.4.0 ``file_download.py``, ``_tree_cache.py``, ``utils/_cache_manager.py``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from hubloader.errors import InvalidReference
from hubloader.names import check_filename, check_revision, is_commit, is_etag
from hubloader.types import RepoId

if TYPE_CHECKING:
    from hubloader.types import RepoType

__all__ = ["CacheLayout", "RepoLayout", "colliding_names"]

_OWN = ".hubloader"
_FOLDER_PREFIX: dict[RepoType, str] = {
    "model": "models",
    "dataset": "datasets",
    "space": "spaces",
}
_TYPE_OF_PREFIX: dict[str, RepoType] = {prefix: kind for kind, prefix in _FOLDER_PREFIX.items()}


def _checked(kind: str, text: str, *, good: bool) -> str:
    """Return ``text`` if it may be a part of a path; the last wall before the disk."""
    if not good:
        raise InvalidReference(f"{text!r} is not {kind}")
    return text


def _native(text: str) -> str:
    """Return a checked POSIX path as this system writes it."""
    return text if os.sep == "/" else text.replace("/", os.sep)


class CacheLayout:
    """The paths below one cache folder.

    Args:
        root: the Hub cache itself (``$HF_HUB_CACHE``), which need not exist.

    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(os.path.expanduser(os.fspath(root)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root!r})"

    def repo(self, repo: RepoId) -> RepoLayout:
        """Return the paths of one repository."""
        return RepoLayout(self, repo)

    def parse_folder(self, name: str) -> RepoId | None:
        """Return the repository whose folder is called ``name``, None for anything else."""
        prefix, _, rest = name.partition("--")
        repo_type = _TYPE_OF_PREFIX.get(prefix)
        if repo_type is None or not rest:
            return None
        try:
            return RepoId.parse(rest.replace("--", "/"), repo_type)
        except InvalidReference:
            return None

    @property
    def tag(self) -> str:
        """CACHEDIR.TAG, which tells backup programs to leave the cache out."""
        return os.path.join(self.root, "CACHEDIR.TAG")

    @property
    def locks(self) -> str:
        """The folder of all locks."""
        return os.path.join(self.root, ".locks")

    @property
    def own(self) -> str:
        """Cache-wide state of ours, where huggingface_hub's scan does not look."""
        return os.path.join(self.locks, _OWN)

    @property
    def aliases(self) -> str:
        """The folder of remembered renames."""
        return os.path.join(self.own, "aliases")

    @property
    def tmp(self) -> str:
        """The folder of what has no name in the cache: yet, or no more."""
        return os.path.join(self.own, "tmp")

    def pause(self, origin: str) -> str:
        """Return the file that says until when ``origin`` (a URL's beginning) is left alone."""
        return os.path.join(self.own, "pauses", quote(origin, safe=""))

    def ask(self, repo: RepoId, revision: str) -> str:
        """Return the file of the turn to ask what ``revision`` holds, there while one does."""
        import hashlib  # first use: a warm load asks for no listing

        name = f"{folder_name(repo)} {check_revision(revision)}"
        return os.path.join(self.own, "asks", hashlib.sha256(name.encode()).hexdigest()[:32])

    def alias(self, repo: RepoId) -> str:
        """Return the file that remembers the Hub's own id of ``repo``."""
        return os.path.join(self.aliases, folder_name(repo))

    def shared_blob(self, xet_hash: str) -> str:
        """Return the place of a Xet file in huggingface_hub's shared store."""
        _checked("a Xet hash", xet_hash, good=len(xet_hash) == 64 and is_etag(xet_hash))
        return os.path.join(self.root, "blobs", xet_hash[:2], xet_hash)

    def is_shared_blob(self, path: str) -> bool:
        """Whether ``path`` (absolute, normal) is a place of the shared store."""
        name = os.path.basename(path)
        return len(name) == 64 and is_etag(name) and path == self.shared_blob(name)


class RepoLayout:
    """The paths of one repository in one cache."""

    def __init__(self, cache: CacheLayout, repo: RepoId) -> None:
        self.cache = cache
        self.repo = repo
        self.name = folder_name(repo)
        self.folder = folder = f"{cache.root}{os.sep}{self.name}"
        self.own = f"{folder}{os.sep}{_OWN}"
        self.blobs = f"{folder}{os.sep}blobs"  # contents
        self.refs = f"{folder}{os.sep}refs"
        self.snapshots = f"{folder}{os.sep}snapshots"
        self.trees = f"{folder}{os.sep}trees"  # listings
        self.absences = f"{folder}{os.sep}.no_exist"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.folder!r})"

    # what huggingface_hub shares with us

    def blob(self, etag: str) -> str:
        """Return the place of a content."""
        return f"{self.blobs}{os.sep}{_checked('an etag', etag, good=is_etag(etag))}"

    def lock(self, etag: str) -> str:
        """Return the lock file of a content, at huggingface_hub's path."""
        _checked("an etag", etag, good=is_etag(etag))
        return os.path.join(self.cache.locks, self.name, f"{etag}.lock")

    @property
    def guard(self) -> str:
        """The lock between downloads into the repository and deletions from it; never deleted."""
        return os.path.join(self.cache.own, "repos", f"{self.name}.lock")

    def ref(self, revision: str) -> str:
        """Return the file that says which commit ``revision`` is."""
        return f"{self.refs}{os.sep}{_native(check_revision(revision))}"

    def snapshot(self, commit: str) -> str:
        """Return the folder of one commit's pointers."""
        return f"{self.snapshots}{os.sep}{_checked('a commit', commit, good=is_commit(commit))}"

    def pointer(self, commit: str, filename: str) -> str:
        """Return the place of one file in one commit."""
        return f"{self.snapshot(commit)}{os.sep}{_native(check_filename(filename))}"

    def absent_folder(self, commit: str) -> str:
        """Return the folder of one commit's absence marks."""
        _checked("a commit", commit, good=is_commit(commit))
        return f"{self.absences}{os.sep}{commit}"

    def absent_mark(self, commit: str, filename: str) -> str:
        """Return the mark that one commit does not have ``filename``."""
        return f"{self.absent_folder(commit)}{os.sep}{_native(check_filename(filename))}"

    def tree(self, commit: str) -> str:
        """Return the listing of one commit."""
        return f"{self.trees}{os.sep}{_checked('a commit', commit, good=is_commit(commit))}.json"

    # own state

    @property
    def partials(self) -> str:
        """The folder of unfinished downloads."""
        return os.path.join(self.own, "partials")

    @property
    def quarantine(self) -> str:
        """The folder of contents that turned out bad."""
        return os.path.join(self.own, "quarantine")

    @property
    def tmp(self) -> str:
        """The folder of files that have no name yet."""
        return os.path.join(self.own, "tmp")

    def partial(self, etag: str, claim: str) -> str:
        """Return the place of one writer's unfinished download; ``claim`` is unique to it."""
        _checked("an etag", etag, good=is_etag(etag))
        _checked("a claim", claim, good=claim.replace(".", "").replace("-", "").isalnum())
        return os.path.join(self.partials, f"{etag}.{claim}")

    def stamp(self, etag: str) -> str:
        """Return the record of files whose content was seen to match ``etag``."""
        return os.path.join(self.own, "stamps", _checked("an etag", etag, good=is_etag(etag)))

    def tree_digest(self, commit: str) -> str:
        """Return the record of what the listing of ``commit`` said when we had it."""
        return os.path.join(self.own, "trees", _checked("a commit", commit, good=is_commit(commit)))

    def told(self, commit: str) -> str:
        """Return the record of what an endpoint that lists nothing told of ``commit``."""
        return os.path.join(self.own, "told", _checked("a commit", commit, good=is_commit(commit)))

    def confirmed(self, revision: str) -> str:
        """Return the mark of when the Hub last told where ``revision`` is."""
        return os.path.join(self.own, "confirmed", quote(check_revision(revision), safe=""))

    def used(self, commit: str) -> str:
        """Return the mark of when ``commit`` was last loaded."""
        return os.path.join(self.own, "used", _checked("a commit", commit, good=is_commit(commit)))

    def kept(self, name: str) -> str:
        """Return the place of what was worked out from files; ``name`` is 64 hex digits."""
        _checked("a digest", name, good=len(name) == 64 and is_etag(name))
        return os.path.join(self.own, "kept", name)

    # the way back

    def revision_of(self, ref: str) -> str:
        """Return the revision whose ref is the file ``ref``."""
        return os.path.relpath(ref, self.refs).replace(os.sep, "/")

    def revision_of_mark(self, name: str) -> str:
        """Return the revision whose mark in ``confirmed/`` is called ``name``."""
        return unquote(name)

    def etag_of(self, path: str) -> str | None:
        """Return the etag of a path in ``blobs/`` (absolute, normal), None for any other path."""
        folder, name = os.path.split(path)
        return name if folder == self.blobs and is_etag(name) else None


def folder_name(repo: RepoId) -> str:
    """Return the name of a repository's folder: ``models--namespace--name``."""
    return "--".join([_FOLDER_PREFIX[repo.repo_type], *str(repo).split("/")])


def colliding_names(filenames: frozenset[str]) -> list[tuple[str, ...]]:
    """Return the groups of file names that are one on a file system without letter case.

    Source: NTFS and APFS compare names without case; APFS also without Unicode composition.
    """
    import unicodedata

    groups: dict[str, list[str]] = {}
    for filename in filenames:
        groups.setdefault(unicodedata.normalize("NFC", filename).casefold(), []).append(filename)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)
