"""ESM-1b and ESM-2 (Rives et al., 2021; Lin et al., 2022): a pre-norm encoder of proteins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import (
    MAX_ROWS,
    Beyond,
    amount,
    checked,
    flag,
    optional,
    size,
    token,
)
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import TokenClassification, heads
from hubloader.architectures._masked_words import LMHead, LMHeadMaskedLM
from hubloader.architectures.bert import (
    BertConfig,
    BertModel,
    BertSelfAttention,
)
from hubloader.architectures.megatron_bert import (
    MegatronBertAttention,
    MegatronBertEncoder,
    MegatronBertLayer,
)
from hubloader.architectures.roberta import RobertaForSequenceClassification
from hubloader.nn.blocks import merge_heads, positions_after_padding, split_heads
from hubloader.nn.layer import UNTRACED, Layer
from hubloader.nn.rotary import Rope, Rotary, turn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from typing_extensions import Self

    from hubloader.nn.layer import Tensor, Trace
    from hubloader.nn.rotary import Angles

_MASKED_IN_TRAINING = 0.15 * 0.8  # the share of tokens that every published model was trained with


def _positions_fault(value: Any) -> str | None:
    if value in ("absolute", "rotary"):
        return None
    return Beyond(f"positions of type {value!r} are not implemented here")


@dataclass(frozen=True, kw_only=True)
class EsmConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_esm.py``."""

    vocab_size: int = size(33, most=MAX_ROWS)
    pad_token_id: int | None = token(1)
    mask_token_id: int | None = token(32)
    max_position_embeddings: int = size(1026, most=MAX_ROWS)
    rope_theta: float = amount(10_000.0)
    position_embedding_type: str = checked("absolute", _positions_fault)
    emb_layer_norm_before: bool | None = optional(flag(False))
    token_dropout: bool | None = optional(flag(False))
    is_folding_model: bool | None = optional(flag(False))

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read a config.json; whatever it calls its activation, the networks bend by GELU."""
        return super().from_json({key: v for key, v in raw.items() if key != "hidden_act"})

    @property
    def rotates(self) -> bool:
        """Whether positions are turned into queries and keys, and not added to the words."""
        return self.position_embedding_type == "rotary"

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    def faults(self) -> list[str]:
        """Positions are counted from the padding token's id."""
        missing = self.pad_token_id is None or self.pad_token_id < 0
        return [*super().faults(), *(["pad_token_id: positions need one"] if missing else [])]

    def beyond(self) -> list[str]:
        """No protein is folded."""
        folding = ["is_folding_model: proteins are not folded here"]
        return [*super().beyond(), *(folding if self.is_folding_model else [])]


class EsmEmbeddings(Layer):
    """Words, and positions where they are learned; what was masked is made up for."""

    def __init__(self, c: EsmConfig) -> None:
        super().__init__()
        nn, width = self.nn, c.hidden_size
        self.padding_idx = c.pad_token_id or 0
        self.word_embeddings = nn.Embedding(c.vocab_size, width, padding_idx=self.padding_idx)
        self.layer_norm = (
            nn.LayerNorm(width, eps=c.layer_norm_eps) if c.emb_layer_norm_before else None
        )
        self.position_embeddings = (
            None
            if c.rotates
            else nn.Embedding(c.max_position_embeddings, width, padding_idx=self.padding_idx)
        )
        self.masked_id = c.mask_token_id if c.token_dropout else None
        self.length = c.max_position_embeddings

    def without_masked(self, x: Tensor, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Set what is masked to zero; scale the rest by how much more was masked in training."""
        nn = self.nn
        masked = nn.cast_like(input_ids == self.masked_id, x)
        real = (
            nn.zeros_like(masked) + 1 if attention_mask is None else nn.cast_like(attention_mask, x)
        )
        count = nn.sum(real, 1)
        share = nn.sum(masked, 1) / (count + 1 - nn.clip(count, 0, 1))
        x = x * (1 - masked)[:, :, None]
        return x * (1 - _MASKED_IN_TRAINING) / (1 - share)[:, None, None]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        nn, x = self.nn, self.word_embeddings(input_ids)
        if self.masked_id is not None:
            x = self.without_masked(x, input_ids, attention_mask)
        if self.position_embeddings is not None:
            positions = positions_after_padding(nn, input_ids, self.padding_idx, self.length)
            x = x + self.position_embeddings(positions)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        return x if attention_mask is None else x * nn.cast_like(attention_mask, x)[:, :, None]


class EsmSelfAttention(BertSelfAttention):
    """BERT's, with turned queries and keys where positions are rotary."""

    def forward(  # type: ignore[override]  # the angles besides
        self, x: Tensor, mask: Tensor | None, angles: Angles | None, trace: Trace
    ) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        nn, heads = self.nn, self.heads
        q, k, v = (split_heads(nn, f(x), heads) for f in (self.query, self.key, self.value))
        if angles is not None:
            q, k = turn(nn, q, angles), turn(nn, k, angles)
        dropout = self.dropout.p if self.training else 0.0
        return merge_heads(nn, nn.attention(q, k, v, mask, dropout=dropout, trace=trace))


class EsmAttention(MegatronBertAttention):
    """Norm, self-attention, residual."""

    norm = "LayerNorm"
    self_class = EsmSelfAttention


class EsmLayer(MegatronBertLayer):
    """Attention, then norm and the feed-forward network."""

    norm = "LayerNorm"
    attention_class = EsmAttention


class EsmEncoder(MegatronBertEncoder):
    """The stack of layers, and the norm that ends it."""

    layer_class = EsmLayer
    norm = "emb_layer_norm_after"

    def __init__(self, c: EsmConfig) -> None:
        super().__init__(c)
        width = c.hidden_size // c.num_attention_heads
        self.rotary = self.nn.make(Rotary, Rope(theta=c.rope_theta), width) if c.rotates else None

    def view(self, x: Tensor, mask: Tensor | None) -> tuple[Any, ...]:
        """What the layers look through: the mask, and the angles where heads are turned."""
        return mask, None if self.rotary is None else self.rotary(x)


class ContactHead(Layer):
    """What tells of two residues whether they touch; its weights are kept, and not used here."""

    def __init__(self, c: EsmConfig) -> None:
        super().__init__()
        self.regression = self.nn.Linear(c.num_hidden_layers * c.num_attention_heads, 1)


class EsmModel(BertModel):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = EsmEmbeddings
    encoder_class = EsmEncoder

    def __init__(self, c: EsmConfig, *, pooler: bool = True) -> None:
        super().__init__(c, pooler=pooler)
        self.contact_head = self.nn.make(ContactHead, c)

    def forward(  # type: ignore[override]  # no token types
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, trace: Trace = UNTRACED
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.embeddings(input_ids, attention_mask)
        return self.encoder(x, self.mask(x, attention_mask), trace)


class EsmForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = EsmModel
    prefix = "esm"


class EsmLMHead(LMHead):
    """RoBERTa's, whose table comes without biases."""

    own_bias = False


class EsmMaskedWords(LMHeadMaskedLM):
    """Masked words, under ``lm_head``."""

    head_class = EsmLMHead


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="esm",
    config=EsmConfig,
    prefix="esm",
    class_prefix="Esm",
    tasks={
        ENCODER: EsmModel,
        SEQUENCE_CLASSIFICATION: EsmForSequenceClassification,
        **heads(__name__, "Esm", EsmModel, "esm", tokens=TokenClassification, words=EsmMaskedWords),
    },
    ignored_missing=(r"(?:^|\.)contact_head\.",),
    ignored_unexpected=(r"position_embeddings\.weight$", r"rotary_embeddings\.inv_freq$"),
    takes_besides=(),
)
