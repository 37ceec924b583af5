"""Jina embeddings v3 (Sturua et al., 2024): XLM-RoBERTa with turned heads, post-norm.

The published checkpoint adds a LoRA for each of its tasks, which transformers does not apply
either; without them this is the model that was pre-trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    amount,
    share,
    size,
    token,
)
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION, Architecture
from hubloader.architectures._heads import QuestionAnswering, TokenClassification, heads
from hubloader.architectures._masked_words import LMHeadMaskedLM
from hubloader.architectures.nomic_bert import NomicBertConfig, NomicBertLayer, NomicBertModel
from hubloader.architectures.roberta import RobertaForSequenceClassification
from hubloader.nn.blocks import activate
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class JinaEmbeddingsV3Config(NomicBertConfig):
    """Source: transformers 5.23, ``configuration_jina_embeddings_v3.py``."""

    default_theta = 20_000.0
    aliases: ClassVar[Mapping[str, str]] = {}

    vocab_size: int = size(250002, most=MAX_ROWS)
    hidden_size: int = size(1024)
    num_hidden_layers: int = size(24, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(16)
    intermediate_size: int = size(4096)
    hidden_act: str = activation("gelu")
    hidden_dropout_prob: float = share(0.1)
    attention_probs_dropout_prob: float = share(0.1)
    max_position_embeddings: int = size(8194, most=MAX_ROWS)
    type_vocab_size: int = size(1)
    layer_norm_eps: float = amount(1e-5, positive=False)
    pad_token_id: int | None = token(1)

    @property
    def attention_bias(self) -> bool:
        """Whether the projections of attention have one."""
        return True


class JinaEmbeddingsV3MLP(Layer):
    """The feed-forward network: wider, bent, and back."""

    def __init__(self, c: JinaEmbeddingsV3Config) -> None:
        super().__init__()
        self.fc1 = self.nn.Linear(c.hidden_size, c.intermediate_size)
        self.fc2 = self.nn.Linear(c.intermediate_size, c.hidden_size)
        self.activation = c.hidden_act

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        return self.fc2(activate(self.nn, self.activation, self.fc1(x)))


class JinaEmbeddingsV3Layer(NomicBertLayer):
    """Attention and norm, feed-forward network and norm."""

    mlp_class = JinaEmbeddingsV3MLP


class JinaEmbeddingsV3Model(NomicBertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    layer_class = JinaEmbeddingsV3Layer

    def __init__(self, c: JinaEmbeddingsV3Config, *, pooler: bool = True) -> None:
        super().__init__(c, pooler=pooler)


class JinaEmbeddingsV3ForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = JinaEmbeddingsV3Model


ARCHITECTURE = Architecture(
    model_type="jina_embeddings_v3",
    config=JinaEmbeddingsV3Config,
    prefix="roberta",
    class_prefix="JinaEmbeddingsV3",
    tasks={
        ENCODER: JinaEmbeddingsV3Model,
        SEQUENCE_CLASSIFICATION: JinaEmbeddingsV3ForSequenceClassification,
        **heads(
            __name__,
            "JinaEmbeddingsV3",
            JinaEmbeddingsV3Model,
            "roberta",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=LMHeadMaskedLM,
        ),
    },
    renames=(
        (r"(^|\.)emb_ln\.", r"\1embeddings.LayerNorm."),
        (r"(^|\.)encoder\.layers\.", r"\1layers."),
        (r"\.mixer\.out_proj\.", ".self_attn.o_proj."),
        (r"\.norm1\.", ".post_attention_layernorm."),
        (r"\.norm2\.", ".post_mlp_layernorm."),
    ),
    splits=(
        (r"\.mixer\.Wqkv\.", (".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj.")),
    ),
    ignored_unexpected=(r"inv_freq$",),
    takes_besides=("inputs_embeds",),
)
