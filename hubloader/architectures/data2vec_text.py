"""data2vec for text (Baevski et al., 2022): RoBERTa, trained otherwise."""

from __future__ import annotations

from dataclasses import replace

from hubloader.architectures import roberta
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import (
    MultipleChoice,
    QuestionAnswering,
    TokenClassification,
    heads,
)
from hubloader.architectures._masked_words import LMHeadMaskedLM
from hubloader.architectures.roberta import RobertaForSequenceClassification, RobertaModel


class Data2VecTextForSequenceClassification(RobertaForSequenceClassification):
    """input_ids, attention_mask, token_type_ids (B, T) -> logits (B, num_labels)."""

    prefix = "data2vec_text"


ARCHITECTURE = replace(
    roberta.ARCHITECTURE.renamed("data2vec-text", "Data2VecText"),
    prefix="data2vec_text",
    tasks={
        ENCODER: RobertaModel,
        SEQUENCE_CLASSIFICATION: Data2VecTextForSequenceClassification,
        **heads(
            __name__,
            "Data2VecText",
            RobertaModel,
            "data2vec_text",
            tokens=TokenClassification,
            answers=QuestionAnswering,
            words=LMHeadMaskedLM,
            choices=MultipleChoice,
        ),
    },
)
