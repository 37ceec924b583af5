"""Sets of files that a tokenizer or a model can be loaded from.

A loader asks a ``FileSet`` for names and paths and never learns whether they came from a folder,
the cache or the network: ``DirectoryFiles`` is a folder on this disk, ``SnapshotFiles`` is one
commit of a repository, whose wanted files are there and whose others are brought at first use.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hubloader.errors import EntryNotFound
from hubloader.names import check_filename
from hubloader.resolve.hints import about_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hubloader.types import Manifest, RepoId

__all__ = ["DirectoryFiles", "SnapshotFiles"]

_CHECKOUT_STATE = frozenset({".git", ".cache"})  # what git and huggingface_hub keep in a folder


class Keeping(Protocol):
    """What keeps content that was worked out from a repository's files: the cache."""

    def read_kept(self, repo: RepoId, name: str) -> bytes | None:
        """Return what was kept as ``name``, if it is there and whole."""

    def keep(self, repo: RepoId, name: str, content: bytes) -> None:
        """Keep ``content``, if it can be written."""


class DirectoryFiles:
    """The files of a local folder; nothing is ever fetched or written.

    Args:
        path: the folder.
        subfolder: POSIX folder inside it that the names are relative to; "" for itself.

    Raises:
        EntryNotFound: there is no such subfolder.

    """

    def __init__(self, path: str | os.PathLike[str], subfolder: str = "") -> None:
        self._folder = Path(path, subfolder) if subfolder else Path(path)
        if not self._folder.is_dir():
            raise EntryNotFound(
                f"there is no folder {str(self._folder)!r}",
                hint="check subfolder=" if subfolder else "check the path",
                filename=subfolder or None,
            )

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    def names(self) -> frozenset[str]:
        """Every file below the folder, as POSIX names."""
        found: set[str] = set()
        for parent, folders, files in os.walk(self._folder):
            folders[:] = [name for name in folders if name not in _CHECKOUT_STATE]
            prefix = Path(parent).relative_to(self._folder).as_posix()
            found.update(name if prefix == "." else f"{prefix}/{name}" for name in files)
        return frozenset(found)

    def exists(self, name: str) -> bool:
        """Whether the folder holds the file ``name``."""
        return (self._folder / check_filename(name)).is_file()

    def path(self, name: str) -> Path:
        """Where the file is.

        Raises:
            EntryNotFound: the folder has no such file.

        """
        path = self._folder / check_filename(name)
        if not path.is_file():
            raise EntryNotFound(
                f"the folder {str(self._folder)!r} has no file {name!r}",
                hint=about_missing([name], self.names()),
                filename=name,
            )
        return path

    def describe(self, name: str = "") -> str:
        """The file, or the folder, in words for messages."""
        return str(self._folder / name) if name else f"the folder {str(self._folder)!r}"


class SnapshotFiles:
    """The files of one commit of a repository.

    What was wanted is on disk when this is made. Another file of the commit is brought by ``fetch``
    when ``path`` asks for it, so that a loader which decides late still gets the same commit.

    Args:
        manifest: what the commit holds.
        ready: the files that are there, by their names in the repository.
        subfolder: the folder that names are relative to; "" for the root.
        fetch: brings one more file, named as in the repository: raises CacheMiss or EntryNotFound.
        available: the names in the repository that can be had: all of them online, those on disk
            offline. Called at most once, at first need.
        store: keeps what is worked out from the files; None keeps nothing.
        widen: brings what further uses need of the same commit.

    """

    def __init__(
        self,
        manifest: Manifest,
        ready: Mapping[str, str | Path],
        *,
        subfolder: str = "",
        fetch: Callable[[str], Path],
        available: Callable[[], frozenset[str]],
        store: Keeping | None = None,
        widen: Callable[[frozenset[str]], SnapshotFiles] | None = None,
    ) -> None:
        self._manifest = manifest
        self._store = store
        self._ready = dict(ready)
        self._prefix = f"{subfolder}/" if subfolder else ""
        self._fetch = fetch
        self._available = available
        self._widen = widen
        self._names: frozenset[str] | None = None

    def widened(self, uses: frozenset[str]) -> SnapshotFiles:
        """The same commit's files with what ``uses`` need; nothing is resolved or fetched twice.

        Raises:
            EntryNotFound: the commit lacks what the uses cannot do without.
            HubloaderError: a download failed.

        """
        return self if self._widen is None else self._widen(uses)

    @property
    def manifest(self) -> Manifest:
        """What the commit holds, as far as it is known."""
        return self._manifest

    @property
    def commit(self) -> str:
        """The full commit that every file here comes from."""
        return self._manifest.commit

    def names(self) -> frozenset[str]:
        """Every file that can be had, relative to the subfolder."""
        if self._names is None:
            everything = self._available() | self._ready.keys()
            self._names = frozenset(
                name.removeprefix(self._prefix)
                for name in everything
                if name.startswith(self._prefix)
            )
        return self._names

    def exists(self, name: str) -> bool:
        """Whether the file is there or can be had."""
        return self._prefix + name in self._ready or name in self.names()

    def path(self, name: str) -> Path:
        """Where the file is, after bringing it if it was not wanted before.

        Raises:
            EntryNotFound: the commit has no such file.
            CacheMiss: it has, but the file is not on disk and the network was off or unreachable.

        """
        filename = self._prefix + check_filename(name)
        if filename not in self._ready:
            self._ready[filename] = self._fetch(filename)
        return Path(self._ready[filename])

    def fingerprint(self, names: Iterable[str]) -> str | None:
        """Say by hashes what the files hold; None if the Hub gave no hash of one."""
        entries = [self._manifest.entries.get(self._prefix + name) for name in names]
        etags = [entry and (entry.sha256 or entry.git_sha1) for entry in entries]
        return None if self._store is None or None in etags else " ".join(map(str, etags))

    def read_kept(self, name: str) -> bytes | None:
        """What was worked out from these files and kept as ``name``, if it is there and whole."""
        return None if self._store is None else self._store.read_kept(self._manifest.repo, name)

    def keep(self, name: str, content: bytes) -> None:
        """Keep what was worked out from these files beside them, if that can be written."""
        if self._store is not None:
            self._store.keep(self._manifest.repo, name, content)

    def describe(self, name: str = "") -> str:
        """The file, or the snapshot, in words for messages."""
        place = f"{self._manifest.repo}@{self._manifest.revision}"
        return f"{self._prefix}{name} of {place}" if name else place
