"""Words and relative positions that attend apart, as all versions of DeBERTa do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.nn.blocks import merge_heads, split_heads
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from hubloader.architectures._deberta_v2_config import DebertaV2Config
    from hubloader.nn.layer import Kit, Tensor, Trace

__all__ = ["DisentangledSelfAttention", "Positions", "position_bias"]


class Positions:
    """What all layers share: the relative embeddings, and which of them each pair of tokens takes.

    Args:
        embeddings: (2 * span, hidden_size).
        c2p: row for each (query, key): (T, T).
        p2c: row for each (key, query): (T, T).

    """

    def __init__(self, embeddings: Tensor, c2p: Tensor, p2c: Tensor) -> None:
        self.embeddings = embeddings
        self.c2p = c2p
        self.p2c = p2c


def position_bias(
    nn: Kit,
    q: Tensor,
    k: Tensor,
    positions: Positions,
    keys: Tensor | None,
    queries: Tensor | None,
) -> Tensor:
    """How much queries care for distances, and distances for keys, before scaling: (B, H, T, T).

    Args:
        nn: the kit.
        q: (B, H, T, D).
        k: (B, H, T, D).
        positions: which distance each pair of tokens has.
        keys: what queries look at in each distance, (1, 2 * span, hidden_size), or None.
        queries: what looks from each distance at keys, the same, or None; one of both is there.

    """
    heads, parts = nn.shape(q)[1], []
    if keys is not None:
        of_distances = nn.transpose(split_heads(nn, keys, heads), (0, 1, 3, 2))
        parts.append(nn.take_along(q @ of_distances, positions.c2p))
    if queries is not None:
        of_distances = nn.transpose(split_heads(nn, queries, heads), (0, 1, 3, 2))
        scores = nn.take_along(k @ of_distances, positions.p2c)
        parts.append(nn.transpose(scores, (0, 1, 3, 2)))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class DisentangledSelfAttention(Layer):
    """Content and positions attend to each other."""

    def __init__(self, c: DebertaV2Config) -> None:
        super().__init__()
        nn = self.nn
        self.query_proj = nn.Linear(c.hidden_size, c.hidden_size)
        self.key_proj = nn.Linear(c.hidden_size, c.hidden_size)
        self.value_proj = nn.Linear(c.hidden_size, c.hidden_size)
        own = c.relative_attention and not c.share_att_key
        if own and "c2p" in c.terms:
            self.pos_key_proj = nn.Linear(c.hidden_size, c.hidden_size)
        if own and "p2c" in c.terms:
            self.pos_query_proj = nn.Linear(c.hidden_size, c.hidden_size)
        self.shares = c.share_att_key
        self.terms = c.terms
        self.dropout = nn.Dropout(c.attention_probs_dropout_prob)
        self.pos_dropout = nn.Dropout(c.hidden_dropout_prob)
        self.heads = c.num_attention_heads
        width = c.hidden_size // c.num_attention_heads
        self.scale = (width * (1 + len(c.terms))) ** -0.5

    def bias(self, q: Tensor, k: Tensor, positions: Positions | None) -> Tensor | None:
        """What positions add to the scores: (B, H, T, T)."""
        if positions is None or not self.terms:
            return None
        embeddings = self.pos_dropout(positions.embeddings)[None]
        keys = queries = None
        if "c2p" in self.terms:
            keys = (self.key_proj if self.shares else self.pos_key_proj)(embeddings)
        if "p2c" in self.terms:
            queries = (self.query_proj if self.shares else self.pos_query_proj)(embeddings)
        return position_bias(self.nn, q, k, positions, keys, queries) * self.scale

    def forward(
        self, x: Tensor, mask: Tensor | None, positions: Positions | None, trace: Trace
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        projections = (self.query_proj, self.key_proj, self.value_proj)
        q, k, v = (split_heads(nn, project(x), heads) for project in projections)
        dropout = self.dropout.p if self.training else 0.0
        options = {"dropout": dropout, "scale": self.scale, "trace": trace}
        return merge_heads(nn, nn.attention(q, k, v, mask, self.bias(q, k, positions), **options))
