"""Locked files as a plain folder, and grouped for image layers.

``DIR/<entry>/<file>``: normal files, not links, each hashed while it is copied, named when it is
whole. Modes and times are the same everywhere (0644, 0755, ``SOURCE_DATE_EPOCH`` or the epoch's
begin), so that two builds of one lock give the same layers. What is there already with the right
size and time is left alone; nothing is deleted.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from hubloader.errors import DiskFull, IntegrityError, InvalidReference
from hubloader.locking.drafts import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubloader.locking.desk import Desk
    from hubloader.locking.values import LockedFile, LockedModel

__all__ = ["check_digest", "copy_models", "layers"]

_CHUNK = 2**20  # bytes
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


def copy_models(
    desk: Desk, models: Iterable[LockedModel], folder: str, *, when: int = 0
) -> tuple[str, ...]:
    """Copy the files of entries, which have to be in the cache.

    Args:
        desk: the cache.
        models: the entries.
        folder: where to.
        when: the time of every file, seconds since the epoch.

    Returns:
        The files that were written, relative to ``folder``.

    Raises:
        IntegrityError: a cached file is not the locked one.
        DiskFull: there is no room.

    """
    written: list[str] = []
    folders: set[str] = set()
    chosen = list(models)
    new = not os.path.isdir(folder)
    _refuse_without_room(chosen, folder, when)
    for model in chosen:
        paths = desk.bring(model.manifest, [file.path for file in model.files])
        for file in model.files:
            name = os.path.join(model.name, *file.path.split("/"))
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not _is_there(target, file, when):
                _copy(os.fspath(paths[file.path]), target, file, when)
                written.append(f"{model.name}/{file.path}")
            folders |= _parents(name)
    for name in sorted(folders, reverse=True):  # the deepest first: writing below changes the time
        path = os.path.join(folder, name)
        os.chmod(path, _FOLDER_MODE)
        os.utime(path, (when, when))
    if new:  # the mode of a folder that was there is its owner's
        os.chmod(folder, _FOLDER_MODE)
    os.utime(folder, (when, when))
    return tuple(written)


def layers(models: Iterable[LockedModel], most: int) -> list[dict[str, Any]]:
    """Group files into layers of at most ``most`` bytes, the same for the same lock.

    A file that is larger has a layer of its own; files of one entry stay together where they fit.
    """
    groups: list[dict[str, Any]] = []
    for model in models:
        for file in model.files:
            fits = groups and groups[-1]["size"] + file.size <= most
            if not fits:
                groups.append({"files": [], "size": 0})
            groups[-1]["files"].append(f"{model.name}/{file.path}")
            groups[-1]["size"] += file.size
    return groups


def _parents(name: str) -> set[str]:
    found = set()
    while name := os.path.dirname(name):
        found.add(name)
    return found


def _is_there(path: str, file: LockedFile, when: int) -> bool:
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return False
    return facts.st_size == file.size and int(facts.st_mtime) == when and not os.path.islink(path)


def _refuse_without_room(models: list[LockedModel], folder: str, when: int) -> None:
    import shutil

    needed = sum(
        file.size
        for model in models
        for file in model.files
        if not _is_there(os.path.join(folder, model.name, file.path), file, when)
    )
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            f"{needed} bytes are to be written to {folder}, and {free} are free",
            needed=needed,
            free=free,
        )


def _copy(source: str, target: str, file: LockedFile, when: int) -> None:
    if os.path.isdir(target):
        raise InvalidReference(f"{target} is a folder where a file has to be")
    content = hashlib.sha256()
    with replacing(target) as draft:
        with open(source, "rb") as reader, open(draft, "wb") as writer:
            while data := reader.read(_CHUNK):
                content.update(data)
                writer.write(data)
        check_digest(source, content.hexdigest(), file)
        os.chmod(draft, _FILE_MODE)
        os.utime(draft, (when, when))


def check_digest(source: str, sha256: str, file: LockedFile) -> None:
    """Refuse a copy of ``source`` that is not the locked file."""
    if sha256 != file.sha256:
        raise IntegrityError(
            f"{source} is not the file that was locked",
            expected=file.sha256,
            actual=sha256,
            filename=file.path,
            hint="run `hubloader verify --repair`",
        )
