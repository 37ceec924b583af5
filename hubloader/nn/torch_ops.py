# ruff: noqa: D102 - the ops are described where they are declared, on Ops
"""The ops on PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from hubloader.nn.ops import Ops
from hubloader.nn.trace import UNTRACED, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TorchOps"]


class TorchOps(Ops):
    """See ``Ops``."""

    fused: bool
    """Whether attention may use ``scaled_dot_product_attention``."""

    # --- shapes ---------------------------------------------------------------------------------

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        return tuple(x.shape)

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        return x.reshape(shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(axes)

    def concat(self, xs: Sequence[Tensor], axis: int = -1) -> Tensor:
        return torch.cat(list(xs), axis)

    def split(self, x: Tensor, parts: int) -> Sequence[Tensor]:
        chunks: Sequence[Tensor] = x.chunk(parts, dim=-1)
        return chunks

    # --- making and changing tensors ------------------------------------------------------------

    def arange(self, n: Any, like: Tensor) -> Tensor:
        return torch.arange(n, device=like.device)

    def zeros_like(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def cumsum(self, x: Tensor, axis: int) -> Tensor:
        return torch.cumsum(x, axis)

    def cast_int(self, x: Tensor) -> Tensor:
        return x.to(torch.int64)

    def cast_bool(self, x: Tensor) -> Tensor:
        return x.to(torch.bool)

    def cast_like(self, x: Tensor, like: Tensor) -> Tensor:
        return x.to(like.dtype)

    def clip(self, x: Tensor, low: int, high: int) -> Tensor:
        return x.clamp(low, high)

    def take(self, table: Tensor, index: Tensor) -> Tensor:
        return table[index]

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.gather(x, -1, index.expand(*x.shape[:-1], index.shape[-1]))

    def top(self, x: Tensor, n: int) -> tuple[Tensor, Tensor]:
        values, places = torch.topk(x, n)
        return values, places

    def unembed(self, x: Tensor, words: Any) -> Tensor:
        return functional.linear(x, words.weight)

    def detached(self, x: Tensor) -> Tensor:
        return x.detach()

    # --- arithmetic -----------------------------------------------------------------------------

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        channels, kernel = taps.shape
        y = functional.conv1d(
            x.transpose(1, 2), taps[:, None], padding=kernel // 2, groups=channels
        )
        return y.transpose(1, 2)

    def fourier(self, x: Tensor) -> Tensor:
        # Only some devices have this transform for less than float32.
        return torch.fft.fft2(x.float()).real.to(x.dtype)

    def gelu(self, x: Tensor) -> Tensor:
        return functional.gelu(x)

    def gelu_tanh(self, x: Tensor) -> Tensor:
        return functional.gelu(x, approximate="tanh")

    def relu(self, x: Tensor) -> Tensor:
        return functional.relu(x)

    def silu(self, x: Tensor) -> Tensor:
        return functional.silu(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def softplus(self, x: Tensor) -> Tensor:
        return functional.softplus(x)

    def tanh(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def cos(self, x: Tensor) -> Tensor:
        return torch.cos(x)

    def sin(self, x: Tensor) -> Tensor:
        return torch.sin(x)

    def sum(self, x: Tensor, axis: int) -> Tensor:
        return x.sum(axis)

    def softmax(self, x: Tensor) -> Tensor:
        return functional.softmax(x, dim=-1)

    def log_softmax(self, x: Tensor) -> Tensor:
        return functional.log_softmax(x, dim=-1)

    def masks_nothing(self, mask: Tensor) -> bool:
        if torch.compiler.is_compiling() or _is_tracing() or mask.is_meta:
            return False  # the answer depends on the data, which a graph does not have
        if mask.is_cuda and torch.cuda.is_current_stream_capturing():
            return False
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
        if self.fused and not trace.attentions and softcap is None:
            if mask is not None and (q.requires_grad or _is_tracing()):
                q, mask, bias = _open_blind_rows(q, mask, bias)
            bias = _additive(q, mask, bias)
            return functional.scaled_dot_product_attention(
                q, k, v, attn_mask=bias, dropout_p=dropout, scale=scale
            )
        scores = torch.matmul(q, k.transpose(-1, -2))
        scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        probabilities = functional.dropout(functional.softmax(scores, dim=-1), p=dropout)
        trace.attention(probabilities)
        return torch.matmul(probabilities, v)

    # --- losses ---------------------------------------------------------------------------------

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        half = logits.dtype in {torch.float16, torch.bfloat16}
        return functional.cross_entropy(logits.float() if half else logits, labels)

    def mse(self, values: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(values, targets)

    def bce_with_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits, targets)


def _is_tracing() -> bool:
    """Whether ``torch.jit.trace`` looks on: what it sees must not hang on gradients or numbers."""
    if torch.compiler.is_compiling():
        return False
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch's
    return tracing


def _additive(q: torch.Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """Mask and bias as one number to add to each score.

    A fused kernel given a boolean mask turns it into -inf, and a row that may see nothing into
    NaN or zeros. The lowest number swallows whatever it is added to, so such a row is uniform.
    """
    if mask is None:
        return None if bias is None else bias.to(q.dtype)
    lowest = torch.finfo(q.dtype).min
    if bias is None:
        return torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(~mask, lowest)
    return bias.to(q.dtype).masked_fill(~mask, lowest)


def _open_blind_rows(
    q: torch.Tensor, mask: torch.Tensor, bias: Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, Tensor | None]:
    """Make a row that may see nothing one that sees everything alike: the same, by other numbers.

    Of a row of lowest numbers a fused kernel knows the result but not the gradient: the logarithm
    of the sum that it keeps for the way back is swallowed like all else.
    """
    seeing = mask.any(-1, keepdim=True)
    return q * seeing, mask | ~seeing, None if bias is None else bias * seeing
