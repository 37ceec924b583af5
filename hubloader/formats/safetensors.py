"""safetensors: a length, a JSON header, and the raw tensors after it, mapped and never copied.

::

    8 bytes   little-endian length N of the header
    N bytes   {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
               "__metadata__": {"format": "pt"}}
    the rest  the data, tensor behind tensor without a gap, offsets relative to here

The header is input from strangers. Before any of it is believed its length is held against the
file's, names may not repeat, and the tensors must fill the data exactly: no overlap, no hole, no
byte after the last. Source: safetensors 0.6 ``tensor.rs``; limits by what made its readers slow.
"""

from __future__ import annotations

import json
import os
import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from hubloader.errors import CorruptFile, FormatError, UnsafeFile
from hubloader.formats.base import (
    MAX_RANK,
    MAX_TENSORS,
    Naming,
    dtype_word,
    item_bits,
    map_file,
    numpy_dtype,
    tensor_bytes,
)
from hubloader.types import TensorSpec

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["SafetensorsFile", "read_header", "save_safetensors"]

MAX_HEADER = 25_000_000  # bytes; huggingface_hub's own limit
_ALIGNMENT = 8
_METADATA = "__metadata__"


class SafetensorsFile:
    """A ``.safetensors`` file as named arrays on its mapped pages.

    Args:
        path: where the file is.
        filename: its name for messages; default the path's last part.

    Raises:
        CorruptFile: the header and the file disagree.
        UnsafeFile: a size that no honest file has.

    """

    def __init__(self, path: str | os.PathLike[str], filename: str | None = None) -> None:
        self.filename = filename or os.path.basename(os.fspath(path))
        self._map = map_file(path)
        try:
            header, self._start = read_header(self._map)
            self.metadata, self._tensors = _checked(header, len(self._map) - self._start)
        except FormatError as error:
            self._map.close()
            error.filename = error.filename or self.filename
            raise

    @property
    def naming(self) -> Naming:
        """By the metadata's ``format``, else by the look of the names.

        transformers 4 wrote TensorFlow's own names into safetensors, untransposed.
        """
        stated = self.metadata.get("format")
        if stated in {"tf", "flax"}:
            keras = any(name.endswith(":0") for name in self._tensors)
            return "tf" if keras or stated == "tf" else "flax"
        return "tf" if any(name.endswith("/kernel:0") for name in self._tensors) else "pt"

    def names(self) -> Iterable[str]:
        """Every tensor, in the header's order."""
        return self._tensors.keys()

    def spec(self, name: str) -> TensorSpec:
        """Dtype and shape from the header."""
        return self._tensors[name][0]

    def read(self, name: str) -> NDArray[Any]:
        """The tensor as a view on the mapped file."""
        import numpy as np  # first use: readers of headers alone need none

        spec, begin = self._tensors[name]
        dtype = numpy_dtype(spec.dtype)
        count = tensor_bytes(spec.dtype, spec.shape) // dtype.itemsize
        if count == 0:
            return np.empty(spec.shape, dtype)
        return np.frombuffer(self._map, dtype, count, self._start + begin).reshape(spec.shape)

    def describe(self) -> str:
        """The file's name."""
        return self.filename


def read_header(data: mmap.mmap | bytes) -> tuple[dict[str, Any], int]:
    """Parse the header; returns it and the offset at which the tensors begin.

    Raises:
        CorruptFile: the length does not fit the file, or the header is not JSON with unique names.
        UnsafeFile: more header than any honest file has.

    """
    if len(data) < _ALIGNMENT:
        raise CorruptFile(f"a safetensors file of {len(data)} bytes is cut off")
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise CorruptFile(f"the header claims {length} bytes and the file has {len(data) - 8}")
    if length > MAX_HEADER or length > len(data) // 4 + 1_000_000:
        raise UnsafeFile(f"a header of {length} bytes is larger than any honest file's")
    raw = data[8 : 8 + length]
    if raw.count(b'"data_offsets"') > MAX_TENSORS:
        raise UnsafeFile(f"the header names more than {MAX_TENSORS} tensors")
    if not raw.startswith(b"{"):
        raise CorruptFile("the header does not begin with '{'")
    return _parse(raw), 8 + length


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"the header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise CorruptFile("the header is not a JSON object")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add gives None, which is falsy
        raise CorruptFile(f"duplicate tensor {twice!r}")
    return found


def _checked(
    header: dict[str, Any], data_length: int
) -> tuple[dict[str, str], dict[str, tuple[TensorSpec, int]]]:
    metadata = header.pop(_METADATA, None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CorruptFile("the metadata is not an object of strings")
    if len(header) > MAX_TENSORS:
        raise UnsafeFile(f"the header names more than {MAX_TENSORS} tensors")
    found = {name: _tensor(name, info) for name, info in header.items()}
    spans = sorted((begin, end, name) for name, (_, begin, end) in found.items())
    edges = [(0, 0, ""), *spans, (data_length, data_length, "the end of the file")]
    for (_, end, _), (begin, _, name) in pairwise(edges):
        if begin != end:
            raise CorruptFile(
                f"{name!r} begins at byte {begin} of the data; what stands before it ends at {end}"
            )
    return metadata, {name: (spec, begin) for name, (spec, begin, _) in found.items()}


def _tensor(name: str, info: Any) -> tuple[TensorSpec, int, int]:
    if not isinstance(info, dict) or not {"dtype", "shape", "data_offsets"} <= info.keys():
        raise CorruptFile(f"tensor {name!r} has no dtype, shape and data_offsets")
    word, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    bits = item_bits(word) if isinstance(word, str) else None
    if bits is None:
        raise CorruptFile(f"tensor {name!r} has the unknown dtype {word!r}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise CorruptFile(f"tensor {name!r} has the shape {shape!r} at {offsets!r}")
    if len(shape) > MAX_RANK:
        raise UnsafeFile(f"tensor {name!r} has {len(shape)} axes")
    begin, end = offsets
    size = bits
    for length in shape:
        size *= length
    if size % 8 or end - begin != size // 8:
        raise CorruptFile(
            f"tensor {name!r} of shape {shape} and dtype {word} cannot take {end - begin} bytes"
        )
    return TensorSpec(name, word, tuple(shape)), begin, end


def _counts(value: Any) -> bool:
    # bool is an int to Python, and not to a header
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def save_safetensors(
    tensors: Mapping[str, NDArray[Any]], path: str | os.PathLike[str], metadata: Mapping[str, str]
) -> None:
    """Write ``tensors`` to ``path``, whole or not at all.

    Largest dtype first and names sorted inside it, as the reference writer does, so that every
    tensor stays aligned and the same weights give the same bytes.
    """
    specs = {name: dtype_word(array.dtype) for name, array in tensors.items()}
    order = sorted(tensors, key=lambda name: (-(item_bits(specs[name]) or 0), name))
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    position = 0
    for name in order:
        end = position + tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": specs[name], "shape": shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    part = f"{os.fspath(path)}.part{os.getpid()}"
    try:
        with open(part, "wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                _write_array(stream, tensors[name])
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


def _write_array(stream: BinaryIO, array: NDArray[Any]) -> None:
    import numpy as np  # first use: see read

    if array.size:
        stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
