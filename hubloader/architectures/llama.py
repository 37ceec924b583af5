"""LLaMA (Touvron et al., 2023): pre-norm decoder, turned heads, a gated feed-forward network."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._config import flag
from hubloader.architectures._decoder import Decoder, DecoderForSequenceClassification, record
from hubloader.architectures._decoder_config import DecoderConfig
from hubloader.architectures._heads import QuestionAnswering, ScoredTokens


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(DecoderConfig):
    """Source: transformers 5.23, ``configuration_llama.py``."""

    attention_bias: bool = flag(False)
    mlp_bias: bool = flag(False)

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return self.attention_bias

    @property
    def output_bias(self) -> bool:
        """Whether attention's output has one."""
        return self.attention_bias


class LlamaModel(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""


class LlamaForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = LlamaModel


ARCHITECTURE = record(
    "llama",
    "Llama",
    LlamaConfig,
    LlamaForSequenceClassification,
    tokens=ScoredTokens,
    answers=QuestionAnswering,
    answers_in="transformer",
)
