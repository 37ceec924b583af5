"""The other heads on TensorFlow: what ``head_tasks.py`` says, inside a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hubloader.architectures import (
    BEAM_ANSWERING,
    DOCUMENT_ANSWERING,
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    TOKEN_CLASSIFICATION,
)
from hubloader.auto.head_tasks import (
    BeamAnswerer,
    MaskedLanguageModel,
    MultipleChoice,
    QuestionAnswerer,
    TokenClassifier,
)
from hubloader.auto.keras_model import TFLayer
from hubloader.auto.outputs import (
    ModelOutput,
    TFBeamQuestionAnsweringOutput,
    TFMaskedLMOutput,
    TFMultipleChoiceModelOutput,
    TFQuestionAnsweringModelOutput,
    TFSeq2SeqLMOutput,
    TFSeq2SeqQuestionAnsweringModelOutput,
    TFTokenClassifierOutput,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.auto.pretrained import PretrainedModel

__all__ = ["KERAS_HEADS"]


class TFTokenClassifierLayer(TFLayer, TokenClassifier):
    """A token classifier's layer on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"tokens": TFTokenClassifierOutput}


class TFMaskedLMLayer(TFLayer, MaskedLanguageModel):
    """The layer of a model of masked words on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "words": TFMaskedLMOutput,
        "seq2seq-words": TFSeq2SeqLMOutput,
    }


class TFMultipleChoiceLayer(TFLayer, MultipleChoice):
    """The layer of a model that chooses, on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "choices": TFMultipleChoiceModelOutput
    }


class TFQuestionAnswererLayer(TFLayer, QuestionAnswerer):
    """The layer of a model that finds answers, on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "answers": TFQuestionAnsweringModelOutput,
        "seq2seq-answers": TFSeq2SeqQuestionAnsweringModelOutput,
    }


class TFBeamAnswererLayer(TFLayer, BeamAnswerer):
    """The layer of a model that finds answers by beams, on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "beams": TFBeamQuestionAnsweringOutput
    }


KERAS_HEADS: Mapping[str, type[PretrainedModel]] = {
    TOKEN_CLASSIFICATION: TFTokenClassifierLayer,
    MASKED_LM: TFMaskedLMLayer,
    MULTIPLE_CHOICE: TFMultipleChoiceLayer,
    QUESTION_ANSWERING: TFQuestionAnswererLayer,
    DOCUMENT_ANSWERING: TFQuestionAnswererLayer,
    BEAM_ANSWERING: TFBeamAnswererLayer,
}
"""Task -> what is put before a head's layer."""
