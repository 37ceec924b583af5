"""ELECTRA (Clark et al., 2020): BERT with narrow embeddings, trained to spot replaced words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import flag, share, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    QuestionAnswering,
    SummarisedChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import GeneratorMaskedLM
from hubloader.architectures._summary import SummaryConfig, activation_or_none, summary_type
from hubloader.architectures.bert import BertConfig, BertModel
from hubloader.architectures.roberta import (
    RobertaClassificationHead,
    RobertaForSequenceClassification,
)

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig, SummaryConfig):
    """Source: transformers 5.23, ``configuration_electra.py``."""

    embedding_size: int = size(128)
    hidden_size: int = size(256)
    num_attention_heads: int = size(4)
    intermediate_size: int = size(1024)
    summary_type: str = summary_type("first")
    summary_use_proj: bool = flag(True)
    summary_activation: str | None = activation_or_none("gelu")
    summary_last_dropout: float = share(0.1)

    @property
    def embedding_width(self) -> int:
        """The embeddings are narrower than the hidden states."""
        return self.embedding_size


class ElectraModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size).

    Embeddings that are narrower than the layers are widened between the two.
    """

    def __init__(self, c: BertConfig, *, pooler: bool = False) -> None:
        super().__init__(c, pooler=pooler)
        narrow = c.embedding_width != c.hidden_size
        self.embeddings_project = (
            self.nn.Linear(c.embedding_width, c.hidden_size) if narrow else self.nn.Identity()
        )

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        return self.embeddings_project(self.embeddings(input_ids, token_type_ids))


class ElectraClassificationHead(RobertaClassificationHead):
    """RoBERTa's, with another activation, whatever the config says."""

    activation = "gelu"


class ElectraForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = ElectraModel
    head_class = ElectraClassificationHead
    prefix = "electra"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="electra",
    config=ElectraConfig,
    prefix="electra",
    class_prefix="Electra",
    tasks={
        ENCODER: ElectraModel,
        SEQUENCE_CLASSIFICATION: ElectraForSequenceClassification,
        **heads(
            __name__,
            "Electra",
            ElectraModel,
            "electra",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=GeneratorMaskedLM,
            choices=SummarisedChoice,
        ),
    },
)
