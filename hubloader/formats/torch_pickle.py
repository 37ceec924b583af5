"""``pytorch_model.bin``: PyTorch's own formats, read without PyTorch and without ``pickle``.

Two containers hold the same thing, a state dict whose tensors are views on storages::

    zip (torch >= 1.6)                        legacy
      <top>/data.pkl    the state dict          five pickles: magic, protocol, system, the state
      <top>/data/<key>  one storage each        dict, the storage keys; then for each key an
      <top>/byteorder   "little"                8-byte count and the numbers

The pickles run on ``tensor_pickle``'s machine. A zip's records must be stored, not deflated, and
together no larger than the file, so that a small file cannot claim a large memory; every tensor
must lie inside its storage and be no larger than it.

Source: torch 2.13 ``serialization.py`` (``_save``, ``_legacy_save``); APPNOTE.TXT 6.3.
"""

from __future__ import annotations

import os
import struct
import zipfile
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, FormatError, UnsafeFile, UnsupportedDtype
from hubloader.formats.base import (
    MAX_RANK,
    MAX_TENSORS,
    Naming,
    TensorTable,
    map_file,
    numpy_dtype,
    tensor_bytes,
)
from hubloader.formats.pickled_names import Storage, StoredTensor, storage_from_id
from hubloader.formats.tensor_pickle import MAX_PICKLE, load_pickle

if TYPE_CHECKING:
    import mmap
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["TorchPickleFile"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_RECORDS = MAX_TENSORS
_OVERHEAD = 1.05  # what zip's own bookkeeping may add


class TorchPickleFile(TensorTable):
    """A ``.bin`` or ``.pt`` file as named arrays on its mapped pages.

    Args:
        path: where the file is.
        filename: its name for messages; default the path's last part.

    Raises:
        UnsafeFile: an instruction, a global or a size outside what tensors need.
        CorruptFile: it is damaged.

    """

    naming: Naming = "pt"

    def __init__(self, path: str | os.PathLike[str], filename: str | None = None) -> None:
        self.filename = filename or os.path.basename(os.fspath(path))
        self._map = map_file(path)
        try:
            read = _read_zip if self._map[:2] == b"PK" else _read_legacy
            state, self._places = read(path, self._map)
            self._tensors = _checked(state, self._places)
        except FormatError as error:
            error.filename = error.filename or self.filename
            raise

    def read(self, name: str) -> NDArray[Any]:
        """The tensor as a view on the mapped file, with PyTorch's strides."""
        import numpy as np  # first use: 120 ms, and a listing needs none

        tensor: StoredTensor = self._tensors[name]
        dtype = numpy_dtype(tensor.dtype)
        start = self._places[tensor.storage.key][0] + tensor.offset * dtype.itemsize
        if 0 in tensor.shape:
            return np.empty(tensor.shape, dtype)
        strides = tuple(step * dtype.itemsize for step in tensor.strides)
        array: NDArray[Any] = np.ndarray(tensor.shape, dtype, self._map, start, strides)
        return array


_Places = dict[str, tuple[int, int]]  # storage key -> first byte in the file, length in bytes


def _read_zip(path: str | os.PathLike[str], data: mmap.mmap) -> tuple[Any, _Places]:
    records = _records(path, data)
    program = next((name for name in records if name.endswith("/data.pkl")), None)
    if program is None:
        raise CorruptFile("the archive holds no data.pkl: it is no PyTorch checkpoint")
    top = program.removesuffix("data.pkl")
    begin, length = records.get(f"{top}byteorder", (0, 0))
    if data[begin : begin + length] not in {b"", b"little"}:
        raise UnsupportedDtype("the tensors are stored big-endian")
    begin, length = records[program]
    if length > MAX_PICKLE:
        raise UnsafeFile(f"the pickle of {length} bytes is larger than any state dict's")
    state, _ = load_pickle(data[begin : begin + length], 0, storage_from_id)
    prefix = f"{top}data/"
    places = {n.removeprefix(prefix): at for n, at in records.items() if n.startswith(prefix)}
    return state, places


def _records(path: str | os.PathLike[str], data: mmap.mmap) -> _Places:
    """Where every record's bytes lie in the file; nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise CorruptFile(f"the archive cannot be read: {error}") from None
    if len(entries) > _MAX_RECORDS:
        raise UnsafeFile(f"the archive holds more than {_MAX_RECORDS} records")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise UnsafeFile("the archive is compressed or encrypted; PyTorch stores tensors plain")
    if sum(entry.file_size for entry in entries) > len(data) * _OVERHEAD:
        raise UnsafeFile("the archive claims more bytes than the file has")
    return {entry.filename: _place(entry, data) for entry in entries}


def _place(entry: zipfile.ZipInfo, data: mmap.mmap) -> tuple[int, int]:
    head = data[entry.header_offset : entry.header_offset + 30]
    if len(head) != 30 or head[:4] != b"PK\x03\x04":
        raise CorruptFile(f"the archive's record {entry.filename!r} is damaged")
    name_length, extra_length = struct.unpack("<HH", head[26:30])
    begin = entry.header_offset + 30 + name_length + extra_length
    if entry.file_size != entry.compress_size or begin + entry.file_size > len(data):
        raise CorruptFile(f"the archive's record {entry.filename!r} is cut off")
    return begin, entry.file_size


def _read_legacy(path: str | os.PathLike[str], data: mmap.mmap) -> tuple[Any, _Places]:
    del path
    if data[:1] != b"\x80":
        raise CorruptFile("the file is neither a PyTorch archive nor a PyTorch pickle")
    # the pickles stand first and the numbers behind them: one slice holds every instruction
    program = memoryview(data)
    found: list[Any] = []
    position = 0
    storages: dict[str, Storage] = {}

    def persistent(key: Any) -> Storage:
        storage = storage_from_id(key)
        storages[storage.key] = storage
        return storage

    try:
        for step in range(5):
            part = program[: position + MAX_PICKLE]
            value, position = load_pickle(part, position, persistent)
            part.release()
            found.append(value)
            if step == 0 and found[0] != _LEGACY_MAGIC:
                raise CorruptFile("the file is a pickle, and no PyTorch checkpoint")
    finally:
        program.release()
    _, protocol, system, state, keys = found
    if protocol != _LEGACY_PROTOCOL or not isinstance(keys, list):
        raise CorruptFile("the file is of an unknown PyTorch format")
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise UnsupportedDtype("the tensors are stored big-endian")
    return state, _legacy_places(data, position, keys, storages)


def _legacy_places(
    data: mmap.mmap, position: int, keys: list[Any], storages: Mapping[str, Storage]
) -> _Places:
    places: _Places = {}
    for key in map(str, keys):
        if key not in storages or position + 8 > len(data):
            raise CorruptFile(f"storage {key!r} is not in the file")
        (count,) = struct.unpack("<q", data[position : position + 8])
        if count != storages[key].count:
            raise CorruptFile(f"storage {key!r} has {count} numbers, not {storages[key].count}")
        length = tensor_bytes(storages[key].dtype, (count,))
        places[key] = (position + 8, length)
        position += 8 + length
    if position > len(data):
        raise CorruptFile("the file is cut off inside its tensors")
    return places


def _checked(state: Any, places: _Places) -> dict[str, StoredTensor]:
    if not isinstance(state, dict):
        raise CorruptFile("the checkpoint is no dictionary of tensors")
    tensors = {
        name: value
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, StoredTensor)
    }
    if not tensors and isinstance(state.get("state_dict"), dict):  # as trainers' checkpoints are
        return _checked(state["state_dict"], places)
    if not tensors and state:
        keys = ", ".join(sorted(map(str, state))[:5])
        raise CorruptFile(f"the checkpoint holds no tensors at its top level, only: {keys}")
    if len(tensors) > MAX_TENSORS:
        raise UnsafeFile(f"the checkpoint holds more than {MAX_TENSORS} tensors")
    for name, tensor in tensors.items():
        _check_tensor(name, tensor, places)
    return tensors


def _check_tensor(name: str, tensor: StoredTensor, places: _Places) -> None:
    if len(tensor.shape) > MAX_RANK:
        raise UnsafeFile(f"tensor {name!r} has {len(tensor.shape)} axes")
    _, length = places.get(tensor.storage.key, (0, None))
    if length is None:
        raise CorruptFile(f"the storage of tensor {name!r} is not in the file")
    if tensor_bytes(tensor.storage.dtype, (tensor.storage.count,)) > length:
        raise CorruptFile(f"the storage of tensor {name!r} is cut off")
    # a view that repeats numbers (a stride of 0) could stand for terabytes
    if tensor_bytes(tensor.dtype, tensor.shape) > length:
        raise UnsafeFile(f"tensor {name!r} of shape {tensor.shape} is larger than its storage")
    reach = tensor.offset + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True)
    )
    if 0 not in tensor.shape and tensor_bytes(tensor.dtype, (reach + 1,)) > length:
        raise CorruptFile(f"tensor {name!r} leaves its storage")
