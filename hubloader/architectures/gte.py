"""GTE (Zhang et al., 2024): Nomic BERT's layers with biases, and GELU in the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._config import MAX_ROWS, activation, share, size, token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import TokenClassification, heads
from hubloader.architectures._masked_words import Bias, LMHeadMaskedLM
from hubloader.architectures.nomic_bert import (
    NomicBertConfig,
    NomicBertForSequenceClassification,
    NomicBertLayer,
    NomicBertMLP,
    NomicBertModel,
)
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class GteConfig(NomicBertConfig):
    """Source: transformers 5.23, ``configuration_gte.py``."""

    default_theta = 160_000.0
    aliases: ClassVar[Mapping[str, str]] = {}

    vocab_size: int = size(250048, most=MAX_ROWS)
    hidden_act: str = activation("gelu")
    hidden_dropout_prob: float = share(0.1)
    max_position_embeddings: int = size(8192, most=MAX_ROWS)
    type_vocab_size: int = size(1, least=0)
    pad_token_id: int | None = token(1)

    @property
    def attention_bias(self) -> bool:
        """Whether the projections of attention have one."""
        return True


class GteMLP(NomicBertMLP):
    """The gated feed-forward network, with a bias at its end."""

    output_bias = True

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.down_proj(self.dropout(self.gated(x)))


class GteLayer(NomicBertLayer):
    """Attention and norm, feed-forward network and norm."""

    mlp_class = GteMLP


class GteModel(NomicBertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    layer_class = GteLayer


class GteForSequenceClassification(NomicBertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = GteModel
    prefix = "gte"


class GteLMHead(Layer):
    """Project, GELU, normalise, then the words."""

    def __init__(self, c: GteConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.layer_norm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.decoder = self.nn.make(Bias, c, c.hidden_size)

    def forward(self, hidden: Tensor, words: Any) -> Tensor:
        """(B, T, hidden_size), the table of words -> (B, T, vocab_size)."""
        return self.decoder(self.layer_norm(self.nn.gelu(self.dense(hidden))), words)


class GteMaskedWords(LMHeadMaskedLM):
    """Masked words, under ``lm_head``."""

    head_class = GteLMHead


ARCHITECTURE = Architecture(
    model_type="gte",
    config=GteConfig,
    prefix="gte",
    class_prefix="Gte",
    tasks={
        ENCODER: GteModel,
        SEQUENCE_CLASSIFICATION: GteForSequenceClassification,
        **heads(__name__, "Gte", GteModel, "gte", tokens=TokenClassification, words=GteMaskedWords),
    },
    renames=(
        (r"^new\.", ""),
        (r"(^|\.)encoder\.layer\.", r"\1layers."),
        (r"\.attention\.o_proj\.", ".self_attn.o_proj."),
        (r"\.attn_ln\.", ".post_attention_layernorm."),
        (r"\.mlp_ln\.", ".post_mlp_layernorm."),
        (r"^lm_head\.norm\.", "lm_head.layer_norm."),
    ),
    splits=(
        (
            r"\.attention\.qkv_proj\.",
            (".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."),
        ),
        (r"\.mlp\.up_gate_proj\.", (".mlp.up_proj.", ".mlp.gate_proj.")),
    ),
    ignored_unexpected=(r"inv_freq$",),
    takes_besides=("inputs_embeds",),
)
