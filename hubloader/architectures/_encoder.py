"""What a task's model can ask of any encoder, and attention by a family's own names."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hubloader.nn.blocks import merge_heads, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

__all__ = ["Encoder", "NamedSelfAttention"]


class Encoder(Layer):
    """input_ids (B, T) int, attention_mask (B, T) -> the last hidden states (B, T, hidden_size)."""

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """Return transformers' ``pooler_output`` (B, hidden_size), None where there is none."""
        del hidden
        return None


class NamedSelfAttention(Layer):
    """Every token looks at every other; ``names`` are those of the four projections."""

    names: ClassVar[tuple[str, str, str, str]] = ("q_lin", "k_lin", "v_lin", "out_lin")

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        for name in self.names:
            setattr(self, name, self.nn.Linear(width, width))
        self.dropout = self.nn.Dropout(dropout)
        self.heads = heads

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        trace: Trace = UNTRACED,
        *,
        bias: Tensor | None = None,
    ) -> Tensor:
        """(B, T, width), bias (1, H, T, T) -> (B, T, width)."""
        nn, (*looking, out) = self.nn, (getattr(self, name) for name in self.names)
        q, k, v = (split_heads(nn, project(x), self.heads) for project in looking)
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(q, k, v, mask, bias, dropout=dropout, trace=trace)
        return out(merge_heads(nn, context))
