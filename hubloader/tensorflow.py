"""The TensorFlow classes by transformers' names: ``from hubloader.tensorflow import TFBertModel``.

Each is a real ``keras.Model`` class, made at its first use from the architecture's one text;
importing this module alone does not import TensorFlow.
"""

from __future__ import annotations

from typing import Any

from hubloader.auto import class_names

_FACTORIES = frozenset({"TFAutoModel", "TFAutoModelForSequenceClassification"})


def __getattr__(name: str) -> Any:
    import hubloader

    if name in _FACTORIES:
        return getattr(hubloader, name)
    value = class_names.find(name) if name.startswith("TF") else None
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return value
