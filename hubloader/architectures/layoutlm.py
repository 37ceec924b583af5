"""LayoutLM (Xu et al., 2019): BERT that also knows where on the page each word stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bert
from hubloader.architectures._config import MAX_ROWS, size
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import QuestionAnswering, TokenClassification, heads
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
class LayoutLMConfig(BertConfig):
    """Source: transformers 5.23, ``configuration_layoutlm.py``."""

    max_2d_position_embeddings: int = size(1024, most=MAX_ROWS)

    @property
    def head_dropout(self) -> float:
        """The classifier has the hidden states' dropout."""
        return self.hidden_dropout_prob

    @property
    def decodes(self) -> bool:
        """Never: transformers has no decoder of this family, whatever a config says."""
        return False


class LayoutLMEmbeddings(BertEmbeddings):
    """BERT's, and those of each word's box."""

    def __init__(self, c: LayoutLMConfig) -> None:
        super().__init__(c)
        rows, width = c.max_2d_position_embeddings, c.hidden_size
        self.x_position_embeddings = self.nn.Embedding(rows, width)
        self.y_position_embeddings = self.nn.Embedding(rows, width)
        self.h_position_embeddings = self.nn.Embedding(rows, width)
        self.w_position_embeddings = self.nn.Embedding(rows, width)

    def place(self, bbox: Tensor) -> Tensor:
        """(B, T, 4) -> (B, T, hidden_size)."""
        left, upper, right, lower = (bbox[:, :, side] for side in range(4))
        corners = (
            self.x_position_embeddings(left)
            + self.y_position_embeddings(upper)
            + self.x_position_embeddings(right)
            + self.y_position_embeddings(lower)
        )
        height, width = lower - upper, right - left
        return corners + self.h_position_embeddings(height) + self.w_position_embeddings(width)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        bbox: Tensor | None = None,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        if bbox is None:  # text alone stands in the corner
            nowhere = self.nn.zeros_like(input_ids)[:, :, None]
            bbox = self.nn.concat([nowhere] * 4, -1)
        return self.dropout(
            self.LayerNorm(self.add_up(input_ids, token_type_ids) + self.place(bbox))
        )


class LayoutLMModel(BertModel):
    """input_ids, attention_mask, … (B, T), bbox (B, T, 4) -> hidden states (B, T, hidden_size)."""

    embeddings_class = LayoutLMEmbeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        bbox: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """Boxes are (left, upper, right, lower), each from 0 to 1000 of the page."""
        x = self.embeddings(input_ids, token_type_ids, bbox)
        return self.encoder(x, self.mask(x, attention_mask), trace)


class LayoutLMForSequenceClassification(BertForSequenceClassification):
    """input_ids, attention_mask, … (B, T), bbox (B, T, 4) -> logits (B, num_labels)."""

    model_class = LayoutLMModel
    prefix = "layoutlm"


ARCHITECTURE = replace(
    bert.ARCHITECTURE,
    model_type="layoutlm",
    config=LayoutLMConfig,
    prefix="layoutlm",
    class_prefix="LayoutLM",
    tasks={
        ENCODER: LayoutLMModel,
        SEQUENCE_CLASSIFICATION: LayoutLMForSequenceClassification,
        **heads(
            __name__,
            "LayoutLM",
            LayoutLMModel,
            "layoutlm",
            pooler=True,
            tokens=TokenClassification,
            words=ClsMaskedLM,
            page_answers=QuestionAnswering,
        ),
    },
)
