# ruff: noqa: D102 - the ops are described where they are declared, on Kit
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
from hubloader.nn._tree import Slot, Tree, load_slots
from hubloader.nn.layer import UNTRACED, Kit, Layer, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hubloader.types import LoadReport

__all__ = ["KITS", "TensorFlowKit"]

_REGISTERING = threading.Lock()  # optree refuses to register a type twice
_REGISTERED: set[type[Any]] = set()


class Module(Tree, tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """A layer on TensorFlow."""


class Linear(Module):
    """Rows of x times the matrix."""

    def __init__(self, n_in: int, n_out: int, /, bias: bool = True) -> None:
        super().__init__()
        self._sizes = (n_in, n_out)
        self.slot("weight", (n_out, n_in))
        self.bias: Any = None
        if bias:
            self.slot("bias", (n_out,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out): one product of matrices, whatever the leading axes."""
        n_in, n_out = self._sizes
        leading = tf.shape(x)[:-1]
        y = tf.matmul(tf.reshape(x, (-1, n_in)), self.weight, transpose_b=True)
        if self.bias is not None:
            y = tf.nn.bias_add(y, self.bias)
        y = tf.reshape(y, tf.concat([leading, [n_out]], 0))
        return tf.ensure_shape(y, [*x.shape[:-1], n_out])


class Embedding(Module):
    """A table of rows; the padding row takes no part in training, as on torch."""

    def __init__(self, rows: int, width: int, /, padding_idx: int | None = None) -> None:
        super().__init__()
        self._padding_idx = padding_idx
        self.slot("weight", (rows, width))

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., width)."""
        rows = tf.gather(self.weight, ids)
        if self._padding_idx is None:
            return rows
        is_padding = tf.expand_dims(ids == self._padding_idx, -1)  # TFLite slices no booleans
        return tf.where(is_padding, tf.stop_gradient(rows), rows)


class LayerNorm(Module):
    """Mean and variance in float32, whatever the weights' dtype."""

    def __init__(self, width: int, /, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self._eps = eps
        self.slot("weight", (width,))
        self.bias: Any = None
        if bias:
            self.slot("bias", (width,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        wide = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(wide, -1, keepdims=True)
        y = tf.cast((wide - mean) * tf.math.rsqrt(variance + self._eps), x.dtype) * self.weight
        return y if self.bias is None else y + self.bias


class RMSNorm(Module):
    """The mean square in float32, whatever the weights' dtype."""

    def __init__(self, width: int, /, *, eps: float = 1e-6, offset: float = 0.0) -> None:
        super().__init__()
        self._eps, self._offset = eps, offset
        self.slot("weight", (width,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        wide = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
        size = tf.reduce_mean(tf.square(wide), -1, keepdims=True)
        y = wide * tf.math.rsqrt(size + self._eps)
        return tf.cast(y * (tf.cast(self.weight, y.dtype) + self._offset), x.dtype)


class Dropout(Module):
    """Zeroes a share of the numbers while training."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return tf.nn.dropout(x, self.p) if self.training and self.p else x


class Identity(Module):
    """Nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Pass through."""
        return x


class ModuleList(Module):
    """Layers named 0, 1, …."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__()
        for i, item in enumerate(items):
            setattr(self, str(i), item)
        self._length = len(items)

    def __iter__(self) -> Any:
        return (getattr(self, str(i)) for i in range(self._length))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return getattr(self, str(range(self._length)[index]))


class Conv1d(Module):
    """Convolution over tokens."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, /, *, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self._groups = groups
        self._channel_by_channel = groups == n_in == n_out
        self.slot("weight", (n_out, n_in // groups, kernel))
        self.bias: Any = None
        if bias:
            self.slot("bias", (n_out,))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, T, out), zeros beyond both ends."""
        y = _depthwise(x, self.weight[:, 0]) if self._channel_by_channel else self._grouped(x)
        return y if self.bias is None else y + self.bias

    def _grouped(self, x: Tensor) -> Tensor:
        kernels = tf.split(tf.transpose(self.weight, (2, 1, 0)), self._groups, axis=-1)
        parts = zip(tf.split(x, self._groups, axis=-1), kernels, strict=True)
        return tf.concat([tf.nn.conv1d(part, kernel, 1, "SAME") for part, kernel in parts], -1)


class TensorFlowKit(Kit):
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
            return tf.Variable(_tensor(tensor, dtype), name=slot.name)

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

    def weight(self, module: Any, name: str, shape: tuple[int, ...]) -> None:
        module.slot(name, shape)

    def train(self, module: Any, mode: bool = True) -> None:
        module.train(mode)

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

    # --- shapes ---------------------------------------------------------------------------------

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        dynamic = tf.shape(x)
        return tuple(dynamic[i] if n is None else n for i, n in enumerate(x.shape))

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        return tf.reshape(x, shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return tf.transpose(x, axes)

    def concat(self, xs: Sequence[Tensor], axis: int = -1) -> Tensor:
        return tf.concat(xs, axis)

    def split(self, x: Tensor, parts: int) -> Sequence[Tensor]:
        pieces: Sequence[Tensor] = tf.split(x, parts, axis=-1)
        return pieces

    # --- making and changing tensors ------------------------------------------------------------

    def arange(self, n: Any, like: Tensor) -> Tensor:
        del like
        return tf.range(n)

    def zeros_like(self, x: Tensor) -> Tensor:
        return tf.zeros_like(x)

    def cumsum(self, x: Tensor, axis: int) -> Tensor:
        return tf.cumsum(x, axis)

    def cast_int(self, x: Tensor) -> Tensor:
        return tf.cast(x, tf.int32)

    def cast_bool(self, x: Tensor) -> Tensor:
        return tf.cast(x, tf.bool)

    def cast_like(self, x: Tensor, like: Tensor) -> Tensor:
        return tf.cast(x, like.dtype)

    def clip(self, x: Tensor, low: int, high: int) -> Tensor:
        return tf.clip_by_value(x, low, high)

    def take(self, table: Tensor, index: Tensor) -> Tensor:
        return tf.gather(table, index)

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        whole = tf.broadcast_to(index, tf.concat([tf.shape(x)[:-2], tf.shape(index)], 0))
        return tf.gather(x, whole, axis=-1, batch_dims=len(x.shape) - 1)

    def unembed(self, x: Tensor, words: Any) -> Tensor:
        return tf.matmul(x, words.weight, transpose_b=True)

    def detached(self, x: Tensor) -> Tensor:
        return tf.stop_gradient(x)

    # --- arithmetic -----------------------------------------------------------------------------

    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        return _depthwise(x, taps)

    def fourier(self, x: Tensor) -> Tensor:
        transformed = tf.signal.fft2d(tf.cast(x, tf.complex64))
        return tf.cast(tf.math.real(transformed), x.dtype)

    def gelu(self, x: Tensor) -> Tensor:
        return tf.nn.gelu(x, approximate=False)

    def gelu_tanh(self, x: Tensor) -> Tensor:
        return tf.nn.gelu(x, approximate=True)

    def relu(self, x: Tensor) -> Tensor:
        return tf.nn.relu(x)

    def silu(self, x: Tensor) -> Tensor:
        return tf.nn.silu(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        return tf.sigmoid(x)

    def softplus(self, x: Tensor) -> Tensor:
        return tf.math.softplus(x)

    def tanh(self, x: Tensor) -> Tensor:
        return tf.tanh(x)

    def cos(self, x: Tensor) -> Tensor:
        return tf.cos(x)

    def sin(self, x: Tensor) -> Tensor:
        return tf.sin(x)

    def sum(self, x: Tensor, axis: int) -> Tensor:
        return tf.reduce_sum(x, axis)

    def softmax(self, x: Tensor) -> Tensor:
        return tf.nn.softmax(x, axis=-1)

    def log_softmax(self, x: Tensor) -> Tensor:
        return tf.nn.log_softmax(x, axis=-1)

    def choose(self, condition: Any, yes: Any, no: Any) -> Tensor:
        if not tf.is_tensor(condition):
            return yes() if condition else no()
        return tf.cond(condition, yes, no)

    def masks_nothing(self, mask: Tensor) -> bool:
        # In a graph the answer is not known while the graph is made.
        return tf.executing_eagerly() and bool(tf.reduce_all(mask))

    def attention(  # noqa: PLR0913  one op, so that a kit may use its fused kernel
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        *,
        dropout: float = 0.0,
        scale: float | None = None,
        softcap: float | None = None,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        scores = tf.matmul(q, k, transpose_b=True)
        scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
        if softcap is not None:
            scores = tf.tanh(scores / softcap) * softcap
        if bias is not None:
            scores = scores + tf.cast(bias, scores.dtype)
        if mask is not None:
            scores = tf.where(mask, scores, scores.dtype.min)
        probabilities = tf.nn.softmax(scores, -1)
        if dropout:
            probabilities = tf.nn.dropout(probabilities, dropout)
        trace.attention(probabilities)
        return tf.matmul(probabilities, v)

    # --- losses ---------------------------------------------------------------------------------

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        counted = labels != -100
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.where(counted, labels, tf.zeros_like(labels)), logits
        )
        weights = tf.cast(counted, losses.dtype)
        return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)

    def mse(self, values: Tensor, targets: Tensor) -> Tensor:
        return tf.reduce_mean(tf.square(values - tf.cast(targets, values.dtype)))

    def bce_with_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        return tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, logits.dtype), logits)
        )


def _depthwise(x: Tensor, taps: Tensor) -> Tensor:
    kernels = tf.transpose(taps)[None, :, :, None]  # (1, kernel, C, 1): an image of one row
    return tf.nn.depthwise_conv2d(x[:, None], kernels, (1, 1, 1, 1), "SAME")[:, 0]


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
