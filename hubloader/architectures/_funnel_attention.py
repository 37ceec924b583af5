"""The Funnel Transformer's relative attention, and the pooling that halves a sequence.

Both need to know of each token where it was in the text, and of which segment: its ``Level``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubloader.nn.blocks import merge_heads, rotary_frequencies, split_heads
from hubloader.nn.layer import Layer, Trace

if TYPE_CHECKING:
    from hubloader.architectures._funnel_config import FunnelConfig
    from hubloader.nn.layer import Tensor

_CLS = 2  # the first token's type, which is of both segments


class Level(NamedTuple):
    """The tokens of one length.

    Args:
        types: of which segment each is: (B, T).
        real: which are no padding: bool (B, T), or None for all.
        places: where each was in the text: (T,).
        stride: how far each was from the next: (1,).

    """

    types: Tensor
    real: Tensor | None
    places: Tensor
    stride: Tensor


class Pooling(Layer):
    """From each two neighbours one, behind the first token."""

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        self.separate, self.truncate = c.separate_cls, c.truncate_seq
        self.takes_mean = c.pooling_type == "mean"
        self.shortest = 2 if c.separate_cls else 1

    def with_first(self, x: Tensor) -> Tensor:
        """(B, T, ...): the first token once more, so that it is paired with itself."""
        if not self.separate:
            return x
        return self.nn.concat([x[:, :1], x[:, :-1] if self.truncate else x], 1)

    def picked(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (B, about T / 2, ...): the first of each pair."""
        return self.with_first(x)[:, ::2]

    def pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and the second of each pair; a last one without one is both."""
        x = self.with_first(x)
        return x[:, ::2], self.nn.concat([x, x[:, -1:]], 1)[:, 1::2]

    def hidden(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, about T / 2, d_model)."""
        first, second = self.pairs(x)
        if self.takes_mean:
            return (first + second) / 2
        return self.nn.relu(first - second) + second

    def level(self, level: Level) -> Level:
        """Return what is known of the pooled tokens; one is real if both were."""
        real = None
        if level.real is not None:
            first, second = self.pairs(level.real)
            real = first & second
        places = self.picked(level.places[None])[0]
        return Level(self.picked(level.types), real, places, level.stride * 2)


class FunnelAttention(Layer):
    """Content, distance and segment each make a score; the first token has content alone."""

    if TYPE_CHECKING:
        r_w_bias: Tensor
        r_r_bias: Tensor
        r_s_bias: Tensor
        r_kernel: Tensor
        seg_embed: Tensor
        frequencies: Tensor

    def __init__(self, c: FunnelConfig) -> None:
        super().__init__()
        nn, heads, inner = self.nn, c.n_head, c.n_head * c.d_head
        self.q_head = nn.Linear(c.d_model, inner, bias=False)
        self.k_head = nn.Linear(c.d_model, inner)
        self.v_head = nn.Linear(c.d_model, inner)
        for name in ("r_w_bias", "r_r_bias", "r_s_bias"):
            nn.weight(self, name, (heads, c.d_head))
        nn.weight(self, "r_kernel", (c.d_model, heads, c.d_head))
        nn.weight(self, "seg_embed", (2, heads, c.d_head))
        self.post_proj = nn.Linear(inner, c.d_model)
        self.layer_norm = nn.LayerNorm(c.d_model, eps=c.layer_norm_eps)
        self.hidden_dropout = nn.Dropout(c.hidden_dropout)
        self.dropout = nn.Dropout(c.attention_dropout)
        self.heads, self.scale = heads, c.d_head**-0.5
        self.factorized, self.separate = c.attention_type == "factorized", c.separate_cls
        nn.buffer(self, "frequencies", rotary_frequencies(c.d_model, 10_000.0))

    def waves(self, places: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Sines and cosines of places (N,): (N, d_model / 2) each."""
        nn = self.nn
        angles = nn.cast_like(places, self.frequencies)[:, None] * self.frequencies[None, :]
        return nn.cast_like(nn.sin(angles), like), nn.cast_like(nn.cos(angles), like)

    def by_factors(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """Scores of distances, by the sines of differences: q (B, H, T, D) -> (B, H, T, S)."""
        nn = self.nn
        turned = q @ nn.transpose(self.r_kernel, (1, 2, 0))[None]  # (B, H, T, d_model)
        sines, cosines = self.waves(asking.places, q)
        phi, pi = nn.concat([sines, sines], -1), nn.concat([cosines, cosines], -1)
        sines, cosines = self.waves(asked.places, q)
        psi, omega = nn.concat([cosines, sines], -1), nn.concat([-sines, cosines], -1)
        by_phi = (turned * phi) @ nn.transpose(psi, (1, 0))
        return by_phi + (turned * pi) @ nn.transpose(omega, (1, 0))

    def by_distance(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """Scores of distances, each by itself: q (B, H, T, D) -> (B, H, T, S)."""
        nn = self.nn
        keys = nn.shape(asked.places)[0]
        steps = keys - nn.arange(2 * keys + 1, q)  # S … -S, of one stride each
        width, heads, head = nn.shape(self.r_kernel)
        table = nn.concat(self.waves(steps * asked.stride, q), -1)
        table = table @ nn.reshape(self.r_kernel, (width, heads * head))
        scores = q @ nn.transpose(split_heads(nn, table[None], self.heads), (0, 1, 3, 2))
        distance = (asking.places[:, None] - asked.places[None, :]) // asked.stride
        return nn.take_along(scores, nn.clip(keys - distance, 0, 2**31 - 1))

    def by_segment(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """Scores of being of one segment, or of two: q (B, H, T, D) -> (B, H, T, S)."""
        nn = self.nn
        one, other = asking.types[:, :, None], asked.types[:, None, :]
        same = nn.cast_like((one == other) | (one == _CLS) | (other == _CLS), q)[:, None]
        kinds = q @ nn.transpose(self.seg_embed, (1, 2, 0))[None]  # (B, H, T, 2): not, and of one
        return kinds[..., :1] + (kinds[..., 1:] - kinds[..., :1]) * same

    def bias(self, q: Tensor, asking: Level, asked: Level) -> Tensor:
        """What distances and segments add to the scores: (B, H, T, S)."""
        nn = self.nn
        placed = self.by_factors if self.factorized else self.by_distance
        scores = placed(q + self.r_r_bias[None, :, None], asking, asked)
        scores = scores + self.by_segment(q + self.r_s_bias[None, :, None], asking, asked)
        if self.separate:
            rows, columns = (
                nn.cast_like(nn.arange(nn.shape(level.places)[0], q) > 0, q)
                for level in (asking, asked)
            )
            scores = scores * (rows[:, None] * columns[None, :])
        return scores * self.scale

    def forward(self, x: Tensor, keys: Tensor, asking: Level, asked: Level, trace: Trace) -> Tensor:
        """Queries (B, T, d_model), keys (B, S, d_model) -> (B, T, d_model)."""
        nn, heads = self.nn, self.heads
        q = split_heads(nn, self.q_head(x), heads)
        k, v = (split_heads(nn, f(keys), heads) for f in (self.k_head, self.v_head))
        mask = None if asked.real is None else asked.real[:, None, None, :]
        context = nn.attention(
            *(q + self.r_w_bias[None, :, None], k, v, mask, self.bias(q, asking, asked)),
            dropout=self.dropout.p if self.training else 0.0,
            scale=self.scale,
            trace=trace,
        )
        return self.layer_norm(x + self.hidden_dropout(self.post_proj(merge_heads(nn, context))))
