"""Gemma (Mesnard et al., 2024): LLaMA with scaled embeddings and norms that are counted from 1."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import (
    MAX_LAYERS,
    MAX_ROWS,
    activation,
    flag,
    optional,
    size,
    token,
)
from hubloader.architectures._decoder import Decoder, DecoderForSequenceClassification, record
from hubloader.architectures._decoder_config import DecoderConfig
from hubloader.architectures._heads import ScoredTokens

_TANH = "gelu_pytorch_tanh"


@dataclass(frozen=True, kw_only=True)
class GemmaConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_gemma.py``."""

    norm = "raised root"
    new_norms = 0.0

    vocab_size: int = size(256000, most=MAX_ROWS)
    hidden_size: int = size(3072)
    intermediate_size: int = size(24576)
    num_hidden_layers: int = size(28, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(16)
    num_key_value_heads: int | None = optional(size(16), 16)
    head_dim: int = size(256)
    hidden_act: str = activation(_TANH)
    max_position_embeddings: int = size(8192, most=MAX_ROWS)
    pad_token_id: int | None = token(0)
    attention_bias: bool = flag(False)
    use_bidirectional_attention: bool | None = optional(flag(False))

    @property
    def act(self) -> str:
        """The feed-forward network's; the first configs wrote ``gelu`` and meant another."""
        return _TANH if self.hidden_act == "gelu" else self.hidden_act

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.attention_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.attention_bias

    @property
    def embedding_scale(self) -> float:
        """What words' embeddings are multiplied by."""
        return float(self.hidden_size**0.5)

    def beyond(self) -> list[str]:
        """Transformers' own kernels do not agree on what it is to look ahead here."""
        ahead = ["use_bidirectional_attention: it is not implemented here"]
        return [*super().beyond(), *(ahead if self.use_bidirectional_attention else [])]


class GemmaModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""


class GemmaForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = GemmaModel


ARCHITECTURE = record(
    "gemma",
    "Gemma",
    GemmaConfig,
    GemmaForSequenceClassification,
    takes_besides=(),
    tokens=ScoredTokens,
)
