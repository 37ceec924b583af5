"""ERNIE 2.0 (Sun et al., 2019): BERT, told which task a text is from, if it has learned to hear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import flag, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import ClsMaskedLM
from hubloader.architectures.bert import (
    BertConfig,
    BertEmbeddings,
    BertForSequenceClassification,
    BertModel,
)
from hubloader.nn.layer import UNTRACED

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


@dataclass(frozen=True, kw_only=True)
class ErnieConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_ernie.py``."""

    task_type_vocab_size: int = size(3)
    use_task_id: bool = flag(False)


class ErnieEmbeddings(BertEmbeddings):
    """BERT's, and the task's."""

    def __init__(self, c: ErnieConfig) -> None:
        super().__init__(c)
        if c.use_task_id:
            self.task_type_embeddings = self.nn.Embedding(c.task_type_vocab_size, c.hidden_size)
        self.hears_tasks = c.use_task_id

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        task_type_ids: Tensor | None = None,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.add_up(input_ids, token_type_ids)
        if self.hears_tasks:
            if task_type_ids is None:
                task_type_ids = self.nn.zeros_like(input_ids)
            x = x + self.task_type_embeddings(task_type_ids)
        return self.dropout(self.LayerNorm(x))


class ErnieModel(BertModel):
    """input_ids, attention_mask, … (B, T) -> hidden states (B, T, hidden_size)."""

    embeddings_class = ErnieEmbeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        task_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.embeddings(input_ids, token_type_ids, task_type_ids)
        return self.encoder(x, self.mask(x, attention_mask), trace)


class ErnieForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, … (B, T) -> logits (B, num_labels)."""

    model_class = ErnieModel
    prefix = "ernie"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="ernie",
    config=ErnieConfig,
    prefix="ernie",
    class_prefix="Ernie",
    tasks={
        ENCODER: ErnieModel,
        SEQUENCE_CLASSIFICATION: ErnieForSequenceClassification,
        **heads(
            __name__,
            "Ernie",
            ErnieModel,
            "ernie",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=ClsMaskedLM,
            choices=MultipleChoice,
        ),
    },
)
