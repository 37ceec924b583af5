"""MPNet (Song et al., 2020): fairseq's positions, and one relative bias for all layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubloader.architectures._config import MAX_ROWS, size, token
from hubloader.architectures._encoder import Encoder, NamedSelfAttention
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import LMHeadMaskedLM
from hubloader.architectures.bert import BertConfig, BertLayer, BertPooler
from hubloader.architectures.roberta import RobertaForSequenceClassification
from hubloader.nn.blocks import (
    key_mask,
    positions_after_padding,
    relative_distances,
    t5_bucket_table,
)
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

_PADDING = 1  # whatever the config's pad_token_id says
_BUCKETS = 32  # whatever the config's relative_attention_num_buckets says
_MAX_DISTANCE = 128


@dataclass(frozen=True, kw_only=True)
class MPNetConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_mpnet.py``."""

    vocab_size: int = size(30527, least=_PADDING + 1, most=MAX_ROWS)
    max_position_embeddings: int = size(512, least=_PADDING + 1, most=MAX_ROWS)
    relative_attention_num_buckets: int = size(_BUCKETS, least=_BUCKETS)
    pad_token_id: int | None = token(_PADDING)

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob


class MPNetEmbeddings(Layer):
    """Words and positions, added and normalised."""

    def __init__(self, c: MPNetConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.word_embeddings = nn.Embedding(c.vocab_size, width, padding_idx=_PADDING)
        self.position_embeddings = nn.Embedding(
            c.max_position_embeddings, width, padding_idx=_PADDING
        )
        self.LayerNorm = nn.LayerNorm(width, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)
        self.length = c.max_position_embeddings

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        positions = positions_after_padding(self.nn, input_ids, _PADDING, self.length)
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class MPNetSelfAttention(NamedSelfAttention):
    """Every token looks at every other, nearer ones differently."""

    names = ("q", "k", "v", "o")


class MPNetAttention(Layer):
    """Self-attention and its residual."""

    def __init__(self, c: MPNetConfig) -> None:
        super().__init__()
        self.attn = self.nn.make(
            MPNetSelfAttention, c.hidden_size, c.num_attention_heads, c.attention_probs_dropout_prob
        )
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = self.nn.Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None, bias: Tensor, trace: Trace) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.LayerNorm(self.dropout(self.attn(x, mask, trace, bias=bias)) + x)


class MPNetLayer(BertLayer):
    """Attention, then the feed-forward network."""

    attention_class = MPNetAttention


class MPNetEncoder(Layer):
    """The stack of layers, and the bias that they share."""

    buckets: Tensor

    def __init__(self, c: MPNetConfig) -> None:
        super().__init__()
        self.layer = self.nn.stack(MPNetLayer, c.num_hidden_layers, c)
        self.relative_attention_bias = self.nn.Embedding(
            c.relative_attention_num_buckets, c.num_attention_heads
        )
        self.nn.buffer(self, "buckets", t5_bucket_table(_BUCKETS, _MAX_DISTANCE))

    def bias(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (1, H, T, T)."""
        nn = self.nn
        buckets = nn.take(self.buckets, relative_distances(nn, x, _MAX_DISTANCE))
        return nn.transpose(self.relative_attention_bias(buckets), (2, 0, 1))[None]

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        bias = self.bias(x)
        trace.hidden(x)
        for layer in self.layer:
            x = layer(x, mask, bias, trace)
            trace.hidden(x)
        return x


class MPNetModel(Encoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    def __init__(self, c: MPNetConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.embeddings = self.nn.make(MPNetEmbeddings, c)
        self.encoder = self.nn.make(MPNetEncoder, c)
        self.pooler = self.nn.make(BertPooler, c) if pooler else None

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        return self.encoder(self.embeddings(input_ids), key_mask(self.nn, attention_mask), trace)

    def pooled(self, hidden: Tensor) -> Tensor | None:
        """(B, T, hidden_size) -> (B, hidden_size)."""
        return None if self.pooler is None else self.pooler(hidden)


class MPNetForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = MPNetModel
    prefix = "mpnet"


ARCHITECTURE = Architecture(
    model_type="mpnet",
    config=MPNetConfig,
    prefix="mpnet",
    class_prefix="MPNet",
    tasks={
        ENCODER: MPNetModel,
        SEQUENCE_CLASSIFICATION: MPNetForSequenceClassification,
        **heads(
            __name__,
            "MPNet",
            MPNetModel,
            "mpnet",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=LMHeadMaskedLM,
            choices=MultipleChoice,
        ),
    },
    takes_besides=("inputs_embeds",),
)
