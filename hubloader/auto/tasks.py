"""What a call of a model takes and returns, task by task: labels, losses, outputs.

Mixins like those of ``pretrained.py``, on which they stand; at the end, both together for each
framework. TensorFlow's are in ``keras_model.py``.

Source: transformers 5.23 ``modeling_layers.py``, ``loss/loss_utils.py``
(``ForSequenceClassificationLoss``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.numpy_model import NumpyModel
from hubloader.auto.outputs import (
    BaseModelOutput,
    BaseModelOutputWithPooling,
    ModelOutput,
    Seq2SeqModelOutput,
    Seq2SeqSequenceClassifierOutput,
    SequenceClassifierOutput,
)
from hubloader.auto.pretrained import PretrainedModel
from hubloader.auto.torch_model import TorchModel

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EncoderModel",
    "NumpyEncoder",
    "NumpySequenceClassifier",
    "SequenceClassifier",
    "TorchEncoder",
    "TorchSequenceClassifier",
    "classification_loss",
]


class SequenceClassifier(PretrainedModel):
    """A call of a classifier: logits, and the loss where labels are given."""

    targets: ClassVar[tuple[str, ...]] = ("labels",)
    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "classifier": SequenceClassifierOutput,
        "seq2seq-classifier": Seq2SeqSequenceClassifierOutput,
    }

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        *,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> Any:
        """Classify a batch.

        Args:
            input_ids: (B, T) int.
            attention_mask: (B, T), 1 for a token, 0 for padding.
            token_type_ids: (B, T), where the architecture has them.
            labels: (B,) int classes, (B,) or (B, num_labels) float targets.
            output_attentions: return every layer's attention probabilities.
            output_hidden_states: return the hidden states after the embeddings and each layer.
            return_dict: False for a plain tuple.
            others: what else the architecture takes.

        Returns:
            ``SequenceClassifierOutput`` or a tuple of the same.

        Raises:
            TypeError: an argument that the architecture does not take.

        """
        logits, trace = self._call(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                **others,
            },
            {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states},
        )
        loss = None if labels is None else classification_loss(self, logits, labels)
        return self._output("classifier", {"loss": loss, "logits": logits}, trace, return_dict)


class EncoderModel(PretrainedModel):
    """A call of a bare encoder: its last hidden state, and what the pooler makes of it."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "encoder": BaseModelOutput,
        "pooled": BaseModelOutputWithPooling,
        "seq2seq-encoder": Seq2SeqModelOutput,
    }

    if TYPE_CHECKING:

        def pooled(self, hidden: Any) -> Any:
            """The architecture's own: (B, hidden_size), or None."""

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        *,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> Any:
        """Encode a batch; the arguments are those of ``SequenceClassifier.forward``, less labels.

        Returns:
            ``BaseModelOutputWithPooling``, or ``BaseModelOutput`` where the architecture has no
            pooler, or a tuple of the same.

        Raises:
            TypeError: an argument that the architecture does not take.

        """
        hidden, trace = self._call(
            {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
                **others,
            },
            {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states},
        )
        pooled = self.pooled(hidden)
        if pooled is None:
            return self._output("encoder", {"last_hidden_state": hidden}, trace, return_dict)
        values = {"last_hidden_state": hidden, "pooler_output": pooled}
        return self._output("pooled", values, trace, return_dict)


def classification_loss(model: Any, logits: Any, labels: Any) -> Any:
    """The loss that ``config.problem_type`` names; the labels' dtype decides where it is None.

    As in transformers the decision is written into the config.
    """
    kit, config = model.nn, model.config
    if hasattr(labels, "to"):  # a model in parts may end on another device than it began
        labels = labels.to(logits.device)
    if config.problem_type is None:
        if hasattr(model, "unnamed_loss") and config.num_labels > 1:  # DeBERTa's, which names none
            return model.unnamed_loss(logits, labels)
        config.infer_problem_type(_problem_type(config.num_labels, labels))
    if config.problem_type == "regression":
        if config.num_labels == 1:
            logits, labels = kit.reshape(logits, (-1,)), kit.reshape(labels, (-1,))
        return kit.mse(logits, kit.cast_like(labels, logits))
    if config.problem_type == "single_label_classification":
        rows = kit.reshape(logits, (-1, config.num_labels))
        return kit.cross_entropy(rows, kit.reshape(labels, (-1,)))
    return kit.bce_with_logits(logits, kit.cast_like(labels, logits))


def _problem_type(num_labels: int, labels: Any) -> str:
    if num_labels == 1:
        return "regression"
    whole = "int" in str(labels.dtype)  # every framework names them so
    return "single_label_classification" if whole else "multi_label_classification"


class TorchSequenceClassifier(TorchModel, SequenceClassifier):
    """A classifier on PyTorch."""


class TorchEncoder(TorchModel, EncoderModel):
    """A bare encoder on PyTorch."""


class NumpySequenceClassifier(NumpyModel, SequenceClassifier):
    """A classifier on numpy."""

    def forward(self, *args: Any, labels: Any = None, **keywords: Any) -> Any:
        """Classify; see ``SequenceClassifier.forward``."""
        import numpy as np  # first use

        labels = None if labels is None else np.asarray(labels)
        return super().forward(*args, labels=labels, **keywords)


class NumpyEncoder(NumpyModel, EncoderModel):
    """A bare encoder on numpy."""
