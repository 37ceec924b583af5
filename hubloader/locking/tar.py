"""The one form of tar that bundles have: plain files under plain names, read and written in order.

A general tar reader knows links, devices, sparse files, long names and headers of any length; each
was somebody's way out of a folder, or into all of the memory. Here a header is one block of 512
bytes that says a regular file; everything else is refused before a byte of it is used.

Source: POSIX.1-2017 pax, "ustar Interchange Format"; sizes from 8 GiB on are written as GNU tar
does (base 256), which every tar reads.
"""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING

from hubloader.errors import IntegrityError, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["END", "Member", "header", "members", "padding"]

_BLOCK = 512
END = bytes(2 * _BLOCK)
_CHUNK = 2**20  # bytes
_WHAT = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class Member:
    """One file of the stream; it has to be read before the next one is asked for."""

    def __init__(self, stream: IO[bytes], name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._stream = stream
        self._left = size

    def chunks(self) -> Iterator[bytes]:
        """What is left of its content, piece by piece.

        Raises:
            IntegrityError: the stream ends inside it.

        """
        while self._left:
            data = self._stream.read(min(_CHUNK, self._left))
            if not data:
                raise IntegrityError(
                    f"the bundle ends inside {self.name}",
                    expected=f"{self.size} bytes",
                    actual=f"{self.size - self._left} bytes",
                    hint="it was not carried over whole: copy it again",
                )
            self._left -= len(data)
            yield data

    def content(self, most: int) -> bytes:
        """All of it, if it is not more than ``most`` bytes.

        Raises:
            UnsafeFile: it is more.

        """
        if self.size > most:
            raise UnsafeFile(f"{self.name} of the bundle has {self.size} bytes: too many for it")
        return b"".join(self.chunks())


def members(stream: IO[bytes]) -> Iterator[Member]:
    """Read the files of a tar, in order.

    Raises:
        UnsafeFile: something in it is no regular file.
        IntegrityError: it is no tar, damaged, or ends early.

    """
    while True:
        block = _read_block(stream)
        if not any(block):
            return
        member = _member(stream, block)
        yield member
        for _ in member.chunks():
            pass  # what nobody wanted
        stream.read(-member.size % _BLOCK)


def _read_block(stream: IO[bytes]) -> bytes:
    block = b""
    while len(block) < _BLOCK:
        data = stream.read(_BLOCK - len(block))
        if not data:
            raise IntegrityError(
                "the bundle has no end: it is no tar, or not all of it is here",
                hint="copy it again",
            )
        block += data
    return block


def _member(stream: IO[bytes], block: bytes) -> Member:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"the bundle is damaged: {error}", hint="it is no tar of hubloader, or copy it again"
        ) from None
    if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or info.size < 0:
        what = _WHAT.get(info.type, f"of the kind {info.type!r}")
        raise UnsafeFile(
            f"the bundle is refused: {info.name[:200]!r} is {what}, and a bundle has plain files",
            hint="make it with `hubloader export`",
        )
    return Member(stream, info.name, info.size)


def header(name: str, size: int) -> bytes:
    """The header of a file; nothing in it depends on when and where it is written."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What follows a file of ``size`` bytes, up to the next block."""
    return bytes(-size % _BLOCK)
