"""What becomes of a failure that no command foresaw: the system's, or a fault of ours.

======================================  =================================================
what came                               is told as
======================================  =================================================
ENOSPC, EDQUOT                          DiskFull: code 8
ENOENT, EACCES, EROFS and their like    the system's words about the path: code 1
every other                             a fault of ours, to be reported: code 1
======================================  =================================================
"""

from __future__ import annotations

import errno
from typing import Final

from hubloader.errors import DiskFull

__all__ = ["told_by_system"]

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_THEIRS: Final = frozenset(  # what paths, rights and disks are like is for the user to mend
    {
        errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP,
        errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO,
        errno.EMFILE, errno.ENFILE, errno.EXDEV, errno.EPIPE,
    }
)  # fmt: skip


def told_by_system(error: BaseException) -> OSError | None:
    """What the system said, in words for the user; None for what is no answer of the system's."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    path = error.filename2 or error.filename
    place = "" if path is None else f" at {path}"
    words = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFull(f"there is no room{place}: {words}", hint="make room, or write elsewhere")
    return type(error)(f"the system refuses{place}: {words}") if error.errno in _THEIRS else None
