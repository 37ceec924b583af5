"""Layers on TensorFlow: true variables in ``tf.Module`` objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from hubloader.nn._tree import Items, Tree
from hubloader.nn.tf_ops import depthwise, rows_of

if TYPE_CHECKING:
    from hubloader.nn.trace import Tensor

__all__ = [
    "Conv1d",
    "Dropout",
    "Embedding",
    "Identity",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "RMSNorm",
]


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
        rows = rows_of(self.weight, ids)
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


class ModuleList(Items, Module):
    """Layers named 0, 1, …."""


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
        y = depthwise(x, self.weight[:, 0]) if self._channel_by_channel else self._grouped(x)
        return y if self.bias is None else y + self.bias

    def _grouped(self, x: Tensor) -> Tensor:
        kernels = tf.split(tf.transpose(self.weight, (2, 1, 0)), self._groups, axis=-1)
        parts = zip(tf.split(x, self._groups, axis=-1), kernels, strict=True)
        return tf.concat([tf.nn.conv1d(part, kernel, 1, "SAME") for part, kernel in parts], -1)
