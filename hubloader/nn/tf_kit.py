# ruff: noqa: D102 - what kits do is described where it is declared, on Kit
"""The TensorFlow kit: a bound ``Layer`` is a real ``tf.Module`` with true variables.

So ``GradientTape``, ``tf.function`` with unknown sizes, XLA and SavedModel work; Keras users get
the same layer as a ``keras.Model`` from ``keras_adapter``. Weights keep the checkpoint's layout.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from hubloader.errors import UnsupportedDtype
from hubloader.nn._tree import Slot, load_slots
from hubloader.nn.layer import Kit, Layer
from hubloader.nn.tf_modules import (
    Conv1d,
    Dropout,
    Embedding,
    Identity,
    LayerNorm,
    Linear,
    Module,
    ModuleList,
    RMSNorm,
)
from hubloader.nn.tf_ops import TensorFlowOps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hubloader.nn.trace import Tensor
    from hubloader.types import LoadReport

__all__ = ["KITS", "TensorFlowKit"]

_REGISTERING = threading.Lock()  # optree refuses to register a type twice
_REGISTERED: set[type[Any]] = set()


class TensorFlowKit(TensorFlowOps, Kit):
    """See ``Kit``."""

    Module = Module
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
        def native(tensor: Any, slot: Slot) -> Any:
            wide = dtype == "float16" and getattr(slot.owner, "keeps_float32", False)
            value = _tensor(tensor, "float32" if wide else dtype)
            return tf.Variable(value, name=slot.name, trainable=slot.trained)

        with tf.device(device):
            return load_slots(module, tensors, native)

    def parameters(self, module: Any) -> dict[str, tuple[int, ...]]:
        return {slot.name: slot.shape for slot in module.slots()}

    def export(self, module: Any) -> dict[str, NDArray[Any]]:
        return self.arrays({s.name: getattr(s.owner, s.attribute) for s in module.slots()})

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {name: _to_numpy(tf.convert_to_tensor(value)) for name, value in tensors.items()}

    def buffer(self, module: Any, name: str, array: NDArray[Any]) -> None:
        setattr(module, name, tf.constant(array))

    def weight(
        self, module: Any, name: str, shape: tuple[int, ...], *, trained: bool = True
    ) -> None:
        module.slot(name, shape, trained=trained)

    def train(self, module: Any, mode: bool = True) -> None:
        module.train(mode)

    def as_weights(self, x: Tensor, layer: Any) -> Tensor:
        return tf.cast(x, layer.weight.dtype)

    def register(self, mapping: type[Any]) -> None:
        # Keras walks registered types only, and gives symbolic tensors back in what it walked
        import optree  # first use: of Keras', which few kits are asked for

        with _REGISTERING:
            if mapping not in _REGISTERED:
                _REGISTERED.add(mapping)

                def flat(found: Any) -> tuple[Any, Any, Any]:
                    return list(found.values()), tuple(found), tuple(found)

                def whole(names: Any, values: Any) -> Any:
                    return mapping(zip(names, values, strict=True))

                optree.register_pytree_node(mapping, flat, whole, namespace="keras")


def _tensor(tensor: Any, dtype: str | None) -> Tensor:
    value = tensor if tf.is_tensor(tensor) else _from_numpy(np.asarray(tensor))
    if dtype is None and not value.dtype.is_floating:
        dtype = "float32"
    return value if dtype is None else tf.cast(value, dtype)


def _from_numpy(array: NDArray[Any]) -> Tensor:
    if array.dtype.names is None:
        return tf.convert_to_tensor(array)
    if array.dtype.names == ("bfloat16",):
        return tf.bitcast(tf.convert_to_tensor(array["bfloat16"]), tf.bfloat16)
    raise UnsupportedDtype(
        f"TensorFlow cannot compute with weights stored as {array.dtype.names[0]}"
    )


def _to_numpy(value: Tensor) -> NDArray[Any]:
    if value.dtype == tf.bfloat16:
        bits: NDArray[Any] = tf.bitcast(value, tf.uint16).numpy()
        return bits.view(np.dtype([("bfloat16", "<u2")]))
    array: NDArray[Any] = value.numpy()
    return array


KITS = {"tf": TensorFlowKit("tf")}
