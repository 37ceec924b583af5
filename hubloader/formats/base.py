"""What every weight format promises: names, a spec for each, and the array when it is asked for.

Numbers that numpy cannot name travel as a structured dtype with one field, so that an array says
itself what it holds: ``dtype([("bfloat16", "<u2")])``. ``array["bfloat16"]`` is the plain view of
its bits. Source: the dtype words are those of safetensors 0.6 (``tensor.rs``).
"""

from __future__ import annotations

import math
import mmap
import os
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hubloader.errors import CorruptFile, UnsupportedDtype
from hubloader.types import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MAX_RANK",
    "MAX_TENSORS",
    "WORDS",
    "Naming",
    "TensorTable",
    "WeightFile",
    "dtype_word",
    "item_bits",
    "map_file",
    "numpy_dtype",
    "tensor_bytes",
]

Naming = Literal["pt", "tf", "flax"]
"""Whose parameter names a file uses: PyTorch's, Keras' or Flax'."""

WORDS = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
}
"""The dtype words of the names that numpy, PyTorch and Flax share."""

MAX_TENSORS = 200_000  # the largest checkpoints in use hold some 60,000
MAX_RANK = 16

_PLAIN = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "C64": "<c8",
}
_WRAPPED = {
    "BF16": ("bfloat16", "<u2"),
    "F8_E4M3": ("float8_e4m3fn", "u1"),
    "F8_E5M2": ("float8_e5m2", "u1"),
    "F8_E8M0": ("float8_e8m0fnu", "u1"),
}
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


class WeightFile(Protocol):
    """One checkpoint, however many files it lies in; opened lazily, read array by array."""

    @property
    def naming(self) -> Naming:
        """Whose names ``names`` gives."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says about itself."""

    def names(self) -> Iterable[str]:
        """Every tensor, in the file's order."""

    def spec(self, name: str) -> TensorSpec:
        """Dtype and shape, without touching the data."""

    def read(self, name: str) -> NDArray[Any]:
        """The array, as stored: a view on the mapped file wherever the format allows it."""

    def describe(self) -> str:
        """The file, or files, in words for messages."""


class TensorTable:
    """What readers share that keep a table of their arrays: each entry has a dtype and a shape.

    A reader sets ``filename`` and ``_tensors``, and names its ``naming``.
    """

    naming: Naming
    filename: str
    _tensors: Mapping[str, Any]

    @property
    def metadata(self) -> Mapping[str, str]:
        """Nothing: such formats have none."""
        return {}

    def names(self) -> Iterable[str]:
        """Every array, in the file's order."""
        return self._tensors.keys()

    def spec(self, name: str) -> TensorSpec:
        """Dtype and shape, as the file says."""
        array = self._tensors[name]
        return TensorSpec(name, array.dtype, array.shape)

    def describe(self) -> str:
        """The file's name."""
        return self.filename


def item_bits(word: str) -> int | None:
    """Bits per number of a dtype word, None for a word nobody defined."""
    return _BITS.get(word)


def tensor_bytes(word: str, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor takes on disk."""
    return math.prod(shape) * _BITS[word] // 8


def numpy_dtype(word: str) -> np.dtype[Any]:
    """The numpy dtype for a dtype word; structured where numpy has no such number.

    Raises:
        UnsupportedDtype: numbers of less than a byte.

    """
    import numpy as np  # first use: 120 ms, and a tokenizer needs none

    if word in _PLAIN:
        return np.dtype(_PLAIN[word])
    if word in _WRAPPED:
        return np.dtype([_WRAPPED[word]])
    raise UnsupportedDtype(f"numbers of type {word} cannot be read here")


def dtype_word(dtype: np.dtype[Any]) -> str:
    """The dtype word for a numpy dtype; the inverse of ``numpy_dtype``.

    Raises:
        UnsupportedDtype: no word exists for it.

    """
    if dtype.names is not None:
        for word, (name, _) in _WRAPPED.items():
            if dtype.names == (name,):
                return word
    plain = {numpy_dtype(word): word for word in _PLAIN}
    if dtype in plain:
        return plain[dtype]
    raise UnsupportedDtype(f"arrays of {dtype} have no name in a weight file")


def map_file(path: str | os.PathLike[str]) -> mmap.mmap:
    """Map a whole file, private and copy-on-write.

    Writable in memory so that a framework can adopt the pages and train on them; what is written
    stays in the process.

    Raises:
        CorruptFile: the file is empty, which cannot be mapped.

    """
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise CorruptFile(f"{os.path.basename(path)} is empty", filename=os.path.basename(path))
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
