"""transformers' class names, each found at its first use: BertConfig, TFBertModel, BertTokenizer.

No list is kept: a name is taken apart into a framework's prefix, an architecture's and a suffix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.architectures import find as find_architecture
from hubloader.architectures import supported

if TYPE_CHECKING:
    from hubloader.auto.select import Backend

__all__ = ["find"]

_BACKENDS: tuple[tuple[str, Backend], ...] = (("TF", "tf"), ("Np", "numpy"), ("", "torch"))


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
        tasks = {called: task for task, called in architecture.class_names.items()}
        for prefix, backend in _BACKENDS:
            task = tasks.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
            if task is not None:
                from hubloader.auto.loading import model_class

                return model_class(architecture, task, backend)
    return None
