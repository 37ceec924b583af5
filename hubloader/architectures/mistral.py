"""Mistral (Jiang et al., 2023): LLaMA that looks back through a window."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import MAX_ROWS, optional, size
from hubloader.architectures._decoder import Decoder, DecoderForSequenceClassification, record
from hubloader.architectures._decoder_config import FULL, SLIDING, DecoderConfig
from hubloader.architectures._heads import QuestionAnswering, ScoredTokens


@dataclass(frozen=True, kw_only=True)
class MistralConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_mistral.py``."""

    intermediate_size: int = size(14336)
    num_key_value_heads: int | None = optional(size(8), 8)
    max_position_embeddings: int = size(131072, most=MAX_ROWS)
    sliding_window: int | None = optional(size(4096, most=MAX_ROWS), 4096)

    @property
    def window(self) -> int | None:
        """Tokens that a query sees, itself among them."""
        return self.sliding_window

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every layer looks through the window, if there is one."""
        return (FULL if self.window is None else SLIDING,) * self.num_hidden_layers


class MistralModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""


class MistralForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = MistralModel


ARCHITECTURE = record(
    "mistral",
    "Mistral",
    MistralConfig,
    MistralForSequenceClassification,
    tokens=ScoredTokens,
    answers=QuestionAnswering,
)
