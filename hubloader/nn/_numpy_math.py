"""What numpy has not: functions in pieces that stay in a core's cache, and stored numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubloader.errors import UnsupportedDtype

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["depthwise", "float32", "gelu", "gelu_tanh", "softmax_in_place"]

_PIECE = 16_384  # numbers: with its scratch, some 200 KB of a core's second-level cache

# erf in float32 as a rational function of x², off by 3 ulp at most on [-4, 4], beyond which it is
# 1 in float32. Source: the coefficients of Eigen and XLA.
_ERF_NUMERATOR = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05),
    *(-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
)
_ERF_DENOMINATOR = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03),
    -1.42647390514189e-02,
)


def gelu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """X Φ(x), exact to float32."""
    return _in_pieces(_gelu_piece, x, scratch=3)


def gelu_tanh(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """X Φ(x) by the tanh approximation."""
    return _in_pieces(_gelu_tanh_piece, x, scratch=1)


def _in_pieces(
    function: Callable[..., None], x: NDArray[np.float32], scratch: int
) -> NDArray[np.float32]:
    """Apply an element-wise function piece by piece, with buffers that stay in the cache."""
    source = np.ascontiguousarray(x).reshape(-1)
    result = np.empty_like(source)
    buffers = np.empty((scratch, min(_PIECE, source.size)), source.dtype)
    for start in range(0, source.size, _PIECE):
        piece = source[start : start + _PIECE]
        function(piece, result[start : start + _PIECE], *buffers[:, : piece.size])
    return result.reshape(x.shape)


def _horner(
    x: NDArray[np.float32], coefficients: Sequence[float], out: NDArray[np.float32]
) -> None:
    out[:] = np.float32(coefficients[0])
    for coefficient in coefficients[1:]:
        out *= x
        out += np.float32(coefficient)


def _gelu_piece(
    x: NDArray[np.float32],
    out: NDArray[np.float32],
    z: NDArray[np.float32],
    square: NDArray[np.float32],
    below: NDArray[np.float32],
) -> None:
    np.multiply(x, np.float32(2**-0.5), out=z)
    np.clip(z, np.float32(-4), np.float32(4), out=z)
    np.multiply(z, z, out=square)
    _horner(square, _ERF_NUMERATOR, out)
    _horner(square, _ERF_DENOMINATOR, below)
    out *= z
    out /= below  # erf(x / √2)
    out += np.float32(1)
    out *= x
    out *= np.float32(0.5)


def _gelu_tanh_piece(
    x: NDArray[np.float32], out: NDArray[np.float32], inner: NDArray[np.float32]
) -> None:
    np.multiply(x, x, out=inner)
    inner *= np.float32(0.044715)
    inner += np.float32(1)
    inner *= x
    inner *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(inner, out=out)
    out += np.float32(1)
    out *= x
    out *= np.float32(0.5)


def softmax_in_place(scores: NDArray[Any]) -> NDArray[Any]:
    """Along the last axis, into the array that was given."""
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores


def depthwise(x: NDArray[Any], taps: NDArray[Any]) -> NDArray[Any]:
    """One tap after the other: windows of all taps at once would be as many copies of x."""
    tokens, kernel = x.shape[1], taps.shape[1]
    side = kernel // 2
    padded = np.pad(x, ((0, 0), (side, side), (0, 0)))
    y: NDArray[Any] = padded[:, :tokens] * taps[:, 0]
    for tap in range(1, kernel):
        y += padded[:, tap : tap + tokens] * taps[:, tap]
    return y


def float32(array: NDArray[Any]) -> NDArray[Any]:
    """Any stored numbers as float32, the same array if they are."""
    if array.dtype.names is None:
        return array.astype(np.float32, copy=False)
    if array.dtype.names == ("bfloat16",):
        # bfloat16 is the upper half of a float32
        bits: NDArray[np.uint32] = array["bfloat16"].astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32)
    raise UnsupportedDtype(f"numpy cannot compute with weights stored as {array.dtype.names[0]}")
