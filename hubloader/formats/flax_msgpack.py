"""``flax_model.msgpack``: nested maps of arrays, in MessagePack with Flax' one extension.

Extension 1 is an array: itself MessagePack of (shape, dtype's name, bytes). An array over 1 GiB is
cut into a map of chunks. A name here joins the keys of the maps with "/";
``auto/names.py`` knows how Flax' names become PyTorch's.

Source: flax 0.10 ``serialization.py``; the MessagePack specification of 2017.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, FormatError, UnsafeFile
from hubloader.formats.base import (
    MAX_RANK,
    MAX_TENSORS,
    WORDS,
    Naming,
    TensorTable,
    map_file,
    numpy_dtype,
    tensor_bytes,
)

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["FlaxFile"]

_MAX_DEPTH = 64
_ARRAY = 1  # Flax' extension codes
_CHUNKED = "__msgpack_chunked_array__"


@dataclass(frozen=True)
class _Array:
    """Where an array's bytes lie: (begin, length) of each piece."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[tuple[int, int], ...]


class FlaxFile(TensorTable):
    """A Flax checkpoint as named arrays on its mapped pages.

    Args:
        path: where the file is.
        filename: its name for messages; default the path's last part.

    Raises:
        CorruptFile: it is damaged, or no such file.
        UnsafeFile: it nests or counts beyond any checkpoint.

    """

    naming: Naming = "flax"

    def __init__(self, path: str | os.PathLike[str], filename: str | None = None) -> None:
        self.filename = filename or os.path.basename(os.fspath(path))
        self._map = map_file(path)
        try:
            tree = _Reader(self._map).whole()
            self._tensors = dict(_leaves(tree))
            if len(self._tensors) > MAX_TENSORS:
                raise UnsafeFile(f"the checkpoint holds more than {MAX_TENSORS} tensors")
        except FormatError as error:
            error.filename = error.filename or self.filename
            raise

    def read(self, name: str) -> NDArray[Any]:
        """The array as a view on the mapped file; one that was cut is joined."""
        import numpy as np  # first use: 120 ms, and a listing needs none

        array: _Array = self._tensors[name]
        dtype = numpy_dtype(array.dtype)
        parts = [
            np.frombuffer(self._map, dtype, length // dtype.itemsize, begin)
            for begin, length in array.pieces
            if length
        ]
        if len(parts) == 1:
            return parts[0].reshape(array.shape)
        return np.concatenate([np.empty(0, dtype), *parts]).reshape(array.shape)


class _Reader:
    """MessagePack, as much as Flax writes of it."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._end = len(data)
        self._at = 0

    def whole(self) -> Any:
        value = self.read_value(0)
        if self._at != self._end:
            raise CorruptFile(f"{self._end - self._at} bytes follow the checkpoint")
        return value

    def read_take(self, count: int) -> int:
        """Step over ``count`` bytes; returns where they begin."""
        begin = self._at
        if begin + count > self._end:
            raise CorruptFile(f"the file ends at byte {self._end}, inside a value")
        self._at = begin + count
        return begin

    def read_number(self, code: str) -> Any:
        size = struct.calcsize(code)
        begin = self.read_take(size)
        return struct.unpack(code, self._data[begin : begin + size])[0]

    def read_value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise UnsafeFile(f"maps are nested deeper than {_MAX_DEPTH}")
        code = self.read_number(">B")
        if code <= 0x7F:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code <= 0x8F:
            return self.read_dict(code & 0x0F, depth)
        if code <= 0x9F:
            return self.read_list(code & 0x0F, depth)
        if code <= 0xBF:
            return self.read_text(code & 0x1F)
        return self.read_long_form(code, depth)

    def read_long_form(self, code: int, depth: int) -> Any:
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            return self.read_number(_NUMBERS[code])
        if code not in _SIZED:
            raise CorruptFile(f"byte {self._at - 1} is no MessagePack")
        kind, size = _SIZED[code]
        count = size if isinstance(size, int) else self.read_number(size)
        return kind(self, count, depth)

    def read_text(self, count: int, depth: int = 0) -> str:
        del depth
        begin = self.read_take(count)
        try:
            return self._data[begin : begin + count].decode("utf-8")
        except UnicodeDecodeError:
            raise CorruptFile(f"the text at byte {begin} is not UTF-8") from None

    def read_bytes(self, count: int, depth: int = 0) -> tuple[int, int]:
        del depth
        return self.read_take(count), count

    def read_list(self, count: int, depth: int) -> list[Any]:
        self.check_count(count)
        return [self.read_value(depth + 1) for _ in range(count)]

    def read_dict(self, count: int, depth: int) -> dict[Any, Any]:
        self.check_count(count)
        found: dict[Any, Any] = {}
        for _ in range(count):
            key = self.read_value(depth + 1)
            if not isinstance(key, (str, int)) or key in found:
                raise CorruptFile(f"the key before byte {self._at} is no name, or is there twice")
            found[key] = self.read_value(depth + 1)
        return found

    def check_count(self, count: int) -> None:
        if count > self._end - self._at:
            raise CorruptFile(f"{count} values are claimed where {self._end - self._at} bytes are")

    def read_extension(self, count: int, depth: int) -> Any:
        code = self.read_number(">b")
        end = self._at + count
        if code != _ARRAY:
            self.read_take(count)
            return None  # complex numbers and scalars: no weight is one
        value = self.read_value(depth + 1)
        if self._at != end:
            raise CorruptFile(f"the array that ends at byte {end} has another length inside")
        return _array(value)


def _array(value: Any) -> _Array:
    if not isinstance(value, list) or len(value) != 3 or value[1] not in WORDS:
        raise CorruptFile("an array has no shape, dtype and data")
    shape, word, piece = value[0], WORDS[value[1]], value[2]
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not isinstance(piece, tuple):
        raise CorruptFile("an array has no usable shape")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise CorruptFile("an array has no usable shape")
    if tensor_bytes(word, tuple(shape)) != piece[1]:
        raise CorruptFile(f"an array of shape {shape} and type {word} cannot take {piece[1]} bytes")
    return _Array(word, tuple(shape), (piece,))


def _leaves(tree: Any, prefix: str = "") -> Iterable[tuple[str, _Array]]:
    if isinstance(tree, _Array):
        yield prefix, tree
    elif isinstance(tree, dict) and tree.get(_CHUNKED):
        yield prefix, _joined(tree)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key))


def _joined(tree: dict[Any, Any]) -> _Array:
    shape, chunks = tree.get("shape"), tree.get("chunks")
    if not isinstance(shape, dict) or not isinstance(chunks, dict) or not chunks:
        raise CorruptFile("an array in chunks has no shape and chunks")
    lengths = tuple(shape[str(index)] for index in range(len(shape)) if str(index) in shape)
    parts = [chunks[str(index)] for index in range(len(chunks)) if str(index) in chunks]
    fits = len(lengths) == len(shape) and all(type(n) is int and n >= 0 for n in lengths)
    if not fits or len(parts) != len(chunks) or not all(isinstance(p, _Array) for p in parts):
        raise CorruptFile("an array in chunks is incomplete")
    pieces = tuple(piece for part in parts for piece in part.pieces)
    word = parts[0].dtype
    if tensor_bytes(word, lengths) != sum(length for _, length in pieces):
        raise CorruptFile("an array in chunks has another size than its chunks")
    return _Array(word, lengths, pieces)


_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_SIZED: dict[int, tuple[Callable[[_Reader, int, int], Any], int | str]] = {
    # how the value is read, and its length: fixed, or a number that follows
    0xC4: (_Reader.read_bytes, ">B"),
    0xC5: (_Reader.read_bytes, ">H"),
    0xC6: (_Reader.read_bytes, ">I"),
    0xC7: (_Reader.read_extension, ">B"),
    0xC8: (_Reader.read_extension, ">H"),
    0xC9: (_Reader.read_extension, ">I"),
    0xD4: (_Reader.read_extension, 1),
    0xD5: (_Reader.read_extension, 2),
    0xD6: (_Reader.read_extension, 4),
    0xD7: (_Reader.read_extension, 8),
    0xD8: (_Reader.read_extension, 16),
    0xD9: (_Reader.read_text, ">B"),
    0xDA: (_Reader.read_text, ">H"),
    0xDB: (_Reader.read_text, ">I"),
    0xDC: (_Reader.read_list, ">H"),
    0xDD: (_Reader.read_list, ">I"),
    0xDE: (_Reader.read_dict, ">H"),
    0xDF: (_Reader.read_dict, ">I"),
}
