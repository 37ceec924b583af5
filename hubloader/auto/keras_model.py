"""A pretrained model on TensorFlow: a ``keras.Model`` around the layer that computes.

Two objects: the layer, bound to the TensorFlow kit with the same mixins as on the other frameworks
(it makes outputs and losses), and the Keras model around it, which owns the variables and is what
users hold. Keras trains on ``logits``: outputs are unwrapped where ``fit`` looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.config import config_class
from hubloader.auto.outputs import (
    ModelOutput,
    TFBaseModelOutput,
    TFBaseModelOutputWithPooling,
    TFSeq2SeqModelOutput,
    TFSeq2SeqSequenceClassifierOutput,
    TFSequenceClassifierOutput,
)
from hubloader.auto.pretrained import (
    OPTIONS,
    Loads,
    PretrainedModel,
    inputs_by_place,
    unknown_argument,
)
from hubloader.auto.saving import save_model
from hubloader.auto.tasks import EncoderModel, SequenceClassifier

if TYPE_CHECKING:
    import os

    from hubloader.architectures import Architecture
    from hubloader.auto.config import PretrainedConfig
    from hubloader.auto.select import Backend

__all__ = ["KerasPretrained", "TFEncoderLayer", "TFLayer", "TFSequenceClassifierLayer"]


class TFLayer(PretrainedModel):
    """What the layer inside takes besides tensors: lists."""

    backend: ClassVar[Backend] = "tf"

    def _prepared(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: _arrays(value) for name, value in inputs.items()}


class TFSequenceClassifierLayer(TFLayer, SequenceClassifier):
    """A classifier's layer on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "classifier": TFSequenceClassifierOutput,
        "seq2seq-classifier": TFSeq2SeqSequenceClassifierOutput,
    }

    def forward(self, *args: Any, labels: Any = None, **keywords: Any) -> Any:
        """Classify; see ``SequenceClassifier.forward``."""
        return super().forward(*args, labels=_arrays(labels), **keywords)


class TFEncoderLayer(TFLayer, EncoderModel):
    """A bare encoder's layer on TensorFlow."""

    output_types: ClassVar[Mapping[str, type[ModelOutput]]] = {
        "encoder": TFBaseModelOutput,
        "pooled": TFBaseModelOutputWithPooling,
        "seq2seq-encoder": TFSeq2SeqModelOutput,
    }


def _arrays(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    import numpy as np  # first use

    try:
        return np.asarray(value)
    except NotImplementedError:  # tensors of a graph that is being made: memory, layer by layer
        return value


class KerasPretrained:
    """What users' TensorFlow models have besides Keras' own: config, loading, saving, outputs.

    Args:
        module: a loaded layer; or a ``PretrainedConfig``, for random weights.

    """

    if TYPE_CHECKING:
        module: Any

    architecture: ClassVar[Architecture]
    task: ClassVar[str]
    adapter: ClassVar[type[Any]]
    loads: ClassVar[Loads]
    backend: ClassVar[Backend] = "tf"

    def __init__(self, module: Any) -> None:
        if hasattr(module, "typed"):
            module = self.loads.layer(module, self.task, "tf", {})
        super().__init__(module)  # type: ignore[call-arg]  # KerasLayer's

    @property
    def config(self) -> PretrainedConfig:
        """The model's config."""
        config: PretrainedConfig = self.module.config
        return config

    @property
    def nn(self) -> Any:
        """The kit that the layer runs on."""
        return self.module.nn

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **keywords: Any) -> Any:
        """Load this class from a Hub name or a folder."""
        model_type = cls.architecture.model_type
        return cls.loads.model(name, cls.task, "tf", keywords, model_type=model_type)

    @property
    def base_model_prefix(self) -> str:
        """The attribute under which a task's model keeps its encoder."""
        return self.architecture.prefix_of(self.task)

    @property
    def name_or_path(self) -> str:
        """What the model was loaded by."""
        return self.config.name_or_path

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers the parameters are."""
        if not only_trainable:
            return int(self.module.num_parameters())
        weights = map(_value, self.trainable_weights)  # type: ignore[attr-defined]  # Keras'
        return sum(int(weight.shape.num_elements() or 0) for weight in weights)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Write config.json and model.safetensors, with PyTorch's names, into a folder."""
        save_model(self.module, save_directory, options)

    # what Keras saves

    def get_config(self) -> dict[str, Any]:
        """What a ``.keras`` file holds beside the weights: the config."""
        return {"config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: Any, **keywords: Any) -> Any:
        """Make a model with random weights, of a config or of what ``get_config`` returned."""
        if isinstance(config, dict):
            config = config_class(cls.architecture).from_dict(config["config"])
        return cls.loads.new(config, cls.task, "tf", keywords)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",  # noqa: A002  Keras' own name
        verbose: bool | None = None,
        input_signature: Any = None,
        **keywords: Any,
    ) -> None:
        """Write a SavedModel with one endpoint, ``serve``, for batches of any size."""
        base: Any = super()
        signature = [self._get_save_spec()] if input_signature is None else input_signature
        self._serves = True
        try:
            base.export(filepath, format, verbose, signature, **keywords)
        finally:
            self._serves = False

    _serves: bool = False  # an endpoint's outputs are tensors, with a row for each text

    def _get_save_spec(self, dynamic_batch: bool = True) -> dict[str, Any]:
        """What a saved model takes, by name: (B, T) int32 each, as the tokenizer gives them."""
        rows = None if dynamic_batch else 1
        takes = ["input_ids", "attention_mask"]
        types = getattr(self.config, "type_vocab_size", 0)  # GPT-2's are words: none to ask for
        if "token_type_ids" in self.module.accepts and types > 1:
            takes.append("token_type_ids")
        return {name: self.adapter.spec((rows, None), name) for name in takes}

    @property
    def _default_save_signature(self) -> Any:
        """What ``tf.saved_model.save`` serves where no signatures are given."""
        return self.adapter.serving(self, self._get_save_spec())

    # what Keras calls

    def __call__(
        self, inputs: Any = None, *more: Any, training: bool | None = None, **named: Any
    ) -> Any:
        """Compute on a mapping (a BatchEncoding too), or on input_ids and others."""
        if isinstance(inputs, Mapping):
            named = {**inputs, **named}
        elif inputs is not None:
            names, model = self.module.positional, type(self).__name__
            named = {**inputs_by_place(model, names, (inputs, *more)), **named}
        named = {
            **named,
            **(named.pop("switches", None) or {}),
        }  # Keras', of a larger model of its own
        # before Keras, which wraps what is raised inside it
        self._refuse_unknown(named)
        given = {name: value for name, value in named.items() if value is not None}
        # Keras takes tensors as inputs and everything else by keyword
        options = {name: given.pop(name) for name in OPTIONS & given.keys()}
        switches = {name: value for name, value in given.items() if isinstance(value, bool)}
        if switches:
            options["switches"] = {name: given.pop(name) for name in switches}
        arrays = {name: _arrays(value) for name, value in given.items()}
        base: Any = super(self.adapter, self)
        found = base.__call__(arrays, training=training, **options)
        return found.of_texts() if self._serves else found

    def _refuse_unknown(self, named: Mapping[str, Any]) -> None:
        takes = self.module.accepts | OPTIONS | frozenset(self.module.targets)
        if named.get("token_type_ids") is None:
            takes |= {"token_type_ids"}
        unknown = named.keys() - takes
        if unknown:
            raise unknown_argument(type(self).__name__, min(unknown), self.module.accepts)

    def call(
        self,
        inputs: Mapping[str, Any],
        training: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        switches: Mapping[str, bool] | None = None,
    ) -> Any:
        """Compute on a mapping; Keras' own entry. ``switches`` are a family's own options."""
        self.module.train(bool(training))
        return self.module(
            **inputs,
            **(switches or {}),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Keras' loss on the logits; the model's own where the batch held the labels."""
        if isinstance(y_pred, ModelOutput) and y is None and y_pred.get("loss") is not None:
            return y_pred["loss"]
        base: Any = super()
        return base.compute_loss(x, y, _logits(y_pred), sample_weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Keras' metrics on the logits; of a batch that held its labels, the loss alone."""
        if y is None:  # metrics of an earlier compile would be fed with nothing
            return self.get_metrics_result()  # type: ignore[attr-defined]  # Keras'
        base: Any = super()
        return base.compute_metrics(x, y, _logits(y_pred), sample_weight)

    def fit(self, x: Any = None, *args: Any, **keywords: Any) -> Any:
        """Keras' own, on any mapping: a BatchEncoding too."""
        base: Any = super()
        return base.fit(_plain(x), *args, **keywords)

    def evaluate(self, x: Any = None, *args: Any, **keywords: Any) -> Any:
        """Keras' own, on any mapping: a BatchEncoding too."""
        base: Any = super()
        return base.evaluate(_plain(x), *args, **keywords)

    def predict(self, x: Any, *args: Any, **keywords: Any) -> Any:
        """Keras' own, on any mapping: a BatchEncoding too."""
        base: Any = super()
        return base.predict(_plain(x), *args, **keywords)

    def predict_step(self, data: Any) -> Any:
        """One batch of ``predict``: a plain dictionary, which Keras can join with the next."""
        base: Any = super()
        found = base.predict_step(data)
        return found.of_texts() if isinstance(found, ModelOutput) else found


def _plain(inputs: Any) -> Any:
    """A mapping as the dictionary of arrays that Keras takes; anything else as it is."""
    if not isinstance(inputs, Mapping):
        return inputs
    return {name: _arrays(value) for name, value in inputs.items()}


def _logits(output: Any) -> Any:
    if not isinstance(output, ModelOutput):
        return output
    if "logits" in output:
        return output["logits"]
    both = {name: output[name] for name in ("start_logits", "end_logits") if name in output}
    return both or output[0]


def _value(weight: Any) -> Any:
    return weight.value
