"""The few operations that change the cache, each safe alone.

Everything in this package that creates, renames, syncs or deletes goes through here, so that what
is made durable, and in which order, can be read (and tested) in one place. Files are created 0664
and folders 0775 less the umask: never writable by everyone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

from hubloader.cache.owner import this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "append",
    "create",
    "draft_name",
    "freeze_mode",
    "in_folder",
    "make_folders",
    "make_nested",
    "random_name",
    "read_at",
    "remove",
    "remove_empty",
    "remove_nested",
    "remove_tree",
    "rename",
    "rename_over",
    "sync_file",
    "sync_filesystem",
    "sync_folders",
    "write_all",
    "write_at",
    "write_atomically",
]

_CREATE = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_NOT_EMPTY = frozenset(
    {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EBUSY, errno.EACCES,
     errno.EPERM, errno.EROFS}
)  # fmt: skip
# A file system that cannot sync folders says so with these; nothing is lost that it could keep.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS})
_TRIES = 20  # each may only be lost to another process that just finished something
T = TypeVar("T")


def random_name() -> str:
    """Return 8 hex digits that no other process uses."""
    return os.urandom(4).hex()


def draft_name() -> str:
    """Return a name for a file that has none yet: it says whose it is, should its writer die."""
    return f"{this_process().token}.{random_name()}"


def create(path: str) -> int:
    """Open a new file for reading and writing; it must not exist, not even as a link."""
    return os.open(path, _CREATE, 0o664)


def make_folders(path: str) -> list[str]:
    """Make ``path`` and its parents; return the folders that changed, to be synced."""
    if os.path.isdir(path):
        return []
    parent = os.path.dirname(path)
    changed = make_folders(parent) if parent != path else []
    try:
        os.mkdir(path, 0o775)
    except FileExistsError:
        try:
            is_folder = stat.S_ISDIR(os.stat(path).st_mode)  # one look: it may come and go
        except FileNotFoundError:
            if os.path.islink(path):  # to nowhere
                raise
            return make_folders(path)  # another thread took it away again, as it was empty
        if not is_folder:
            raise
        return changed
    return [*changed, parent]


def missing_folders(path: str) -> list[str]:
    """Return ``path`` and those above it, as far as they are not there, the inner ones first."""
    found = []
    while not os.path.isdir(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def make_nested(path: str, inner: str, *, tmp: str) -> list[str]:
    """Make ``path`` and the folder ``inner`` directly in it; where neither is there, in one step.

    Args:
        path: a folder, whose parent exists.
        inner: the folder in it.
        tmp: a folder for both before they have their name; on another disk, or not ours to write,
            it takes two steps.

    Returns:
        The folders that changed, to be synced.

    """
    if not os.path.lexists(path):
        draft = os.path.join(tmp, draft_name())
        with contextlib.suppress(OSError):  # what is wrong with the disk is told below
            try:
                in_folder(tmp, lambda: os.mkdir(draft, 0o775))
                os.mkdir(os.path.join(draft, os.path.basename(inner)), 0o775)
                os.rename(draft, path)
                return [os.path.dirname(path), path]
            finally:
                remove_tree(draft)
                remove_empty(tmp)
    return make_folders(inner)


def remove_nested(path: str, inner: str, *, tmp: str) -> None:
    """Delete ``path`` if nothing but the empty folder ``inner`` is in it: both, or none.

    Args:
        path: a folder.
        inner: a folder directly in it.
        tmp: as for ``make_nested``.

    """
    if _names(path) != [os.path.basename(inner)] or _names(inner):
        remove_empty(path)
        return
    draft = os.path.join(tmp, draft_name())
    moved = os.path.join(draft, os.path.basename(inner))
    try:
        in_folder(tmp, lambda: os.rename(path, draft))
    except OSError:
        remove_empty(inner, path)
    else:
        remove_empty(moved, draft)
        if os.path.isdir(draft) and _names(draft):  # something came into it in between
            make_folders(moved)
            os.rename(draft, path)
    finally:
        remove_empty(tmp)


def in_folder(folder: str, make: Callable[[], T]) -> T:
    """Make something in ``folder``, which is made first.

    Folders of drafts and locks are taken away when they are empty, also by other processes, and
    perhaps just before something is made in them: then both are made again.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            make_folders(folder)
            return make()
    make_folders(folder)
    return make()


def rename(source: str, target: str) -> None:
    """Give ``source`` the name ``target``, replacing what has it, in one step."""
    os.replace(source, target)


def rename_over(source: str, target: str, *, aside: str) -> None:
    """Rename; a folder in the way, which neither library puts there, goes to ``aside`` first."""
    try:
        rename(source, target)
    except OSError:
        if os.path.islink(target) or not os.path.isdir(target):
            raise
        make_folders(aside)
        rename(target, os.path.join(aside, f"{os.path.basename(target)}.{random_name()}"))
        rename(source, target)


def remove(path: str) -> bool:
    """Delete a file or link; False if nothing is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_empty(*folders: str) -> None:
    """Delete each folder that is empty, in this order; one that is not stays."""
    for folder in folders:
        _remove_folder(folder)


def remove_tree(path: str) -> int:
    """Delete a file, a link, or a folder with all in it; links are not followed.

    What others add meanwhile stays, and its folder with it.

    Returns:
        The bytes that were freed.

    """
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(facts.st_mode):
        last = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
        return facts.st_size if remove(path) and last else 0
    freed = sum(remove_tree(os.path.join(path, name)) for name in _names(path))
    _remove_folder(path)
    return freed


def _remove_folder(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def freeze_mode(descriptor: int) -> None:
    """Take the write bits off a finished content, so that nobody writes through a pointer."""
    if os.name == "nt":  # Windows deletes no read-only file, and huggingface_hub must be able to
        return
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    with contextlib.suppress(PermissionError):  # another user's file system, no ownership: keep it
        os.fchmod(descriptor, mode & 0o444)


def sync_file(descriptor: int) -> None:
    """Force a file's content to the disk.

    After an error the kernel may count the lost pages as clean: never sync such a file again,
    write it anew. Source: PostgreSQL wiki, "Fsync Errors".
    """
    os.fsync(descriptor)


def sync_folders(folders: Iterable[str]) -> None:
    """Force the names in each folder to the disk."""
    if os.name == "nt":  # folders cannot be opened there; NTFS journals names
        return
    for folder in sorted(set(folders)):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise
        finally:
            os.close(descriptor)


def sync_filesystem(descriptor: int) -> bool:
    """Force a whole file system to the disk in one call; False where that does not exist.

    Source: syncfs(2). Before Linux 5.8 it told nothing of lost writes, so it counts from there on.
    """
    syncfs = _syncfs()
    if syncfs is None:
        return False
    import ctypes

    if syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


def _syncfs() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    release = os.uname().release.split(".")
    try:
        if (int(release[0]), int(release[1])) < (5, 8):
            return None
    except (ValueError, IndexError):
        return None
    import ctypes

    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return found


def write_atomically(
    path: str, data: bytes, *, tmp: str, durable: bool = False, mtime_ns: int | None = None
) -> list[str]:
    """Write a small file so that readers see all of it or the old one.

    Args:
        path: the file; its folder is made.
        data: its whole content.
        tmp: a folder on the same file system, for the file before it has its name; it is there
            only as long as something is in it.
        durable: force the content to the disk before the name.
        mtime_ns: the time it is to have, in nanoseconds, as far as the file system keeps them.

    Returns:
        The folders that changed: sync them to make the name durable too.

    """
    changed = make_folders(os.path.dirname(path))
    draft = os.path.join(tmp, draft_name())
    descriptor = in_folder(tmp, lambda: create(draft))
    named = False
    try:
        try:
            write_all(descriptor, data)
            if mtime_ns is not None:
                os.utime(draft, ns=(mtime_ns, mtime_ns))
            if durable:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
        rename(draft, path)
        named = True
    finally:
        if not named:
            remove(draft)
        remove_empty(tmp)
    return [*changed, os.path.dirname(path)]


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data`` where the open file stands."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def append(path: str, data: bytes) -> None:
    """Add to the end of a small file in one write, so that concurrent writers do not mix."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o664)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


_no_pread = threading.Lock()  # guards the file position where the system has only one per file


def write_at(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of ``data`` at ``offset`` bytes from the beginning."""
    view = memoryview(data)
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, view, offset)
        else:
            with _no_pread:
                os.lseek(descriptor, offset, os.SEEK_SET)
                written = os.write(descriptor, view)
        offset += written
        view = view[written:]


def read_at(descriptor: int, offset: int, length: int) -> bytes:
    """Read up to ``length`` bytes at ``offset``; fewer at the end of the file."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, offset)
    with _no_pread:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)
