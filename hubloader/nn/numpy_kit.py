# ruff: noqa: D102 - the ops are described where they are declared, on Kit
"""The numpy kit: inference without a framework, in float32, on the weights as they are mapped.

Linear layers use the BLAS and its threads. What is not a product of matrices is computed in pieces
that stay in a core's cache, into buffers that are used again: memory traffic is what such steps
cost. Embedding tables keep the checkpoint's dtype, since only the rows looked up are converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubloader.errors import UnsupportedDtype, UnsupportedTask
from hubloader.nn._numpy_math import gelu, gelu_tanh, softmax_in_place
from hubloader.nn._tree import Slot, Tree, load_slots
from hubloader.nn.layer import UNTRACED, Kit, Layer, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hubloader.types import LoadReport

__all__ = ["KITS", "NumpyKit"]

_LOWEST = np.finfo(np.float32).min


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
        return _float32(self.weight[ids])  # type: ignore[attr-defined]  # a slot


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


class ModuleList(Tree):
    """Layers named 0, 1, …."""

    def __init__(self, items: Sequence[Any]) -> None:
        for i, item in enumerate(items):
            setattr(self, str(i), item)
        self._length = len(items)

    def __iter__(self) -> Any:
        return (getattr(self, str(i)) for i in range(self._length))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return getattr(self, str(range(self._length)[index]))


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
        return _depthwise(x, self.weight[:, 0])  # type: ignore[attr-defined]  # a slot

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


class NumpyKit(Kit):
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

    def weight(self, module: Any, name: str, shape: tuple[int, ...]) -> None:
        module.slot(name, shape)

    def train(self, module: Any, mode: bool = True) -> None:
        if mode:
            raise UnsupportedTask(
                "numpy models compute, they do not train",
                hint="load the same checkpoint with torch or TensorFlow",
            )
        module.train(mode)

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
        return _float32(table[index]) if table.dtype.kind in "fV" else table[index]

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        whole = np.broadcast_to(index, (*x.shape[:-1], index.shape[-1]))
        return np.take_along_axis(x, whole, -1)

    def unembed(self, x: Tensor, words: Any) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]) @ _float32(words.weight).T
        return rows.reshape(*x.shape[:-1], -1)

    def detached(self, x: Tensor) -> Tensor:
        return x

    # --- arithmetic -----------------------------------------------------------------------------

    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        return _depthwise(x, taps)

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
        kept = labels != -100
        rows, columns = np.flatnonzero(kept), labels[kept]
        top = logits.max(-1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(-1))
        return (log_sum[rows] - logits[rows, columns]).mean()

    def mse(self, values: Tensor, targets: Tensor) -> Tensor:
        return np.square(values - targets).mean()

    def bce_with_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (self.softplus(logits) - logits * targets).mean()


def _depthwise(x: NDArray[Any], taps: NDArray[Any]) -> NDArray[Any]:
    """One tap after the other: windows of all taps at once would be as many copies of x."""
    tokens, kernel = x.shape[1], taps.shape[1]
    side = kernel // 2
    padded = np.pad(x, ((0, 0), (side, side), (0, 0)))
    y: NDArray[Any] = padded[:, :tokens] * taps[:, 0]
    for tap in range(1, kernel):
        y += padded[:, tap : tap + tokens] * taps[:, tap]
    return y


def _native(tensor: Any, slot: Slot) -> NDArray[Any]:
    """Leave float32 where it lies; leave embedding tables as they are stored."""
    array = np.asarray(tensor)
    if isinstance(slot.owner, Embedding) and _is_short_float(array.dtype):
        return array
    array = _float32(array)
    return array if array.flags.aligned else array.copy()  # the BLAS reads aligned numbers only


def _is_short_float(dtype: np.dtype[Any]) -> bool:
    return dtype == np.float16 or dtype.names == ("bfloat16",)


def _float32(array: NDArray[Any]) -> NDArray[Any]:
    """Any stored numbers as float32, the same array if they are."""
    if array.dtype.names is None:
        return array.astype(np.float32, copy=False)
    if array.dtype.names == ("bfloat16",):
        # bfloat16 is the upper half of a float32
        bits: NDArray[np.uint32] = array["bfloat16"].astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32)
    raise UnsupportedDtype(f"numpy cannot compute with weights stored as {array.dtype.names[0]}")


KITS = {"numpy": NumpyKit("numpy")}
