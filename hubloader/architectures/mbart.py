"""mBART (Liu et al., 2020): BART with the norms before, each text's language at its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubloader.architectures import bart
from hubloader.architectures._config import token
from hubloader.architectures._entry import ENCODER, SEQUENCE_CLASSIFICATION
from hubloader.architectures._heads import QuestionAnswering, heads
from hubloader.architectures._seq2seq import (
    Seq2SeqForSequenceClassification,
    Seq2SeqMaskedLM,
    shifted,
)
from hubloader.architectures.bart import BartConfig, BartModel
from hubloader.nn.picking import take_tokens

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor


@dataclass(frozen=True, kw_only=True)
class MBartConfig(BartConfig):
    """Source: transformers 5.23, ``configuration_mbart.py``."""

    usual_labels = 2
    norms_first = True

    decoder_start_token_id: int | None = token(None)


class MBartModel(BartModel):
    """input_ids (B, S), decoder_input_ids (B, T) -> the decoder's hidden states (B, T, d_model)."""

    def __init__(self, c: MBartConfig) -> None:
        super().__init__(c)
        self.padding = c.pad_token_id

    def decoder_ids(self, input_ids: Tensor) -> Tensor:
        """What the decoder reads, if it is not told: the text itself, behind its language.

        That is its last token, of those that are no padding; counted, so that padding is after.
        """
        if self.padding is None:
            raise ValueError("the model's config has no pad_token_id")
        nn = self.nn
        tokens = nn.sum(nn.cast_int(input_ids != self.padding), 1)
        last = take_tokens(nn, nn.cast_int(input_ids), nn.clip(tokens - 1, 0, 2**31 - 1))
        return shifted(nn, input_ids, last[:, None])


class MBartForSequenceClassification(Seq2SeqForSequenceClassification):
    """input_ids (B, T), each text with as many ends -> logits (B, num_labels), at the last end."""

    model_class = MBartModel


ARCHITECTURE = replace(
    bart.ARCHITECTURE.renamed("mbart", "MBart"),
    config=MBartConfig,
    tasks={
        ENCODER: MBartModel,
        SEQUENCE_CLASSIFICATION: MBartForSequenceClassification,
        **heads(
            __name__,
            "MBart",
            MBartModel,
            "model",
            pooler=None,
            answers=QuestionAnswering,
            words=Seq2SeqMaskedLM,
        ),
    },
)
