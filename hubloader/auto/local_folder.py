"""Files brought straight into the user's own folder (``local_dir``), with huggingface_hub's notes.

A file comes by way of a small store inside the folder, ``.cache/huggingface/hubloader``: there it
is fetched in parallel, gone on with, and verified as in any cache, and from there it is moved to
its place by one rename. So it is on the disk once, and the machine's cache is read but not written.
What that has already is copied, not fetched. The store keeps listings and refs for the next call.

Beside the file, under ``.cache/huggingface/download/``, huggingface_hub's note of commit and etag
tells either library that it is up to date. A file that the user changed since is seen by its time
and size, and replaced; one without a note is hashed.

Source: huggingface_hub 2.4.0 ``_local_folder.py``, ``file_download.py``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.cache import disk
from hubloader.cache.digest import hash_file
from hubloader.cache.failures import guard
from hubloader.cache.store import CacheStore
from hubloader.errors import CacheError, about
from hubloader.names import check_filename
from hubloader.resolve.manifest import content_key
from hubloader.resolve.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hubloader.cache.layout import RepoLayout
    from hubloader.errors import HubloaderError
    from hubloader.types import Entry, Manifest

__all__ = ["LocalFolder"]

_NAME_MAX = 255  # bytes
_TIME_SLACK = 1.0  # seconds by which a file may be newer than its note
_LOOK_EVERY = 1.0  # seconds between two looks at what another process does in the folder
_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#\thttps://bford.info/cachedir/\n"
)
_MAX_SESSIONS = 64
_SESSIONS: dict[tuple[Session, Path], Session] = {}


class LocalFolder:
    """A folder that files of a repository are placed in.

    Args:
        path: the folder; made when the first file comes.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        self._state = self.path / ".cache" / "huggingface"
        self._staging = self._state / "hubloader"

    def session(self, main: Session) -> Session:
        """A session like ``main`` that fetches into this folder; the process's one for both."""
        key = (main, self.path)
        found = _SESSIONS.get(key)
        if found is None:
            settings = main.settings
            store = CacheStore(
                self._staging,
                base_caches=(settings.cache_dir, *settings.base_caches),
                durability=settings.durability,
                verify=settings.verify,
                link_mode=settings.link_mode,
                shared=settings.shared_cache,
            )
            made = Session(settings, main.client, store, reachability=main.reachability)
            found = _SESSIONS.setdefault(key, made)
            for oldest in list(_SESSIONS)[:-_MAX_SESSIONS]:
                _SESSIONS.pop(oldest, None)
        return found

    def file(self, filename: str) -> Path:
        """Where a file of the repository is placed."""
        return self.path / check_filename(filename)

    def names(self) -> list[str]:
        """Every file that was placed here and is still there, by the notes."""
        notes = self._state / "download"
        found = (path.relative_to(notes).as_posix() for path in notes.rglob("*.metadata"))
        names = (name.removesuffix(".metadata") for name in found)
        return sorted(name for name in names if self.file(name).is_file())

    def is_current(self, filename: str, entry: Entry) -> bool:
        """Whether the file is there with this content: as the note tells, or else its hash."""
        try:
            facts = self.file(filename).stat()
        except OSError:
            return False
        if entry.size is not None and facts.st_size != entry.size:
            return False
        try:
            note = self._note(filename).read_text(encoding="utf-8").splitlines()
            etag, noted = note[1], float(note[2])
        except (OSError, ValueError, IndexError):
            return self._matches(filename, entry)
        return etag == content_key(entry) and facts.st_mtime - _TIME_SLACK <= noted

    def _matches(self, filename: str, entry: Entry) -> bool:
        """Hash a file that nobody noted: placed just before a kill, or brought by hand."""
        with guard(str(self.file(filename))), self.file(filename).open("rb") as file:
            return hash_file(file.fileno(), content_key(entry)).matches

    def place(
        self, manifest: Manifest, names: Iterable[str], session: Session, *, fetched: bool = False
    ) -> None:
        """Give files their place in the folder, and note what they are.

        Args:
            manifest: what they should be.
            names: in the repository; those whose content is not here are left out.
            session: of this folder.
            fetched: only what was fetched into the folder, and so verified: where a download
                failed, the content of other caches may not be checked yet.

        Raises:
            CacheError: some could not be placed; the others were.

        """
        store = session.store
        found = {name: store.find(manifest, name) for name in names}
        sources = {name: each for name, each in found.items() if each is not None}
        staged = {each.path for each in sources.values() if self._is_staged(each.path)}
        left = Counter(each.path for each in sources.values())
        changed: list[str] = []
        failures: dict[str, HubloaderError] = {}
        with _placing(self.path):
            self._prepare()
        for name, each in sources.items():
            if fetched and each.path not in staged:
                continue
            left[each.path] -= 1
            last = not left[each.path]  # of the names that share the content
            try:
                with about(repo_id=str(manifest.repo), filename=name), _placing(self.file(name)):
                    changed += self._put(name, each.path, move=last and each.path in staged)
                    self.note(name, manifest.commit, manifest.entries[name])
                    self._tidy(store.layout.repo(manifest.repo), manifest, name, last=last)
            except CacheError as error:
                failures[name] = error
        with _placing(self.path):
            if session.settings.durability != "none":
                disk.sync_folders(changed)
        if failures:
            from hubloader.resolve.engine import combined  # first use: it is not the usual

            raise combined(failures)

    def _is_staged(self, source: str) -> bool:
        return Path(source).is_relative_to(self._staging)

    def _put(self, filename: str, source: str, *, move: bool) -> list[str]:
        """Move or copy a content to its place; whole or not at all."""
        target = self.file(filename)
        changed = disk.make_folders(str(target.parent))
        if move:
            Path(source).chmod(0o666 & ~_umask())  # a cache's content is read-only, a folder's not
            disk.rename(source, str(target))
        else:
            with _renamed_to(target) as temporary:
                shutil.copyfile(source, temporary)
        return [*changed, str(target.parent)]

    def note(self, filename: str, commit: str, entry: Entry) -> None:
        """Note, as huggingface_hub does, what a file is.

        Of a name so long that its note could have none, its hash tells the same each time.
        """
        note = self._note(filename)
        if len(os.fsencode(note.name)) > _NAME_MAX:
            return
        with guard(str(note)):
            note.parent.mkdir(parents=True, exist_ok=True)
            with _renamed_to(note) as temporary:
                text = f"{commit}\n{content_key(entry)}\n{time.time()}\n"
                temporary.write_text(text, encoding="utf-8")

    @staticmethod
    def _tidy(layout: RepoLayout, manifest: Manifest, name: str, *, last: bool) -> None:
        """Take the store's names of what was moved out of it."""
        pointer, etag = layout.pointer(manifest.commit, name), content_key(manifest.entries[name])
        disk.remove(pointer)
        folder, top = os.path.dirname(pointer), layout.snapshot(manifest.commit)
        while folder != top:
            disk.remove_empty(folder)
            folder = os.path.dirname(folder)
        if last:
            disk.remove(layout.blob(etag))  # it is left where pointers are copies
            disk.remove(layout.stamp(etag))

    @contextlib.contextmanager
    def locked(self, stall: float) -> Iterator[None]:
        """Keep other processes of ours out; gone on without one that makes no progress.

        Args:
            stall: seconds without progress of the other after which nobody waits for it.

        """
        from filelock import FileLock, Timeout  # first use

        with _placing(self.path):
            self._prepare()
        lock = FileLock(self._state / "hubloader.lock", mode=0o664)
        seen, since = self._progress(), time.monotonic()
        while True:
            try:
                lock.acquire(timeout=_LOOK_EVERY)
                break
            except Timeout:
                now = self._progress()
                if now != seen:
                    seen, since = now, time.monotonic()
                if time.monotonic() - since > stall:
                    break
            except (OSError, NotImplementedError):  # no locks here: names are given in one step
                break
        try:
            yield
        finally:
            if lock.is_locked:
                lock.release()

    def _progress(self) -> tuple[int, int]:
        """What changes while another process fetches: bytes in its partials, files placed."""
        sizes = []
        for path in self._staging.glob("*/.hubloader/partials/**/*"):
            with contextlib.suppress(OSError):  # it was just named
                sizes.append(path.stat().st_size)
        return sum(sizes), len(self.names())

    def _note(self, filename: str) -> Path:
        return self._state / "download" / f"{check_filename(filename)}.metadata"

    def _prepare(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        for name, text in ((".gitignore", "*"), ("CACHEDIR.TAG", _TAG)):
            if not (self._state / name).exists():
                (self._state / name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _placing(path: Path) -> Iterator[None]:
    """Translate what the system raises inside, about the user's own folder."""
    try:
        with guard(str(path)):
            yield
    except CacheError as error:
        error.hint = "make way for the file there, or give another local_dir"
        raise


@contextlib.contextmanager
def _renamed_to(target: Path) -> Iterator[Path]:
    """Give a file beside ``target`` to write, and rename it there when it is whole."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".hubloader-")
    os.close(descriptor)
    try:
        yield Path(name)
        Path(name).chmod(0o666 & ~_umask())  # mkstemp's own mode is for secrets
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)  # there is no way to read it without setting it
    os.umask(mask)
    return mask
