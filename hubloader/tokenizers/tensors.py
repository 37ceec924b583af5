"""Rows of numbers become arrays and tensors, and back. The only module here that knows frameworks.

Nothing is imported before a tensor is asked for, numpy included.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

from hubloader.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = [
    "as_tensor",
    "block",
    "is_dtype",
    "is_tensor",
    "kind_of",
    "mask_block",
    "move",
    "tensor_kind",
    "to_lists",
    "wrap",
]

_EXTRAS = {"pt": ("torch", "PyTorch"), "tf": ("tensorflow", "TensorFlow"), "jax": ("jax", "JAX")}
_KINDS = ("pt", "tf", "np", "jax")


def tensor_kind(value: Any) -> str | None:
    """Read ``return_tensors``: "pt", "tf", "np", "jax", an enum of those, or None for lists.

    Raises:
        ValueError: it is none of those.

    """
    if value is None:
        return None
    kind = getattr(value, "value", value)
    if kind not in _KINDS:
        raise ValueError(f"{kind} is not a valid TensorType, please select one of {list(_KINDS)}")
    return str(kind)


def block(rows: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """Lay rows of ``width`` whole numbers each into one int64 array (rows, width)."""
    import numpy as np

    count = len(rows) * width
    flat = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int64, count=count)
    return flat.reshape(len(rows), width)


def mask_block(lengths: Sequence[int], width: int, side: str) -> np.ndarray:
    """Lay out int64 (rows, width): 1 where a row has numbers, 0 where it is filled up."""
    import numpy as np

    columns, counts = np.arange(width), np.asarray(lengths, dtype=np.int64)[:, None]
    cells = columns >= width - counts if side == "left" else columns < counts
    return cells.astype(np.int64)


def wrap(array: np.ndarray, kind: str) -> Any:
    """Give a numpy array as a tensor of ``kind``, without a copy where the framework allows it.

    Whole numbers are int64, and int32 for TensorFlow, as transformers has them.

    Raises:
        BackendUnavailable: the framework is not installed.

    """
    if kind == "np":
        return array
    framework = _framework(kind)
    if kind == "pt":
        return framework.from_numpy(array)
    if kind == "tf":
        return framework.constant(array.astype("int32") if array.dtype == "int64" else array)
    return framework.numpy.asarray(array)


def as_tensor(value: Any, kind: str) -> Any:
    """Turn nested lists, or an array, into a tensor of ``kind``.

    Raises:
        ValueError: the lists are ragged (numpy holds them as objects), or hold something else.

    """
    import numpy as np

    if kind_of(value) == kind:
        return value
    if _is_ragged(value):
        if kind != "np":
            raise ValueError("expected sequences of one length")
        ragged = np.empty(len(value), dtype=object)
        ragged[:] = [np.asarray(row) for row in value]
        return ragged
    array = np.asarray(to_lists(value) if is_tensor(value) else value)
    if array.size == 0 and array.dtype == np.float64:
        array = array.astype(np.int64)
    if array.dtype == object or array.dtype.kind in "US":
        raise ValueError("expected numbers")
    if kind == "pt" and array.dtype == np.float64:
        array = array.astype(np.float32)
    return wrap(array, kind)


def _is_ragged(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if not isinstance(value[0], (list, tuple)):
        return False
    return len({len(row) for row in value}) > 1


def kind_of(value: Any) -> str | None:
    """Which kind of tensor ``value`` is; frameworks that are not imported are not asked."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return "np"
    if torch is not None and isinstance(value, torch.Tensor):
        return "pt"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and tensorflow.is_tensor(value):
        return "tf"
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        return "jax"
    return None


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is an array or a tensor of any framework."""
    return kind_of(value) is not None


def to_lists(value: Any) -> Any:
    """Turn arrays and tensors into Python numbers and lists, inside lists and mappings too."""
    kind = kind_of(value)
    if kind in {"np", "pt"}:
        return value.tolist()
    if kind is not None:
        import numpy as np

        return np.asarray(value).tolist()
    if isinstance(value, (list, tuple)):
        return [to_lists(item) for item in value]
    if isinstance(value, dict):
        return {key: to_lists(item) for key, item in value.items()}
    return value


def is_dtype(value: Any) -> bool:
    """Whether ``value`` is a dtype of PyTorch's."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.dtype)


def move(value: Any, device: Any, *, non_blocking: bool = False) -> Any:
    """Send a PyTorch tensor to a device; anything else is returned as it is."""
    if kind_of(value) == "pt":
        return value.to(device=device, non_blocking=non_blocking)
    return value


def _framework(kind: str) -> Any:
    import importlib

    module, title = _EXTRAS[kind]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BackendUnavailable(
            f"Unable to convert output to {title} tensors format, {title} is not installed",
            hint=f"pip install 'hubloader[{module}]'" if kind != "jax" else "pip install jax",
        ) from error
