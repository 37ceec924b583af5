# ruff: noqa: D102 - what kits do is described where it is declared, on Kit
"""The numpy kit: inference without a framework, in float32, on the weights as they are mapped.

Linear layers use the BLAS and its threads. What is not a product of matrices is computed in pieces
that stay in a core's cache, into buffers that are used again: memory traffic is what such steps
cost. Embedding tables keep the checkpoint's dtype, since only the rows looked up are converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubloader.errors import UnsupportedTask
from hubloader.nn._numpy_math import float32
from hubloader.nn._tree import Slot, Tree, load_slots
from hubloader.nn.layer import Kit, Layer
from hubloader.nn.numpy_modules import (
    Conv1d,
    Dropout,
    Embedding,
    Identity,
    LayerNorm,
    Linear,
    ModuleList,
    RMSNorm,
)
from hubloader.nn.numpy_ops import NumpyOps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hubloader.types import LoadReport

__all__ = ["KITS", "NumpyKit"]


class NumpyKit(NumpyOps, Kit):
    """See ``Kit``."""

    Module = Tree
    Linear, Embedding, LayerNorm, RMSNorm = Linear, Embedding, LayerNorm, RMSNorm
    Dropout, Identity, ModuleList, Conv1d = Dropout, Identity, ModuleList, Conv1d

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    # --- a model's life -------------------------------------------------------------------------

    def build(self, cls: type[Layer], *args: Any, **options: Any) -> Any:
        return self.bind(cls, options.get("mixin"), name=options.get("name"))(*args)

    def load(
        self,
        module: Any,
        tensors: Mapping[str, Any],
        *,
        dtype: str | None = None,
        device: Any = None,
    ) -> LoadReport:
        del dtype, device  # float32, in memory
        return load_slots(module, tensors, _native)

    def parameters(self, module: Any) -> dict[str, tuple[int, ...]]:
        return {slot.name: slot.shape for slot in module.slots()}

    def export(self, module: Any) -> dict[str, NDArray[Any]]:
        return {slot.name: getattr(slot.owner, slot.attribute) for slot in module.slots()}

    def buffer(self, module: Any, name: str, array: NDArray[Any]) -> None:
        setattr(module, name, array)

    def weight(
        self, module: Any, name: str, shape: tuple[int, ...], *, trained: bool = True
    ) -> None:
        module.slot(name, shape, trained=trained)

    def train(self, module: Any, mode: bool = True) -> None:
        if mode:
            raise UnsupportedTask(
                "numpy models compute, they do not train",
                hint="load the same checkpoint with torch or TensorFlow",
            )
        module.train(mode)


def _native(tensor: Any, slot: Slot) -> NDArray[Any]:
    """Leave float32 where it lies; leave embedding tables as they are stored."""
    array = np.asarray(tensor)
    if isinstance(slot.owner, Embedding) and _is_short_float(array.dtype):
        return array
    array = float32(array)
    return array if array.flags.aligned else array.copy()  # the BLAS reads aligned numbers only


def _is_short_float(dtype: np.dtype[Any]) -> bool:
    return dtype == np.float16 or dtype.names == ("bfloat16",)


KITS = {"numpy": NumpyKit("numpy")}
