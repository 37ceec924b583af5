"""Which names a disk cannot hold: refused before a byte is fetched.

A file system without letter case (APFS, NTFS, a FAT stick) makes one file of ``Model.bin`` and
``model.bin``: two contents under one name, and the second would win. A path beyond the system's
limit fails only when its file is complete. Both are told from the listing.
"""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

from hubloader.cache.layout import colliding_names
from hubloader.errors import InvalidReference

if TYPE_CHECKING:
    from collections.abc import Collection

    from hubloader.cache.layout import RepoLayout

__all__ = ["check_names", "is_case_sensitive", "longest_path"]

_WINDOWS_LIMIT = 259  # characters, without the \\?\ prefix that not every program takes
_POSIX_LIMIT = 4095  # bytes, where the system does not tell
_DRAFT = 64  # bytes: what a draft or a partial of ours is longer than a blob's name


def is_case_sensitive(folder: str) -> bool:
    """Whether names in ``folder`` differ by letter case; finds out without writing."""
    place = folder
    while not os.path.isdir(place) or place.swapcase() == place:
        parent = os.path.dirname(place)
        if parent == place:
            return True
        place = parent
    parent, name = os.path.split(place)
    other = os.path.join(parent, name.swapcase())
    try:
        return not os.path.samefile(place, other)
    except OSError:
        return True


def longest_path(folder: str) -> int:
    """Return the longest path in bytes (Windows: characters) that the system takes."""
    if os.name == "nt":
        return _WINDOWS_LIMIT
    try:
        return os.pathconf(folder, "PC_PATH_MAX") - 1  # with the NUL at its end
    except (OSError, ValueError):
        return _POSIX_LIMIT


def check_names(
    layout: RepoLayout,
    commit: str,
    filenames: Collection[str],
    *,
    case_sensitive: bool | None = None,
    limit: int | None = None,
) -> None:
    """Refuse files that the disk cannot hold under their names.

    Args:
        layout: the repository.
        commit: the snapshot that will name them.
        filenames: all that are wanted of it.
        case_sensitive: None to find out.
        limit: the longest path; None to find out.

    Raises:
        InvalidReference: two names are one here, the repository's folder is another's that differs
            by letter case only, or a path is too long.

    """
    limit = longest_path("/") if limit is None else limit
    for filename in filenames:
        length = len(os.fsencode(layout.pointer(commit, filename))) + _DRAFT
        if length > limit:
            raise InvalidReference(
                f"the path of {filename!r} in the cache is too long: {length} of {limit} bytes",
                hint="set HF_HUB_CACHE to a shorter path",
                filename=filename,
            )
    if case_sensitive is None:
        case_sensitive = is_case_sensitive(layout.cache.root)
    if case_sensitive:
        return
    clashes = colliding_names(frozenset(filenames))
    if clashes:
        raise InvalidReference(
            f"{' and '.join(clashes[0])} are one file on this disk, which knows no letter case",
            hint="set HF_HUB_CACHE to a disk that knows letter case, or leave one out",
            filename=clashes[0][0],
        )
    _refuse_other_folder(layout)


def _refuse_other_folder(layout: RepoLayout) -> None:
    names = os.listdir(layout.cache.root) if os.path.isdir(layout.cache.root) else []
    ours = _folded(layout.name)
    other = next((name for name in names if name != layout.name and _folded(name) == ours), None)
    if other is not None and layout.name not in names:
        raise InvalidReference(
            f"the folder of {layout.repo} is taken by {other}: letter case does not count here",
            hint="name the repository with the letter case that is in the cache already",
        )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
