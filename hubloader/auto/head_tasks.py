"""What a call of the other heads takes and returns: labels of tokens, of words, of answers.

Mixins like ``SequenceClassifier`` of ``tasks.py``; at the end, each with what a framework's models
have besides. TensorFlow's are in ``keras_heads.py``.

Source: transformers 5.23 ``modeling_layers.py``, ``modeling_bert.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures import (
    BEAM_ANSWERING,
    DOCUMENT_ANSWERING,
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    TOKEN_CLASSIFICATION,
)
from hubloader.auto.numpy_model import NumpyModel
from hubloader.auto.outputs import (
    BeamQuestionAnsweringOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    Seq2SeqLMOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    TokenClassifierOutput,
)
from hubloader.auto.pretrained import PretrainedModel
from hubloader.auto.torch_model import TorchModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "HEADS",
    "BeamAnswerer",
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
    needed: ClassVar[int | None] = None  # how many of the targets make a loss; all if None

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
        learns = all(target is not None for target in targets[: self.needed])
        if learns:
            told = self.told(targets).items()
            inputs |= {name: value for name, value in told if inputs.get(name) is None}
        found, trace = self._call(inputs, options)
        values = self.answers(found)
        if learns:
            values = {"loss": self.loss(found, *targets), **values}
        return self._output(self.kind, values, trace, return_dict)

    def told(self, targets: Sequence[Any]) -> dict[str, Any]:
        """What of the labels the head itself must know, where it was not given."""
        del targets
        return {}

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
        rows = kit.reshape(found, (-1, kit.shape(found)[-1]))
        return kit.cross_entropy(rows, kit.reshape(_beside(labels, found), (-1,)))


def _beside(labels: Any, found: Any) -> Any:
    """Labels where the logits are: a model in parts may end on another device than it began."""
    return labels.to(found.device) if hasattr(labels, "to") else labels


class TokenClassifier(_HeadModel):
    """A call of a token classifier."""

    kind = "tokens"
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"tokens": TokenClassifierOutput}


class MaskedLanguageModel(_HeadModel):
    """A call of a model of masked words."""

    kind = "words"
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "words": MaskedLMOutput,
        "seq2seq-words": Seq2SeqLMOutput,
    }

    def told(self, targets: Sequence[Any]) -> dict[str, Any]:
        """What a decoder reads that is to write the labels."""
        read = getattr(self, "prepare_decoder_input_ids_from_labels", None)
        return {} if read is None else {"decoder_input_ids": read(*targets)}


class MultipleChoice(_HeadModel):
    """A call of a model that chooses."""

    kind = "choices"
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"choices": MultipleChoiceModelOutput}


class QuestionAnswerer(_HeadModel):
    """A call of a model that finds answers in a text."""

    kind = "answers"
    targets = ("start_positions", "end_positions")
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "answers": QuestionAnsweringModelOutput,
        "seq2seq-answers": Seq2SeqQuestionAnsweringModelOutput,
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
            labels = kit.reshape(_beside(places, found), (-1,))
            inside = kit.cast_int((labels >= 0) & (labels < tokens))
            # before the text is its beginning, and behind it is nowhere: as transformers clips
            before = kit.cast_int(labels < 0)
            labels = kit.cast_int(labels) * inside - 100 * (1 - inside - before)
            losses.append(kit.cross_entropy(found[..., end], labels))
        return (losses[0] + losses[1]) / 2


class BeamAnswerer(_HeadModel):
    """A call of a model that finds answers by beams; of labels, ``is_impossible`` may be left out.

    Given ``start_positions`` and ``end_positions`` it answers nothing, and tells its loss.
    """

    kind = "beams"
    targets = ("start_positions", "end_positions", "is_impossible")
    needed = 2
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {"beams": BeamQuestionAnsweringOutput}

    def told(self, targets: Sequence[Any]) -> dict[str, Any]:
        """Where answers begin: ends are learned beside it."""
        return {"start_positions": targets[0]}

    def answers(self, found: Any) -> dict[str, Any]:
        """The beams by transformers' names; nothing of what is learned from."""
        return dict(zip(_BEAMS, found, strict=True)) if len(found) == len(_BEAMS) else {}

    def loss(self, found: Any, *targets: Any) -> Any:
        """Mean of both ends' cross-entropy, and half of that of there being no answer, if told."""
        kit, (starts, ends, no_answer) = self.nn, found
        first, last = (kit.reshape(_beside(x, starts), (-1,)) for x in targets[:2])
        loss = (kit.cross_entropy(starts, first) + kit.cross_entropy(ends, last)) / 2
        if targets[2] is None or no_answer is None:
            return loss
        impossible = kit.reshape(_beside(targets[2], starts), (-1,))
        return loss + kit.bce_with_logits(no_answer, kit.cast_like(impossible, no_answer)) * 0.5


_BEAMS = BeamQuestionAnsweringOutput.fields[1:6]


class TorchTokenClassifier(TorchModel, TokenClassifier):
    """A token classifier on PyTorch."""


class TorchMaskedLanguageModel(TorchModel, MaskedLanguageModel):
    """A model of masked words on PyTorch."""


class TorchMultipleChoice(TorchModel, MultipleChoice):
    """A model that chooses, on PyTorch."""


class TorchQuestionAnswerer(TorchModel, QuestionAnswerer):
    """A model that finds answers, on PyTorch."""


class TorchBeamAnswerer(TorchModel, BeamAnswerer):
    """A model that finds answers by beams, on PyTorch."""


class NumpyTokenClassifier(NumpyModel, TokenClassifier):
    """A token classifier on numpy."""


class NumpyMaskedLanguageModel(NumpyModel, MaskedLanguageModel):
    """A model of masked words on numpy."""


class NumpyMultipleChoice(NumpyModel, MultipleChoice):
    """A model that chooses, on numpy."""

    axes = 3


class NumpyQuestionAnswerer(NumpyModel, QuestionAnswerer):
    """A model that finds answers, on numpy."""


class NumpyBeamAnswerer(NumpyModel, BeamAnswerer):
    """A model that finds answers by beams, on numpy."""


HEADS: Mapping[tuple[str, str], type[PretrainedModel]] = {
    ("torch", TOKEN_CLASSIFICATION): TorchTokenClassifier,
    ("torch", MASKED_LM): TorchMaskedLanguageModel,
    ("torch", MULTIPLE_CHOICE): TorchMultipleChoice,
    ("torch", QUESTION_ANSWERING): TorchQuestionAnswerer,
    ("torch", DOCUMENT_ANSWERING): TorchQuestionAnswerer,
    ("torch", BEAM_ANSWERING): TorchBeamAnswerer,
    ("numpy", TOKEN_CLASSIFICATION): NumpyTokenClassifier,
    ("numpy", MASKED_LM): NumpyMaskedLanguageModel,
    ("numpy", MULTIPLE_CHOICE): NumpyMultipleChoice,
    ("numpy", QUESTION_ANSWERING): NumpyQuestionAnswerer,
    ("numpy", DOCUMENT_ANSWERING): NumpyQuestionAnswerer,
    ("numpy", BEAM_ANSWERING): NumpyBeamAnswerer,
}
"""Framework and task -> what is put before a head's layer."""
