"""The precompiled character map, which the engine follows on trust: astray, it panics.

It is a table of 32-bit units, a double array, and the texts that characters become. A unit says
which byte led to it, where its children are, and whether one of them names a text.

Source: google/sentencepiece ``src/normalizer.cc``, s-yata/darts-clone ``include/darts.h``.
"""

from __future__ import annotations

import sys
from array import array

from hubloader.errors import CorruptFile, UnsafeFile

__all__ = ["check_charsmap"]

_MAX_REPLACEMENT = 1024  # bytes that the map makes of one match
_NO_LABEL = 1 << 31
_VALUE = _NO_LABEL - 1
_BLOCK = 0xFF  # a unit's children are in one block of 256


def check_charsmap(raw: bytes) -> None:
    """Bound what a character becomes, and make sure that every step leads into the table.

    Raises:
        CorruptFile: the map is damaged.
        UnsafeFile: it makes a character too long.

    """
    table = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or table % 4 or 4 + table > len(raw):
        raise CorruptFile("its character map is cut short")
    texts = raw[4 + table :]
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError:
        raise CorruptFile("its character map is not UTF-8") from None
    longest = max(map(len, texts.split(b"\0")))
    if longest > _MAX_REPLACEMENT:
        raise UnsafeFile(
            f"its character map replaces by {longest} bytes, more than {_MAX_REPLACEMENT}"
        )
    _check_table(raw[4 : 4 + table], texts)


def _check_table(raw: bytes, texts: bytes) -> None:
    units = array("I", raw)
    if sys.byteorder == "big":
        units.byteswap()
    count = len(units)
    if not count:
        raise CorruptFile("its character map has no table")
    for place, unit in enumerate(units):
        if unit & _NO_LABEL:
            continue  # a leaf: its value was checked where it is named
        children = place ^ (unit >> 10 << (unit >> 6 & 8))
        if children | _BLOCK >= count:
            raise CorruptFile(f"its character map leads to unit {children} of {count}")
        if unit >> 8 & 1:
            start = units[children] & _VALUE
            if start > len(texts) or b"\x80" <= texts[start : start + 1] < b"\xc0":
                raise CorruptFile(f"its character map names a text at byte {start}")
