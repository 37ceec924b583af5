"""Layers on numpy: they compute in float32, and do not train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubloader.nn._numpy_math import depthwise, float32
from hubloader.nn._tree import Items, Tree

if TYPE_CHECKING:
    from hubloader.nn.trace import Tensor

__all__ = [
    "Conv1d",
    "Dropout",
    "Embedding",
    "Identity",
    "LayerNorm",
    "Linear",
    "ModuleList",
    "RMSNorm",
]


class Linear(Tree):
    """Rows of x times the matrix."""

    def __init__(self, n_in: int, n_out: int, /, bias: bool = True) -> None:
        self.slot("weight", (n_out, n_in))
        self.bias: Any = None
        if bias:
            self.slot("bias", (n_out,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out): one product of matrices, whatever the leading axes."""
        y = x.reshape(-1, x.shape[-1]) @ self.weight.T  # type: ignore[attr-defined]  # a slot
        if self.bias is not None:
            y += self.bias
        return y.reshape(*x.shape[:-1], y.shape[-1])


class Embedding(Tree):
    """A table of rows, in whatever dtype it was stored."""

    def __init__(self, rows: int, width: int, /, padding_idx: int | None = None) -> None:
        del padding_idx  # concerns the gradient, of which numpy has none
        self._rows = rows
        self.slot("weight", (rows, width))

    def forward(self, ids: Tensor) -> Tensor:
        """Look up; an id outside the table is an error, not counted from the end."""
        if ids.size and not (ids.min() >= 0 and ids.max() < self._rows):
            raise IndexError(f"an id is not between 0 and {self._rows - 1}")
        return float32(self.weight[ids])  # type: ignore[attr-defined]  # a slot


class LayerNorm(Tree):
    """Mean and variance in float32."""

    def __init__(self, width: int, /, *, eps: float = 1e-5, bias: bool = True) -> None:
        self._eps = np.float32(eps)
        self.slot("weight", (width,))
        self.bias: Any = None
        if bias:
            self.slot("bias", (width,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        y = x - x.mean(-1, keepdims=True)
        variance = np.square(y).mean(-1, keepdims=True)
        variance += self._eps
        y /= np.sqrt(variance)
        y *= self.weight  # type: ignore[attr-defined]  # a slot
        if self.bias is not None:
            y += self.bias
        return y


class RMSNorm(Tree):
    """The mean square in float32."""

    def __init__(self, width: int, /, *, eps: float = 1e-6, offset: float = 0.0) -> None:
        self._eps, self._offset = np.float32(eps), np.float32(offset)
        self.slot("weight", (width,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        size = np.square(x).mean(-1, keepdims=True)
        size += self._eps
        y = x / np.sqrt(size)
        y *= self.weight + self._offset  # type: ignore[attr-defined]  # a slot
        return y


class Dropout(Tree):
    """Nothing: numpy does not train."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Pass through."""
        return x


class Identity(Tree):
    """Nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Pass through."""
        return x


class ModuleList(Items, Tree):
    """Layers named 0, 1, …."""


class Conv1d(Tree):
    """Convolution over tokens as one product of matrices."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, /, *, groups: int = 1, bias: bool = True
    ) -> None:
        self._kernel, self._groups = kernel, groups
        self._channel_by_channel = groups == n_in == n_out
        self.slot("weight", (n_out, n_in // groups, kernel))
        self.bias: Any = None
        if bias:
            self.slot("bias", (n_out,))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, T, out), zeros beyond both ends."""
        y = self._by_channels(x) if self._channel_by_channel else self._grouped(x)
        if self.bias is not None:
            y += self.bias
        return y

    def _by_channels(self, x: Tensor) -> Tensor:
        return depthwise(x, self.weight[:, 0])  # type: ignore[attr-defined]  # a slot

    def _grouped(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        side = self._kernel // 2
        padded = np.pad(x, ((0, 0), (side, side), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._kernel, axis=1)
        parts = zip(
            np.split(windows, self._groups, axis=2),
            np.split(self.weight, self._groups),  # type: ignore[attr-defined]  # a slot
            strict=True,
        )
        rows = [w.reshape(b * t, -1) @ k.reshape(len(k), -1).T for w, k in parts]
        return np.concatenate(rows, -1).reshape(b, t, -1)
