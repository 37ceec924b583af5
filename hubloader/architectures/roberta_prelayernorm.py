"""RoBERTa that normalises before each half of a layer (efficient MLM: Wettig et al., 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hubloader.architectures import roberta
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import LMHeadMaskedLM
from hubloader.architectures.bert import BertEncoder, BertIntermediate, BertLayer
from hubloader.architectures.megatron_bert import MegatronBertAttention, PlainResidual
from hubloader.architectures.roberta import (
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)
from hubloader.nn.layer import UNTRACED

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace


class RobertaPreLayerNormAttention(MegatronBertAttention):
    """Norm, self-attention, residual."""

    norm = "LayerNorm"


class RobertaPreLayerNormIntermediate(BertIntermediate):
    """Norm, then the wide half of the feed-forward network."""

    def __init__(self, c: RobertaConfig) -> None:
        super().__init__(c)
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, intermediate_size)."""
        return super().forward(self.LayerNorm(x))


class RobertaPreLayerNormLayer(BertLayer):
    """Attention, then the feed-forward network."""

    attention_class = RobertaPreLayerNormAttention

    def __init__(self, c: RobertaConfig) -> None:
        super().__init__(c)
        self.intermediate = self.nn.make(RobertaPreLayerNormIntermediate, c)
        self.output = self.nn.make(PlainResidual, c.intermediate_size, c)


class RobertaPreLayerNormEncoder(BertEncoder):
    """The stack of layers; the model normalises, and keeps, what comes out."""

    layer_class = RobertaPreLayerNormLayer

    def forward(self, x: Tensor, mask: Tensor | None, trace: Trace = UNTRACED) -> Tensor:
        """(B, T, hidden_size) -> the same shape."""
        for layer in self.layer:
            trace.hidden(x)
            x = layer(x, mask, trace)
        return x


class RobertaPreLayerNormModel(RobertaModel):
    """input_ids, attention_mask, token_type_ids (B, T) -> hidden states (B, T, hidden_size)."""

    encoder_class = RobertaPreLayerNormEncoder

    def __init__(self, c: RobertaConfig, *, pooler: bool = True) -> None:
        super().__init__(c, pooler=pooler)
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        """(B, T) -> (B, T, hidden_size)."""
        x = self.embed(input_ids, token_type_ids)
        x = self.LayerNorm(self.encoder(x, self.mask(x, attention_mask), trace))
        trace.hidden(x)
        return x


class RobertaPreLayerNormForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    model_class = RobertaPreLayerNormModel
    prefix = "roberta_prelayernorm"


ARCHITECTURE = replace(
    roberta.ARCHITECTURE.renamed("roberta-prelayernorm", "RobertaPreLayerNorm"),
    prefix="roberta_prelayernorm",
    tasks={
        ENCODER: RobertaPreLayerNormModel,
        SEQUENCE_CLASSIFICATION: RobertaPreLayerNormForSequenceClassification,
        **heads(
            __name__,
            "RobertaPreLayerNorm",
            RobertaPreLayerNormModel,
            "roberta_prelayernorm",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=LMHeadMaskedLM,
            choices=MultipleChoice,
        ),
    },
)
