# ruff: noqa: D102 - the ops are described where they are declared, on Ops
"""The ops on numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubloader.nn._numpy_math import depthwise, float32, gelu, gelu_tanh, softmax_in_place
from hubloader.nn.ops import Ops
from hubloader.nn.trace import UNTRACED, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NumpyOps"]

_LOWEST = np.finfo(np.float32).min


class NumpyOps(Ops):
    """See ``Ops``."""

    # --- shapes ---------------------------------------------------------------------------------

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        return tuple(x.shape)

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        return x.reshape(shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.transpose(axes)

    def concat(self, xs: Sequence[Tensor], axis: int = -1) -> Tensor:
        return np.concatenate(xs, axis)

    def split(self, x: Tensor, parts: int) -> Sequence[Tensor]:
        return np.split(x, parts, axis=-1)

    # --- making and changing tensors ------------------------------------------------------------

    def arange(self, n: Any, like: Tensor) -> Tensor:
        del like
        return np.arange(n)

    def zeros_like(self, x: Tensor) -> Tensor:
        return np.zeros_like(x)

    def cumsum(self, x: Tensor, axis: int) -> Tensor:
        return np.cumsum(x, axis)

    def cast_int(self, x: Tensor) -> Tensor:
        return x.astype(np.int64)

    def cast_bool(self, x: Tensor) -> Tensor:
        return np.asarray(x).astype(bool)

    def cast_like(self, x: Tensor, like: Tensor) -> Tensor:
        return x.astype(like.dtype, copy=False)

    def clip(self, x: Tensor, low: int, high: int) -> Tensor:
        return np.clip(x, low, high)

    def take(self, table: Tensor, index: Tensor) -> Tensor:
        return float32(table[index]) if table.dtype.kind in "fV" else table[index]

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        whole = np.broadcast_to(index, (*x.shape[:-1], index.shape[-1]))
        return np.take_along_axis(x, whole, -1)

    def top(self, x: Tensor, n: int) -> tuple[Tensor, Tensor]:
        if n > x.shape[-1]:
            raise ValueError(f"the {n} largest of {x.shape[-1]} numbers were asked for")
        places = np.argsort(-x, -1, kind="stable")[..., :n]
        return np.take_along_axis(x, places, -1), places

    def unembed(self, x: Tensor, words: Any) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]) @ float32(words.weight).T
        return rows.reshape(*x.shape[:-1], -1)

    def detached(self, x: Tensor) -> Tensor:
        return x

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        return depthwise(x, taps)

    def fourier(self, x: Tensor) -> Tensor:
        return np.ascontiguousarray(np.fft.fft2(x).real, np.float32)

    def gelu(self, x: Tensor) -> Tensor:
        return gelu(x)

    def gelu_tanh(self, x: Tensor) -> Tensor:
        return gelu_tanh(x)

    def relu(self, x: Tensor) -> Tensor:
        return np.maximum(x, np.float32(0))

    def silu(self, x: Tensor) -> Tensor:
        return x * self.sigmoid(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        half = np.float32(0.5)
        return half + half * np.tanh(half * x)  # e^x overflows, tanh does not

    def softplus(self, x: Tensor) -> Tensor:
        return np.logaddexp(x, np.float32(0))

    def tanh(self, x: Tensor) -> Tensor:
        return np.tanh(x)

    def cos(self, x: Tensor) -> Tensor:
        return np.cos(x)

    def sin(self, x: Tensor) -> Tensor:
        return np.sin(x)

    def sum(self, x: Tensor, axis: int) -> Tensor:
        return x.sum(axis)

    def softmax(self, x: Tensor) -> Tensor:
        return softmax_in_place(x.copy())

    def log_softmax(self, x: Tensor) -> Tensor:
        shifted = x - x.max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    def masks_nothing(self, mask: Tensor) -> bool:
        return bool(mask.all())

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
        del dropout  # numpy does not train
        scores = q @ np.swapaxes(k, -1, -2)
        scores *= np.float32(q.shape[-1] ** -0.5 if scale is None else scale)
        if softcap is not None:
            scores /= np.float32(softcap)
            np.tanh(scores, out=scores)
            scores *= np.float32(softcap)
        if bias is not None:
            scores += bias
        if mask is not None:
            # The lowest number swallows whatever it is added to: a row that may see nothing
            # becomes uniform.
            scores += np.where(mask, np.float32(0), _LOWEST)
        probabilities = softmax_in_place(scores)
        trace.attention(probabilities)
        return probabilities @ v

    # --- losses ---------------------------------------------------------------------------------

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        if labels.shape != logits.shape[:1]:
            raise ValueError(f"{labels.size} labels do not fit {len(logits)} rows of logits")
        kept, logits = labels != -100, float32(logits)
        rows, columns = np.flatnonzero(kept), labels[kept]
        if columns.size and not (columns.min() >= 0 and columns.max() < logits.shape[-1]):
            raise IndexError(f"a label is neither -100 nor between 0 and {logits.shape[-1] - 1}")
        top = logits.max(-1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(-1))
        return (log_sum[rows] - logits[rows, columns]).mean()

    def mse(self, values: Tensor, targets: Tensor) -> Tensor:
        return np.square(values - targets).mean()

    def bce_with_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (self.softplus(logits) - logits * targets).mean()
