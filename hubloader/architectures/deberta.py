"""DeBERTa (He et al., 2020): the first version, whose distances are counted one by one.

One projection makes queries, keys and values, head by head: (heads, 3, width of a head). Keys have
no bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubloader.architectures import deberta_v2
from hubloader.architectures._config import MAX_ROWS, size, split_words
from hubloader.architectures._deberta_v2_config import DebertaV2Config
from hubloader.architectures._disentangled import position_bias
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import QuestionAnswering, TokenClassification, heads
from hubloader.architectures.deberta_v2 import (
    DebertaMaskedWords,
    DebertaV2Attention,
    DebertaV2Encoder,
    DebertaV2ForSequenceClassification,
    DebertaV2Layer,
    DebertaV2Model,
)
from hubloader.nn.blocks import merge_heads, split_heads
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.architectures._disentangled import Positions
    from hubloader.nn.layer import Tensor, Trace

_LATER = frozenset(
    {
        *("position_buckets", "norm_rel_ebd", "share_att_key", "attention_head_size"),
        *("conv_kernel_size", "conv_groups", "conv_act"),
    }
)


@dataclass(frozen=True, kw_only=True)
class DebertaConfig(DebertaV2Config):
    """Source: transformers 5.23, ``configuration_deberta.py``."""

    vocab_size: int = size(50265, most=MAX_ROWS)
    hidden_size: int = size(768)
    num_hidden_layers: int = size(12, least=0, most=1024)
    num_attention_heads: int = size(12)
    intermediate_size: int = size(3072)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read a config.json; what the second version brought means nothing here."""
        return super().from_json({key: raw[key] for key in raw if key not in _LATER})

    @property
    def scale(self) -> float:
        """Of every score: each kind that is listed counts, whether it is computed or not."""
        kinds = 1 + len(split_words(self.pos_att_type) or ())
        return float((self.hidden_size // self.num_attention_heads * kinds) ** -0.5)

    def beyond(self) -> list[str]:
        """No talking heads."""
        talking = ["talking_head: heads that talk are not implemented here"]
        return [*super().beyond(), *(talking if self.extra.get("talking_head") else [])]


class DebertaSelfAttention(Layer):
    """Content and positions attend to each other."""

    q_bias: Tensor
    v_bias: Tensor

    def __init__(self, c: DebertaConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        nn.weight(self, "q_bias", (width,))
        nn.weight(self, "v_bias", (width,))
        self.terms = c.terms if c.relative_attention else ()
        if "c2p" in self.terms:
            self.pos_proj = nn.Linear(width, width, bias=False)
        if "p2c" in self.terms:
            self.pos_q_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(c.attention_probs_dropout_prob)
        self.pos_dropout = nn.Dropout(c.hidden_dropout_prob)
        self.heads = c.num_attention_heads
        self.scale = c.scale

    def bias(self, q: Tensor, k: Tensor, positions: Positions) -> Tensor:
        """What positions add to the scores, before they are scaled: (B, H, T, T)."""
        embeddings = self.pos_dropout(positions.embeddings)[None]
        keys = self.pos_proj(embeddings) if "c2p" in self.terms else None
        queries = self.pos_q_proj(embeddings) if "p2c" in self.terms else None
        return position_bias(self.nn, q, k, positions, keys, queries)

    def forward(
        self, x: Tensor, mask: Tensor | None, positions: Positions | None, trace: Trace
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn = self.nn
        qkv = split_heads(nn, self.in_proj(x), self.heads)  # (B, H, T, 3 * D)
        q, k, v = nn.split(qkv, 3)
        q = q + split_heads(nn, self.q_bias[None, None], self.heads)
        v = v + split_heads(nn, self.v_bias[None, None], self.heads)
        bias = None
        if positions is not None and self.terms:
            bias = self.bias(q, k, positions) * self.scale
        dropout = self.dropout.p if self.training else 0.0
        context = nn.attention(
            *(q, k, v, mask, bias), dropout=dropout, scale=self.scale, trace=trace
        )
        return merge_heads(nn, context)


class DebertaAttention(DebertaV2Attention):
    """Self-attention and its residual."""

    self_class = DebertaSelfAttention


class DebertaLayer(DebertaV2Layer):
    """Attention, then the feed-forward network."""

    attention_class = DebertaAttention


class DebertaEncoder(DebertaV2Encoder):
    """The stack of layers, and the relative embeddings."""

    layer_class = DebertaLayer


class DebertaModel(DebertaV2Model):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class = DebertaEncoder


class DebertaForSequenceClassification(DebertaV2ForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = DebertaModel


ARCHITECTURE = replace(
    deberta_v2.ARCHITECTURE,
    model_type="deberta",
    config=DebertaConfig,
    class_prefix="Deberta",
    tasks={
        ENCODER: DebertaModel,
        SEQUENCE_CLASSIFICATION: DebertaForSequenceClassification,
        **heads(
            __name__,
            "Deberta",
            DebertaModel,
            "deberta",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=DebertaMaskedWords,
        ),
    },
    ignored_unexpected=("position_embeddings",),
)
