"""Qwen2 (Yang et al., 2024): LLaMA with biases for queries, keys and values."""

from __future__ import annotations

from dataclasses import dataclass

from hubloader.architectures._decoder import Decoder, DecoderForSequenceClassification, record
from hubloader.architectures._heads import QuestionAnswering, ScoredTokens
from hubloader.architectures._qwen_config import QwenConfig


@dataclass(frozen=True, kw_only=True)
class Qwen2Config(QwenConfig):
    """Source: transformers 5.23, ``configuration_qwen2.py``."""

    @property
    def input_bias(self) -> bool:
        """Whether queries, keys and values have one."""
        return True


class Qwen2Model(Decoder):
    """input_ids, attention_mask (B, T) -> hidden states (B, T, hidden_size)."""


class Qwen2ForSequenceClassification(DecoderForSequenceClassification):
    """input_ids, attention_mask (B, T) -> logits (B, num_labels)."""

    model_class = Qwen2Model


ARCHITECTURE = record(
    "qwen2",
    "Qwen2",
    Qwen2Config,
    Qwen2ForSequenceClassification,
    tokens=ScoredTokens,
    answers=QuestionAnswering,
    answers_in="transformer",
)
