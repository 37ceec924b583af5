"""RoFormer (Su et al., 2021): BERT with rotated queries and keys instead of learned positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, flag, optional, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    QuestionAnswering,
    SummarisedChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM
from hubloader.architectures._summary import SummaryConfig
from hubloader.architectures.bert import (
    BertConfig,
    BertEncoder,
    BertSelfAttention,
    encoder_by,
)
from hubloader.architectures.electra import ElectraModel
from hubloader.architectures.roberta import (
    ConfiguredClassificationHead,
    RobertaForSequenceClassification,
)
from hubloader.nn.blocks import check_length, merge_heads, rotate_pairs, split_heads
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class RoFormerConfig(BertConfig, SummaryConfig):
    """Source: transformers 5.23, ``configuration_roformer.py``."""

    vocab_size: int = size(50000, most=MAX_ROWS)
    embedding_size: int | None = optional(size(1))
    max_position_embeddings: int = size(1536, most=MAX_ROWS)
    rotary_value: bool = flag(False)

    @property
    def embedding_width(self) -> int:
        """The embeddings may be narrower than the hidden states."""
        return self.embedding_size or self.hidden_size

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    def faults(self) -> list[str]:
        """Heads are made of pairs."""
        found = super().faults()
        if self.hidden_size // self.num_attention_heads % 2:
            found.append("num_attention_heads: rotary positions need heads of even width")
        return found


class View(NamedTuple):
    """What attention looks through: the mask, and cosines and sines (T, D) of the positions."""

    mask: Tensor | None
    tables: tuple[Tensor, Tensor]


class RoFormerEmbeddings(Layer):
    """Words and token types, added and normalised; positions come with the attention."""

    def __init__(self, c: RoFormerConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.embedding_width
        self.word_embeddings = nn.Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.token_type_embeddings = nn.Embedding(c.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, width)."""
        if token_type_ids is None:
            token_type_ids = self.nn.zeros_like(input_ids)
        x = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(x))


class RoFormerSelfAttention(BertSelfAttention):
    """BERT's, with rotated queries, keys and perhaps values."""

    def __init__(self, c: RoFormerConfig) -> None:
        super().__init__(c)
        self.rotates_values = c.rotary_value

    def forward(  # type: ignore[override]  # more than a mask
        self, x: Tensor, mask: View, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.query, self.key, self.value))
        q, k = rotate_pairs(nn, q, mask.tables), rotate_pairs(nn, k, mask.tables)
        if self.rotates_values:
            v = rotate_pairs(nn, v, mask.tables)
        dropout = self.dropout.p if self.training else 0.0
        return merge_heads(nn, nn.attention(q, k, v, mask.mask, dropout=dropout, trace=trace))


class RotatedEncoder(BertEncoder):
    """The stack of layers, and the sinusoids, which are a parameter that is never trained."""

    def __init__(self, c: RoFormerConfig) -> None:
        super().__init__(c)
        width = c.hidden_size // c.num_attention_heads
        self.embed_positions = self.nn.Embedding(c.max_position_embeddings, width)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn = self.nn
        positions = nn.arange(nn.shape(x)[1], x)
        sines, cosines = nn.split(nn.detached(self.embed_positions(positions)), 2)
        return super().forward(x, View(mask, (cosines, sines)), trace)


class RoFormerModel(ElectraModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = RoFormerEmbeddings
    encoder_class = encoder_by(__name__, "RoFormer", RoFormerSelfAttention, encoder=RotatedEncoder)

    def __init__(self, c: RoFormerConfig, *, pooler: bool = False) -> None:
        super().__init__(c, pooler=pooler)
        self.length = c.max_position_embeddings

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        check_length(self.nn, input_ids, self.length)
        return super().embed(input_ids, token_type_ids)


class RoFormerForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = RoFormerModel
    head_class = ConfiguredClassificationHead
    prefix = "roformer"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="roformer",
    config=RoFormerConfig,
    prefix="roformer",
    class_prefix="RoFormer",
    tasks={
        ENCODER: RoFormerModel,
        SEQUENCE_CLASSIFICATION: RoFormerForSequenceClassification,
        **heads(
            __name__,
            "RoFormer",
            RoFormerModel,
            "roformer",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=SummarisedChoice,
        ),
    },
    takes_besides=("inputs_embeds",),
)
