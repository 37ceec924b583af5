"""RemBERT (Chung et al., 2020): BERT whose input embeddings are narrower than its layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_LAYERS, MAX_ROWS, share, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM, Transform
from hubloader.architectures.bert import (
    BertConfig,
    BertEncoder,
    BertForSequenceClassification,
    BertModel,
)
from hubloader.nn.layer import UNTRACED

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class RemBertConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_rembert.py``."""

    vocab_size: int = size(250300, most=MAX_ROWS)
    input_embedding_size: int = size(256)
    output_embedding_size: int = size(1664)
    hidden_size: int = size(1152)
    num_hidden_layers: int = size(32, least=0, most=MAX_LAYERS)
    num_attention_heads: int = size(18)
    intermediate_size: int = size(4608)
    hidden_dropout_prob: float = share(0.0)
    attention_probs_dropout_prob: float = share(0.0)
    classifier_dropout_prob: float = share(0.1)

    @property
    def embedding_width(self) -> int:
        """The embeddings are narrower than the hidden states."""
        return self.input_embedding_size

    @property
    def head_dropout(self) -> float:
        """The classifier's dropout."""
        return self.classifier_dropout_prob


class RemBertEncoder(BertEncoder):
    """BERT's, after the embeddings are widened."""

    def __init__(self, c: RemBertConfig) -> None:
        super().__init__(c)
        self.embedding_hidden_mapping_in = self.nn.Linear(c.input_embedding_size, c.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, input_embedding_size) -> (B, T, hidden_size)."""
        return super().forward(self.embedding_hidden_mapping_in(x), mask, trace)


class RemBertModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class = RemBertEncoder


class RemBertForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = RemBertModel
    prefix = "rembert"


class RemBertPredictions(Transform):
    """Wider, bent, normalised, then words of its own."""

    def __init__(self, c: RemBertConfig) -> None:
        super().__init__(c, c.output_embedding_size, c.hidden_act)
        self.decoder = self.nn.Linear(c.output_embedding_size, c.vocab_size)


class RemBertMaskedWords(ClsMaskedLM):
    """Masked words, whose table is not that of the embeddings."""

    predictions_class = RemBertPredictions

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, vocab_size)."""
        predictions: Any = self.cls.predictions
        return predictions.decoder(predictions(hidden))


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="rembert",
    config=RemBertConfig,
    prefix="rembert",
    class_prefix="RemBert",
    tasks={
        ENCODER: RemBertModel,
        SEQUENCE_CLASSIFICATION: RemBertForSequenceClassification,
        **heads(
            __name__,
            "RemBert",
            RemBertModel,
            "rembert",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=RemBertMaskedWords,
            choices=MultipleChoice,
        ),
    },
)
