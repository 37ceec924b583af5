"""``tf_model.h5``: the arrays that Keras saved, read with h5py and nothing else of Keras.

An HDF5 file can point out of itself: external links, external storage and virtual datasets make a
reader open any file of the machine (CVE-2026-1669). Every group is walked by link, and anything but
a hard link to a plain dataset of numbers is refused before it is opened. A name here is the path
inside the file, ``layer/weight name``; ``auto/names.py`` knows how Keras' names become PyTorch's.

Source: Keras' legacy saving, as transformers 4.57 wrote it: one group per top-level layer.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.errors import BackendUnavailable, CorruptFile, FormatError, UnsafeFile
from hubloader.formats.base import MAX_RANK, Naming, TensorTable, dtype_word

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

__all__ = ["H5File"]

_MAX_OBJECTS = 16_384  # groups and datasets; BERT-large has about 1,200
_MAX_DEPTH = 32
_MAX_RATIO = 64  # bytes of arrays per byte of file: gzip does not reach it on weights
_FILTERS = frozenset({1, 2, 3})  # deflate, shuffle, fletcher32


@dataclass(frozen=True)
class _Dataset:
    dtype: str
    shape: tuple[int, ...]
    stored: Any  # numpy's dtype, with the file's order of bytes
    offset: int | None  # where its bytes lie in one piece in the file, None if they do not


class H5File(TensorTable):
    """A Keras weight file as named arrays.

    Args:
        path: where the file is.
        filename: its name for messages; default the path's last part.

    Raises:
        BackendUnavailable: h5py is not installed.
        UnsafeFile: a link or a dataset that reaches out of the file, or claims too much.
        CorruptFile: no HDF5 file, or a damaged one.

    """

    naming: Naming = "tf"

    def __init__(self, path: str | os.PathLike[str], filename: str | None = None) -> None:
        self._path = os.fspath(path)
        self.filename = filename or os.path.basename(self._path)
        h5py = _library()
        try:
            with h5py.File(self._path, "r") as file:
                walked = _Walk(h5py, os.path.getsize(self._path))
                walked.group(file, "", 0)
        except FormatError as error:
            error.filename = error.filename or self.filename
            raise
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise CorruptFile(
                f"{self.filename} cannot be read as HDF5: {error}", filename=self.filename
            ) from error
        self._tensors = walked.found

    def read(self, name: str) -> NDArray[Any]:
        """The array: mapped where it lies in one piece, as Keras writes it, else read."""
        import numpy as np  # first use: h5py has it in memory already

        dataset = self._tensors[name]
        if dataset.offset is not None:
            return np.memmap(self._path, dataset.stored, "c", dataset.offset, dataset.shape).view(
                np.ndarray
            )
        with _library().File(self._path, "r") as file:
            array: NDArray[Any] = file[name][()]
            return array


class _Walk:
    """Collects the datasets of a file, going only where a hard link leads."""

    def __init__(self, h5py: ModuleType, file_size: int) -> None:
        self.found: dict[str, _Dataset] = {}
        self._h5py = h5py
        self._budget = file_size * _MAX_RATIO
        self._objects = 0
        self._seen: set[Any] = set()

    def group(self, group: Any, prefix: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise UnsafeFile(f"groups are nested deeper than {_MAX_DEPTH}")
        for key in group:
            name = f"{prefix}{key}"
            self._count()
            link = group.get(key, getlink=True)
            if not isinstance(link, self._h5py.HardLink):
                raise UnsafeFile(f"{name!r} is a link out of its place: {_target(link)}")
            member = group[key]
            if isinstance(member, self._h5py.Group):
                self._once(member, name)
                self.group(member, f"{name}/", depth + 1)
            elif isinstance(member, self._h5py.Dataset):
                self._dataset(member, name)
            else:
                raise UnsafeFile(f"{name!r} is neither a group nor an array")

    def _count(self) -> None:
        self._objects += 1
        if self._objects > _MAX_OBJECTS:
            raise UnsafeFile(f"the file holds more than {_MAX_OBJECTS} objects")

    def _once(self, member: Any, name: str) -> None:
        address = self._h5py.h5o.get_info(member.id).addr
        if address in self._seen:
            raise UnsafeFile(f"the group {name!r} is linked twice")
        self._seen.add(address)

    def _dataset(self, dataset: Any, name: str) -> None:
        if dataset.external is not None:
            raise UnsafeFile(f"{name!r} keeps its data in another file: {dataset.external[0][0]}")
        if dataset.is_virtual:
            raise UnsafeFile(f"{name!r} is virtual: its data is in other files")
        if dataset.shape is None or dataset.dtype.kind not in "biuf" or dataset.dtype.hasobject:
            raise UnsafeFile(f"{name!r} is no array of numbers")
        if len(dataset.shape) > MAX_RANK:
            raise UnsafeFile(f"{name!r} has {len(dataset.shape)} axes")
        self._budget -= math.prod(dataset.shape) * dataset.dtype.itemsize
        if self._budget < 0:
            raise UnsafeFile("the arrays together are far larger than the file")
        self._check_filters(dataset, name)
        contiguous = dataset.chunks is None and 0 not in dataset.shape
        offset = dataset.id.get_offset() if contiguous else None
        self.found[name] = _Dataset(
            dtype_word(dataset.dtype), tuple(dataset.shape), dataset.dtype, offset
        )

    @staticmethod
    def _check_filters(dataset: Any, name: str) -> None:
        plan = dataset.id.get_create_plist()
        codes = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        if codes - _FILTERS:
            raise UnsafeFile(f"{name!r} needs a filter that is no part of HDF5 itself")


def _target(link: Any) -> str:
    parts = (getattr(link, "filename", None), getattr(link, "path", None))
    return " ".join(str(part) for part in parts if part) or type(link).__name__


def _library() -> ModuleType:
    try:
        import h5py  # first use: an optional extra
    except ImportError as error:
        raise BackendUnavailable(
            "reading .h5 weights needs h5py, which is not installed",
            hint="pip install 'hubloader[h5]'",
        ) from error
    module: ModuleType = h5py
    return module
