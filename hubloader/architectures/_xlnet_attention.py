"""How XLNet's tokens look at each other: by content, by distance, by segment.

Source: transformers 5.23, ``modeling_xlnet.py``, ``XLNetRelativeAttention``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubloader.nn.blocks import merge_heads, split_heads
from hubloader.nn.layer import Layer, Trace

if TYPE_CHECKING:
    from hubloader.architectures._xlnet_config import XLNetConfig
    from hubloader.nn.layer import Kit, Tensor

__all__ = ["View", "XLNetAttention"]


class View(NamedTuple):
    """What all layers look through; K keys are M of memory and the T tokens of the text.

    Args:
        mask: bool, broadcasts to (B, 1, T, K); None for all. A token sees itself.
        blind: the same, of tokens that are to be predicted, which need not see themselves.
        distances: sines and cosines of every distance, from K down to 1 - T: (B or 1, K + T, d).
        rows: which of them each query and key take: (T, K).
        other: 1 where query and key are of different segments: (B, 1, T, K), or None.
        targets: which token each of N predictions is of: (B, 1, N, T), or None.

    """

    mask: Tensor | None
    blind: Tensor | None
    distances: Tensor
    rows: Tensor
    other: Tensor | None
    targets: Tensor | None


class Keys(NamedTuple):
    """What queries look at.

    Args:
        k: keys, (B, H, K, D).
        v: values, (B, H, K, D).
        distances: keys of distances, (B or 1, H, K + T, D).

    """

    k: Tensor
    v: Tensor
    distances: Tensor


def _flat(nn: Kit, weight: Tensor) -> Tensor:
    """(d_model, n_head, d_head) -> (d_model, n_head * d_head)."""
    n, *rest = nn.shape(weight)
    return nn.reshape(weight, (n, rest[0] * rest[1]))


class XLNetAttention(Layer):
    """Content, distance and segment each make a score."""

    if TYPE_CHECKING:
        q: Tensor
        k: Tensor
        v: Tensor
        o: Tensor
        r: Tensor
        r_r_bias: Tensor
        r_s_bias: Tensor
        r_w_bias: Tensor
        seg_embed: Tensor

    def __init__(self, c: XLNetConfig) -> None:
        super().__init__()
        nn, heads, width = self.nn, c.n_head, c.head_width
        for name in ("q", "k", "v", "o", "r"):
            nn.weight(self, name, (c.d_model, heads, width))
        for name in ("r_r_bias", "r_s_bias", "r_w_bias"):
            nn.weight(self, name, (heads, width))
        nn.weight(self, "seg_embed", (2, heads, width))
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.dropout)
        self.heads, self.scale = heads, width**-0.5

    def bias(self, q: Tensor, keys: Tensor, view: View) -> Tensor:
        """What distances and segments add to the scores: q (B, H, T, D) -> (B, H, T, K)."""
        nn = self.nn
        by_distance = (q + self.r_r_bias[None, :, None]) @ nn.transpose(keys, (0, 1, 3, 2))
        scores = nn.take_along(by_distance, view.rows)
        if view.other is not None:
            segments = nn.transpose(self.seg_embed, (1, 2, 0))[None]  # (1, H, D, 2)
            kinds = (q + self.r_s_bias[None, :, None]) @ segments  # (B, H, T, 2): same, other
            same, other = kinds[..., :1], kinds[..., 1:]
            scores = scores + same + view.other * (other - same)
        return scores * self.scale

    def split(self, x: Tensor, weight: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, H, T, D)."""
        return split_heads(self.nn, x @ _flat(self.nn, weight), self.heads)

    def look(self, q: Tensor, keys: Keys, view: View, mask: Tensor | None, trace: Trace) -> Tensor:
        """(B, H, T, D) -> the same shape."""
        return self.nn.attention(
            *(q + self.r_w_bias[None, :, None], keys.k, keys.v, mask),
            self.bias(q, keys.distances, view),
            dropout=self.dropout.p if self.training else 0.0,
            scale=self.scale,
            trace=trace,
        )

    def settle(self, context: Tensor, x: Tensor) -> Tensor:
        """Project, add the residual, normalise: (B, H, T, D), (B, T, d_model) -> as the latter."""
        nn = self.nn
        out = merge_heads(nn, context) @ nn.transpose(_flat(nn, self.o), (1, 0))
        return self.layer_norm(self.dropout(out) + x)

    def forward(
        self, x: Tensor, asked: Tensor | None, view: View, memory: Tensor | None, trace: Trace
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, d_model) and predictions (B, N, d_model) -> the same shapes."""
        nn = self.nn
        known = x if memory is None else nn.concat([memory, x], 1)
        k, v = self.split(known, self.k), self.split(known, self.v)
        keys = Keys(k, v, self.split(view.distances, self.r))
        both = trace if asked is None else Trace(attentions=trace.attentions)
        x_next = self.settle(self.look(self.split(x, self.q), keys, view, view.mask, both), x)
        if asked is None:
            return x_next, None
        q = nn.transpose(view.targets, (0, 1, 3, 2)) @ self.split(asked, self.q)
        context = view.targets @ self.look(q, keys, view, view.blind, both)
        trace.attention(tuple(both.kept_attentions))
        return x_next, self.settle(context, asked)
