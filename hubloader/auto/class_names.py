"""transformers' class names, each found at its first use: BertConfig, TFBertModel, BertTokenizer.

No list is kept: a name is taken apart into a framework's prefix, an architecture's and a suffix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.architectures import ENCODER, SEQUENCE_CLASSIFICATION, supported
from hubloader.architectures import find as find_architecture

if TYPE_CHECKING:
    from hubloader.auto.select import Backend

__all__ = ["find"]

_BACKENDS: tuple[tuple[str, Backend], ...] = (("TF", "tf"), ("Np", "numpy"), ("", "torch"))
_TASKS = {"ForSequenceClassification": SEQUENCE_CLASSIFICATION, "Model": ENCODER}


def find(name: str) -> Any:
    """Return the class that transformers calls ``name``; None where hubloader has none."""
    if "Tokenizer" in name:
        from hubloader.auto.tokenizer import tokenizer_class

        return tokenizer_class(name)
    return _config_or_model(name)


def _config_or_model(name: str) -> Any:
    for model_type in supported():
        architecture = find_architecture(model_type)
        if name == architecture.config_name:
            from hubloader.auto.config import config_class

            return config_class(architecture)
        for prefix, backend in _BACKENDS:
            task = _TASKS.get(name.removeprefix(f"{prefix}{architecture.class_prefix}"))
            fits = name.startswith(f"{prefix}{architecture.class_prefix}")
            if fits and task is not None and task in architecture.tasks:
                from hubloader.auto.loading import model_class

                return model_class(architecture, task, backend)
    return None
