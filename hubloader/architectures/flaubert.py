"""FlauBERT (Le et al., 2020): XLM for French, which may normalise first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubloader.architectures import xlm
from hubloader.architectures._config import flag
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    QuestionAnswering,
    SummaryMultipleChoice,
    TokenClassification,
    heads,
)
from hubloader.architectures.xlm import (
    XLMBeamAnswers,
    XLMConfig,
    XLMForSequenceClassification,
    XLMMaskedWords,
    XLMModel,
)


@dataclass(frozen=True, kw_only=True)
class FlaubertConfig(XLMConfig):
    """Source: transformers 5.23, ``configuration_flaubert.py``."""

    pre_norm: bool = flag(False)

    @property
    def normalises_first(self) -> bool:
        """Whether a layer normalises what comes in, and not what goes out."""
        return self.pre_norm


class FlaubertModel(XLMModel):
    """input_ids, attention_mask, token_type_ids, langs (B, T) -> hidden states (B, T, emb_dim)."""


class FlaubertForSequenceClassification(XLMForSequenceClassification):
    """input_ids, attention_mask, token_type_ids, langs (B, T) -> logits (B, num_labels)."""

    model_class = FlaubertModel


ARCHITECTURE = replace(
    xlm.ARCHITECTURE,
    model_type="flaubert",
    config=FlaubertConfig,
    class_prefix="Flaubert",
    tasks={
        ENCODER: FlaubertModel,
        SEQUENCE_CLASSIFICATION: FlaubertForSequenceClassification,
        **heads(
            __name__,
            "Flaubert",
            FlaubertModel,
            "transformer",
            pooler=None,
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=XLMMaskedWords,
            choices=SummaryMultipleChoice,
            beams=XLMBeamAnswers,
        ),
    },
)
