# ruff: noqa: D102 - the ops are described where they are declared, on Ops
"""The ops on TensorFlow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from hubloader.nn.ops import Ops
from hubloader.nn.trace import UNTRACED, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TensorFlowOps", "depthwise", "rows_of"]


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table, NaN where it has none.

    On a CPU TensorFlow refuses such an index itself; compiled by XLA it takes the nearest row, on
    a GPU zeros: what would be computed from them looked right.
    """
    rows = tf.gather(table, index)
    if not rows.dtype.is_floating:
        return rows
    for _ in range(len(rows.shape) - len(index.shape)):
        index = tf.expand_dims(index, -1)
    inside = (index >= 0) & (index < tf.shape(table, index.dtype)[0])
    return tf.where(inside, rows, tf.constant(math.nan, rows.dtype))


def depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """Convolve each channel of x (B, T, C) with its own taps (C, kernel)."""
    kernels = tf.transpose(taps)[None, :, :, None]  # (1, kernel, C, 1): an image of one row
    return tf.nn.depthwise_conv2d(x[:, None], kernels, (1, 1, 1, 1), "SAME")[:, 0]


class TensorFlowOps(Ops):
    """See ``Ops``."""

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
        return rows_of(table, index)

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        whole = tf.broadcast_to(index, tf.concat([tf.shape(x)[:-2], tf.shape(index)], 0))
        return tf.gather(x, whole, axis=-1, batch_dims=len(x.shape) - 1)

    def top(self, x: Tensor, n: int) -> tuple[Tensor, Tensor]:
        values, places = tf.math.top_k(x, n)
        return values, places

    def unembed(self, x: Tensor, words: Any) -> Tensor:
        return tf.matmul(x, words.weight, transpose_b=True)

    def detached(self, x: Tensor) -> Tensor:
        return tf.stop_gradient(x)

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        if x.dtype.size < y.dtype.size:
            return tf.cast(x, y.dtype) + y
        return x + tf.cast(y, x.dtype)

    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        return depthwise(x, taps)

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
        if logits.dtype in {tf.float16, tf.bfloat16}:
            logits = tf.cast(logits, tf.float32)
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
