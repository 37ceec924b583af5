"""The names that a pickled state dict may call, and what each makes: descriptions of tensors.

This is the allow-list. ``tensor_pickle.py`` is the machine that looks names up in it; a name that
is not here stops the machine.

Source: torch 2.13 ``_weights_only_unpickler.py`` and ``_utils.py`` for what a state dict holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.formats.base import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BUILDERS", "Name", "Storage", "StoredTensor", "allowed", "storage_from_id"]

_STORAGES = {
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexFloatStorage": "C64",
    "UntypedStorage": "U8",
}
_DTYPES = {
    **WORDS,
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
}


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` numbers of one dtype, found under ``key``; ``offset`` counts numbers."""

    dtype: str
    key: str
    count: int
    offset: int = 0


@dataclass(frozen=True)
class StoredTensor:
    """A view on a storage, all lengths in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Name:
    """A global that the allow-list knows; ``dtype`` for storages and dtypes."""

    text: str
    dtype: str | None = None


def allowed(module: str, name: str) -> Name:
    """Return what a global stands for.

    Raises:
        UnsafeFile: it is none of those that tensors need.

    """
    full = f"{module}.{name}"
    if full in BUILDERS:
        return Name(full)
    if module in {"torch", "torch.cuda", "torch.storage"} and name in _STORAGES:
        return Name(full, _STORAGES[name])
    if module == "torch" and name in _DTYPES:
        return Name(full, _DTYPES[name])
    raise UnsafeFile(
        f"the pickle names {full}, which is not needed to store tensors",
        hint="use the repository's safetensors file, or have the checkpoint converted to one",
    )


def storage_from_id(key: Any) -> Storage:
    """Read the persistent id of a storage: ("storage", type, key, device, count[, view]).

    Raises:
        UnsafeFile: it names anything else.

    """
    if not isinstance(key, tuple) or len(key) not in {5, 6} or key[0] != "storage":
        raise UnsafeFile("the pickle refers to something outside itself that is no storage")
    _, kind, name, _, count, *view = key
    if not isinstance(kind, Name) or kind.dtype is None or not _is_count(count):
        raise CorruptFile("the pickle describes a storage that cannot be")
    storage = Storage(kind.dtype, str(name), count)
    return _view(storage, view[0]) if view and view[0] is not None else storage


def _view(storage: Storage, view: Any) -> Storage:
    if not (isinstance(view, tuple) and len(view) == 3 and all(map(_is_count, view[1:]))):
        raise CorruptFile("the pickle describes a view that cannot be")
    _, offset, count = view
    if offset + count > storage.count:
        raise CorruptFile("the pickle describes a view that leaves its storage")
    return Storage(storage.dtype, storage.key, storage.count, offset)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


def _size(lengths: Any) -> tuple[int, ...]:
    return tuple(lengths)


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any, dtype: str | None = None
) -> StoredTensor:
    del rest  # requires_grad, hooks, metadata: nothing that a loader uses
    sized = (*shape, *strides, offset)
    if not isinstance(storage, Storage) or not all(map(_is_count, sized)):
        raise CorruptFile("the pickle describes a tensor that cannot be")
    if len(shape) != len(strides):
        raise CorruptFile("the pickle describes a tensor whose shape and strides differ in length")
    return StoredTensor(
        storage, offset + storage.offset, tuple(shape), tuple(strides), dtype or storage.dtype
    )


def _tensor_with_dtype(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> StoredTensor:
    if not isinstance(dtype, Name) or dtype.dtype is None:
        raise CorruptFile("the pickle describes a tensor without a dtype")
    return _tensor(storage, offset, shape, strides, grad, hooks, dtype=dtype.dtype)


def _parameter(data: Any, *_: Any) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise CorruptFile("the pickle describes a parameter that is no tensor")
    return data


BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_with_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
