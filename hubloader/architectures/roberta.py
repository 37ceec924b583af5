"""RoBERTa (Liu et al., 2019): BERT with fairseq's positions and a head of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, size, token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    Head,
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import LMHeadMaskedLM
from hubloader.architectures.bert import BertConfig, BertEmbeddings, BertModel
from hubloader.nn.blocks import activate, positions_after_padding
from hubloader.nn.layer import Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_roberta.py``."""

    vocab_size: int = size(50265, most=MAX_ROWS)
    pad_token_id: int | None = token(1)

    def faults(self) -> list[str]:
        """Positions are counted from the padding token's id."""
        missing = self.pad_token_id is None or self.pad_token_id < 0
        found = ["pad_token_id: positions need one"] if missing else []
        return (
            super().faults() + found + self.must_have_row("pad_token_id", "max_position_embeddings")
        )


class RobertaEmbeddings(BertEmbeddings):
    """BERT's, but padding has a position of its own, from which tokens count up."""

    def __init__(self, c: RobertaConfig) -> None:
        super().__init__(c)
        self.padding_idx = c.pad_token_id or 0
        self.position_embeddings = self.nn.Embedding(
            c.max_position_embeddings, c.embedding_width, padding_idx=self.padding_idx
        )

    def positions(self, input_ids: Tensor) -> Tensor:
        """(B, T) -> (B, T)."""
        return positions_after_padding(self.nn, input_ids, self.padding_idx, self.length)


class RobertaModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = RobertaEmbeddings


class RobertaClassificationHead(Layer):
    """The first token through one more layer."""

    activation: ClassVar[str] = "tanh"

    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, c.hidden_size)
        self.dropout = self.nn.Dropout(c.head_dropout)
        self.out_proj = self.nn.Linear(c.hidden_size, c.num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, num_labels)."""
        x = activate(self.nn, self.activation, self.dense(self.dropout(hidden[:, 0])))
        return self.out_proj(self.dropout(x))


class ConfiguredClassificationHead(RobertaClassificationHead):
    """RoBERTa's, with the layers' activation."""

    def __init__(self, c: BertConfig) -> None:
        super().__init__(c)
        self.activation = c.hidden_act  # type: ignore[misc]  # the class's is a default


class RobertaForSequenceClassification(Head):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels).

    A family with such a head names its encoder and where that sits.
    """

    model_class: ClassVar[type[Layer]] = RobertaModel
    head_class: ClassVar[type[Layer]] = RobertaClassificationHead
    prefix: ClassVar[str] = "roberta"

    def __init__(self, c: BertConfig) -> None:
        super().__init__(c)
        self.classifier = self.nn.make(self.head_class, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, num_labels)."""
        return self.classifier(hidden)


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="roberta",
    config=RobertaConfig,
    prefix="roberta",
    class_prefix="Roberta",
    tasks={
        ENCODER: RobertaModel,
        SEQUENCE_CLASSIFICATION: RobertaForSequenceClassification,
        **heads(
            __name__,
            "Roberta",
            RobertaModel,
            "roberta",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=LMHeadMaskedLM,
            choices=MultipleChoice,
        ),
    },
)
