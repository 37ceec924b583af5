"""ELECTRA (Clark et al., 2020): BERT with narrow embeddings, trained to spot replaced words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures.bert import BertConfig, BertModel
from hubloader.architectures.roberta import (
    RobertaClassificationHead,
    RobertaForSequenceClassification,
)

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_electra.py``."""

    embedding_size: int = size(128)
    hidden_size: int = size(256)
    num_attention_heads: int = size(4)
    intermediate_size: int = size(1024)

    @property
    def embedding_width(self) -> int:
        """The embeddings are narrower than the hidden states."""
        return self.embedding_size


class ElectraModel(BertModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    def __init__(self, c: ElectraConfig, *, pooler: bool = False) -> None:
        super().__init__(c, pooler=pooler)
        narrow = c.embedding_size != c.hidden_size
        self.embeddings_project = (
            self.nn.Linear(c.embedding_size, c.hidden_size) if narrow else self.nn.Identity()
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
    tasks={ENCODER: ElectraModel, SEQUENCE_CLASSIFICATION: ElectraForSequenceClassification},
)
