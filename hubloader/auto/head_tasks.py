"""What a call of the other heads takes and returns: labels of tokens, of words, of answers.

Mixins like ``SequenceClassifier`` of ``tasks.py``; at the end, each with what a framework's models
have besides. TensorFlow's are in ``keras_heads.py``.

Source: transformers 5.23 ``modeling_layers.py``, ``modeling_bert.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures import (
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    TOKEN_CLASSIFICATION,
)
from hubloader.auto.numpy_model import NumpyModel
from hubloader.auto.outputs import (
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    TokenClassifierOutput,
)
from hubloader.auto.pretrained import PretrainedModel
from hubloader.auto.torch_model import TorchModel

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HEADS",
    "MaskedLanguageModel",
    "MultipleChoice",
    "QuestionAnswerer",
    "TokenClassifier",
]

_OPTIONS = ("output_attentions", "output_hidden_states")


class _HeadModel(PretrainedModel):
    """A call of a head: what it answers, and the loss where labels are given."""

    kind: ClassVar[str]
    targets: ClassVar[tuple[str, ...]] = ("labels",)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        *,
        return_dict: bool | None = None,
        **others: Any,
    ) -> Any:
        """Compute a batch.

        Args:
            input_ids: (B, T) int; of choices (B, choices, T), and so all that follow.
            attention_mask: (B, T), 1 for a token, 0 for padding.
            token_type_ids: (B, T), where the architecture has them.
            return_dict: False for a plain tuple.
            others: ``labels`` (``start_positions`` and ``end_positions`` of answers),
                ``output_attentions``, ``output_hidden_states``, and what else the architecture
                takes.

        Returns:
            transformers' output object, or a tuple of the same.

        Raises:
            TypeError: an argument that the architecture does not take.

        """
        targets = [self._target(others.pop(name, None)) for name in self.targets]
        options = {name: others.pop(name, None) for name in _OPTIONS}
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            **others,
        }
        found, trace = self._call(inputs, options)
        values = self.answers(found)
        if all(target is not None for target in targets):
            values = {"loss": self.loss(found, *targets), **values}
        return self._output(self.kind, values, trace, return_dict)

    def _target(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            import numpy as np  # first use

            return np.asarray(value)
        return value

    def answers(self, found: Any) -> dict[str, Any]:
        """What the output holds of what the head computed."""
        return {"logits": found}

    def loss(self, found: Any, *targets: Any) -> Any:
        """Mean cross-entropy of every row of logits; -100 counts nothing."""
        kit, (labels,) = self.nn, targets
        if hasattr(labels, "to"):  # a model in parts may end on another device than it began
            labels = labels.to(found.device)
        rows = kit.reshape(found, (-1, kit.shape(found)[-1]))
        return kit.cross_entropy(rows, kit.reshape(labels, (-1,)))


class TokenClassifier(_HeadModel):
    """A call of a token classifier."""

    kind = "tokens"
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"tokens": TokenClassifierOutput}


class MaskedLanguageModel(_HeadModel):
    """A call of a model of masked words."""

    kind = "words"
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"words": MaskedLMOutput}


class MultipleChoice(_HeadModel):
    """A call of a model that chooses."""

    kind = "choices"
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"choices": MultipleChoiceModelOutput}


class QuestionAnswerer(_HeadModel):
    """A call of a model that finds answers in a text."""

    kind = "answers"
    targets = ("start_positions", "end_positions")
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "answers": QuestionAnsweringModelOutput
    }

    def answers(self, found: Any) -> dict[str, Any]:
        """(B, T, 2) -> the logits of beginnings and of ends."""
        return {"start_logits": found[..., 0], "end_logits": found[..., 1]}

    def loss(self, found: Any, *targets: Any) -> Any:
        """Mean of both ends' cross-entropy; an end outside of the text counts nothing."""
        kit = self.nn
        tokens = kit.shape(found)[1]
        losses = []
        for end, places in enumerate(targets):
            labels = kit.reshape(
                places.to(found.device) if hasattr(places, "to") else places, (-1,)
            )
            inside = kit.cast_int((labels >= 0) & (labels < tokens))
            # before the text is its beginning, and behind it is nowhere: as transformers clips
            before = kit.cast_int(labels < 0)
            labels = kit.cast_int(labels) * inside - 100 * (1 - inside - before)
            losses.append(kit.cross_entropy(found[..., end], labels))
        return (losses[0] + losses[1]) / 2


class TorchTokenClassifier(TorchModel, TokenClassifier):
    """A token classifier on PyTorch."""


class TorchMaskedLanguageModel(TorchModel, MaskedLanguageModel):
    """A model of masked words on PyTorch."""


class TorchMultipleChoice(TorchModel, MultipleChoice):
    """A model that chooses, on PyTorch."""


class TorchQuestionAnswerer(TorchModel, QuestionAnswerer):
    """A model that finds answers, on PyTorch."""


class NumpyTokenClassifier(NumpyModel, TokenClassifier):
    """A token classifier on numpy."""


class NumpyMaskedLanguageModel(NumpyModel, MaskedLanguageModel):
    """A model of masked words on numpy."""


class NumpyMultipleChoice(NumpyModel, MultipleChoice):
    """A model that chooses, on numpy."""

    axes = 3


class NumpyQuestionAnswerer(NumpyModel, QuestionAnswerer):
    """A model that finds answers, on numpy."""


HEADS: Mapping[tuple[str, str], type[PretrainedModel]] = {
    ("torch", TOKEN_CLASSIFICATION): TorchTokenClassifier,
    ("torch", MASKED_LM): TorchMaskedLanguageModel,
    ("torch", MULTIPLE_CHOICE): TorchMultipleChoice,
    ("torch", QUESTION_ANSWERING): TorchQuestionAnswerer,
    ("numpy", TOKEN_CLASSIFICATION): NumpyTokenClassifier,
    ("numpy", MASKED_LM): NumpyMaskedLanguageModel,
    ("numpy", MULTIPLE_CHOICE): NumpyMultipleChoice,
    ("numpy", QUESTION_ANSWERING): NumpyQuestionAnswerer,
}
"""Framework and task -> what is put before a head's layer."""
