"""Any layer of the TensorFlow kit as a ``keras.Model``: ``fit``, ``save_weights``, callbacks.

Keras keeps the variables (it owns what it trains), the layer computes with them: each of the
layer's variables is replaced by the Keras weight made from it, one at a time, so that no second
copy of the model is ever in memory.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

__all__ = ["KerasLayer", "keras_model"]


class KerasLayer(keras.Model):  # type: ignore[misc]  # keras has no types
    """A Keras model around one layer.

    It is called as transformers' TensorFlow models are: ``model(batch)`` with any mapping,
    ``model(input_ids, attention_mask=...)``, ``model(**batch)``. What is None is left out.

    Args:
        module: a loaded layer of the TensorFlow kit.

    """

    main_input = "input_ids"

    def __init__(self, module: Any, **options: Any) -> None:
        super().__init__(**options)
        self.module = module
        seen = set()
        for slot in module.slots():
            place = (id(slot.owner), slot.attribute)
            if place in seen:  # layers share it
                continue
            seen.add(place)
            value = getattr(slot.owner, slot.attribute)
            weight = self.add_weight(
                shape=slot.shape,
                dtype=value.dtype.name,
                name=slot.name.replace(".", "_"),
                initializer=lambda _shape, dtype=None, value=value: tf.cast(value, dtype),
                trainable=slot.trained,
            )
            setattr(slot.owner, slot.attribute, weight.value)
        self.built = True

    def __call__(self, inputs: Any = None, *, training: bool | None = None, **named: Any) -> Any:
        """Compute on a mapping, or on the main input and others by name."""
        if isinstance(inputs, Mapping):
            named = {**inputs, **named}
        elif inputs is not None:
            named[self.main_input] = inputs
        given = {name: value for name, value in named.items() if value is not None}
        return super().__call__(given, training=training)

    @staticmethod
    def spec(shape: tuple[int | None, ...], name: str) -> Any:
        """What a graph takes under a name: whole numbers, of any size where None."""
        return tf.TensorSpec(shape, tf.int32, name=name)

    @staticmethod
    def serving(model: Any, spec: Mapping[str, Any]) -> Any:
        """Trace a model for a SavedModel: named inputs, and its outputs by name."""

        @tf.function(input_signature=[dict(spec)])  # type: ignore[untyped-decorator]  # no types
        def serve(inputs: Any) -> Any:
            found = model(inputs, training=False)
            return found.of_texts() if hasattr(found, "of_texts") else dict(found)

        return serve.get_concrete_function()

    @staticmethod
    def register(made: type[Any]) -> type[Any]:
        """Let Keras find a class of models by the name that a ``.keras`` file holds."""
        known: Any = keras.saving.register_keras_serializable("hubloader", made.__name__)(made)
        return known  # type: ignore[no-any-return]  # keras has no types

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        """Compute on a mapping; Keras' own entry."""
        if not training:
            return self.forward(**inputs)
        self.module.train()
        try:
            return self.forward(**inputs)
        finally:
            self.module.train(False)

    def forward(self, **inputs: Any) -> Any:
        """Compute on named inputs; a mixin may put its own before this one."""
        return self.module(**inputs)


def keras_model(module: Any, *, mixin: type | None = None, name: str | None = None) -> KerasLayer:
    """Wrap a loaded layer of the TensorFlow kit as a Keras model.

    Args:
        module: the layer; its variables are replaced by the model's.
        mixin: a class put before ``KerasLayer`` in the method order; its
            ``forward(self, **inputs)`` may call ``super().forward``.
        name: the class's name, ``"TFBertForSequenceClassification"``; by default the layer's.

    """
    bases = (KerasLayer,) if mixin is None else (mixin, KerasLayer)
    made: type[KerasLayer] = types.new_class(name or type(module).__name__, bases)
    return made(module)
