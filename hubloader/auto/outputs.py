"""What a model's call returns: one object that reads as attributes, as a mapping and as a tuple.

``out.logits``, ``out["logits"]`` and ``out[0]`` are the same thing. Fields that are None are
attributes only: the mapping and the tuple leave them out, as in transformers, so that ``out[0]`` is
the logits without labels and the loss with them.

Source: transformers 5.23 ``utils/generic.py`` (``ModelOutput``), ``modeling_outputs.py``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "OVERLOOKING",
    "REMEMBERING",
    "BaseModelOutput",
    "BaseModelOutputWithPooling",
    "BeamQuestionAnsweringOutput",
    "MaskedLMOutput",
    "ModelOutput",
    "MultipleChoiceModelOutput",
    "QuestionAnsweringModelOutput",
    "Seq2SeqLMOutput",
    "Seq2SeqModelOutput",
    "Seq2SeqQuestionAnsweringModelOutput",
    "Seq2SeqSequenceClassifierOutput",
    "SequenceClassifierOutput",
    "TFBaseModelOutput",
    "TFBaseModelOutputWithPooling",
    "TFBeamQuestionAnsweringOutput",
    "TFMaskedLMOutput",
    "TFMultipleChoiceModelOutput",
    "TFQuestionAnsweringModelOutput",
    "TFSeq2SeqLMOutput",
    "TFSeq2SeqModelOutput",
    "TFSeq2SeqQuestionAnsweringModelOutput",
    "TFSeq2SeqSequenceClassifierOutput",
    "TFSequenceClassifierOutput",
    "TFTokenClassifierOutput",
    "TokenClassifierOutput",
]


class ModelOutput(OrderedDict[str, Any]):
    """Base of all outputs; a subclass names its ``fields`` in order.

    A dictionary whose items are the fields that are not None. Frameworks walk it as such: torch's
    data parallel, ``torch.compile``, ``tf.nest``.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, items: Iterable[tuple[str, Any]] = (), /, **values: Any) -> None:
        super().__init__()
        given = {**dict(items), **values}
        unknown = [name for name in given if name not in self.fields]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {unknown[0]!r}")
        for name in self.fields:
            value = given.get(name)
            if value is not None:
                super().__setitem__(name, value)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def __getattr__(self, name: str) -> Any:
        if name in type(self).fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).fields:
            super().__setattr__(name, value)
        elif value is None:
            self.pop(name, None)
        else:
            super().__setitem__(name, value)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in type(self).fields:
            raise KeyError(f"{type(self).__name__} has no field {key!r}")
        super().__setitem__(key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self.items()),)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={self.get(name)!r}" for name in self.fields)
        return f"{type(self).__name__}({inside})"

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order."""
        return tuple(self[name] for name in self.keys())

    def of_texts(self) -> dict[str, Any]:
        """The fields that are not None and have a row for each text, so that batches can be joined.

        What a model remembers for a later call has not.
        """
        return {name: value for name, value in self.items() if name != "mems"}


class BaseModelOutput(ModelOutput):
    """An encoder's output.

    ``last_hidden_state`` is (B, T, hidden_size); ``hidden_states`` the embeddings' output and every
    layer's; ``attentions`` every layer's probabilities (B, H, T, T).
    """

    fields = ("last_hidden_state", "hidden_states", "attentions")


class BaseModelOutputWithPooling(ModelOutput):
    """An encoder's output with ``pooler_output`` (B, hidden_size) beside it."""

    fields = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")


class SequenceClassifierOutput(ModelOutput):
    """A classifier's output: ``logits`` (B, num_labels), ``loss`` when labels were given."""

    fields = ("loss", "logits", "hidden_states", "attentions")


class TokenClassifierOutput(SequenceClassifierOutput):
    """``logits`` of every token, (B, T, num_labels)."""


class MaskedLMOutput(SequenceClassifierOutput):
    """``logits`` of every word at every place, (B, T, vocab_size)."""


class MultipleChoiceModelOutput(SequenceClassifierOutput):
    """``logits`` of the choices, (B, choices)."""


class QuestionAnsweringModelOutput(ModelOutput):
    """``start_logits`` and ``end_logits`` of every token, (B, T) each."""

    fields = ("loss", "start_logits", "end_logits", "hidden_states", "attentions")


class BeamQuestionAnsweringOutput(ModelOutput):
    """The ``start_n_top`` likeliest beginnings, and for each the ``end_n_top`` likeliest ends.

    Probabilities, though they are called otherwise, and tokens: (B, starts) of beginnings and
    (B, ends * starts) of ends. ``cls_logits`` (B,) tells whether there is no answer. With labels
    there is a ``loss`` alone.
    """

    fields = (
        "loss",
        "start_top_log_probs",
        "start_top_index",
        "end_top_log_probs",
        "end_top_index",
        "cls_logits",
        "hidden_states",
        "attentions",
    )


class Seq2SeqModelOutput(ModelOutput):
    """What an encoder and a decoder made: ``last_hidden_state`` is the decoder's, (B, T, width)."""

    fields = (
        "last_hidden_state",
        "decoder_hidden_states",
        "decoder_attentions",
        "cross_attentions",
        "encoder_last_hidden_state",
        "encoder_hidden_states",
        "encoder_attentions",
    )


class Seq2SeqSequenceClassifierOutput(ModelOutput):
    """A classifier's output, of an encoder and a decoder."""

    fields = ("loss", "logits", *Seq2SeqModelOutput.fields[1:])


class Seq2SeqLMOutput(Seq2SeqSequenceClassifierOutput):
    """``logits`` of every word at every place of the decoder's text, (B, T, vocab_size)."""


class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """``start_logits`` and ``end_logits`` of every token of the decoder's text, (B, T) each."""

    fields = ("loss", "start_logits", "end_logits", *Seq2SeqModelOutput.fields[1:])


class TFBaseModelOutput(BaseModelOutput):
    """The same in TensorFlow, by transformers' name."""


class TFBaseModelOutputWithPooling(BaseModelOutputWithPooling):
    """The same in TensorFlow, by transformers' name."""


class TFSeq2SeqLMOutput(Seq2SeqLMOutput):
    """The same in TensorFlow, by transformers' name."""


class TFSeq2SeqQuestionAnsweringModelOutput(Seq2SeqQuestionAnsweringModelOutput):
    """The same in TensorFlow, by transformers' name."""


class TFSeq2SeqModelOutput(Seq2SeqModelOutput):
    """The same in TensorFlow, by transformers' name."""


class TFSeq2SeqSequenceClassifierOutput(Seq2SeqSequenceClassifierOutput):
    """The same in TensorFlow, by transformers' name."""


class TFSequenceClassifierOutput(SequenceClassifierOutput):
    """The same in TensorFlow, by transformers' name."""


class TFTokenClassifierOutput(TokenClassifierOutput):
    """The same in TensorFlow, by transformers' name."""


class TFMaskedLMOutput(MaskedLMOutput):
    """The same in TensorFlow, by transformers' name."""


class TFMultipleChoiceModelOutput(MultipleChoiceModelOutput):
    """The same in TensorFlow, by transformers' name."""


class TFQuestionAnsweringModelOutput(QuestionAnsweringModelOutput):
    """The same in TensorFlow, by transformers' name."""


class TFBeamQuestionAnsweringOutput(BeamQuestionAnsweringOutput):
    """The same in TensorFlow."""


def _remembering(of: type[ModelOutput], name: str) -> type[ModelOutput]:
    """The same output with ``mems`` in it, by transformers' name."""
    at = of.fields.index("hidden_states")
    fields = (*of.fields[:at], "mems", *of.fields[at:])
    return _made(of, name, fields, "``mems``: what each layer remembers, (M, B, width)")


def _overlooking(of: type[ModelOutput], name: str) -> type[ModelOutput]:
    """The same output with ``global_attentions`` in it, by transformers' name."""
    fields = (*of.fields, "global_attentions")
    return _made(
        of, name, fields, "``global_attentions``: what global tokens see, (B, H, T, globals)"
    )


def _made(
    of: type[ModelOutput], name: str, fields: tuple[str, ...], what: str
) -> type[ModelOutput]:
    body = {
        "fields": fields,
        "__module__": __name__,
        "__doc__": f"``{of.__name__}``, and {what}.",
    }
    made = type(name, (of,), body)
    globals()[name] = made  # where pickles find it
    return made


REMEMBERING: Mapping[type[ModelOutput], type[ModelOutput]] = {
    of: _remembering(of, f"{framework}XLNet{suffix}")
    for framework, outputs in (
        (
            "",
            {
                "ModelOutput": BaseModelOutput,
                "ForSequenceClassificationOutput": SequenceClassifierOutput,
                "ForTokenClassificationOutput": TokenClassifierOutput,
                "ForMultipleChoiceOutput": MultipleChoiceModelOutput,
                "ForQuestionAnsweringSimpleOutput": QuestionAnsweringModelOutput,
                "ForQuestionAnsweringOutput": BeamQuestionAnsweringOutput,
            },
        ),
        (
            "TF",
            {
                "ModelOutput": TFBaseModelOutput,
                "ForSequenceClassificationOutput": TFSequenceClassifierOutput,
                "ForTokenClassificationOutput": TFTokenClassifierOutput,
                "ForMultipleChoiceOutput": TFMultipleChoiceModelOutput,
                "ForQuestionAnsweringSimpleOutput": TFQuestionAnsweringModelOutput,
                "ForQuestionAnsweringOutput": TFBeamQuestionAnsweringOutput,
            },
        ),
    )
    for suffix, of in outputs.items()
}
"""An output -> the same, of a model that remembers."""

OVERLOOKING: Mapping[type[ModelOutput], type[ModelOutput]] = {
    of: _overlooking(of, f"{framework}Longformer{of.__name__.removeprefix(framework)}")
    for framework, outputs in (
        (
            "",
            (
                BaseModelOutput,
                BaseModelOutputWithPooling,
                SequenceClassifierOutput,
                TokenClassifierOutput,
                MaskedLMOutput,
                MultipleChoiceModelOutput,
                QuestionAnsweringModelOutput,
            ),
        ),
        (
            "TF",
            (
                TFBaseModelOutput,
                TFBaseModelOutputWithPooling,
                TFSequenceClassifierOutput,
                TFTokenClassifierOutput,
                TFMaskedLMOutput,
                TFMultipleChoiceModelOutput,
                TFQuestionAnsweringModelOutput,
            ),
        ),
    )
    for of in outputs
}
"""An output -> the same, of a model with global attention."""
