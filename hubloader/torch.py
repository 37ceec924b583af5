"""The PyTorch classes by transformers' names: ``from hubloader.torch import BertModel``.

Each is a real ``torch.nn.Module`` class, made at its first use from the architecture's one text;
importing this module alone does not import torch.
"""

from __future__ import annotations

from typing import Any

from hubloader.auto import class_names

_FACTORIES = frozenset({"AutoModel", "AutoModelForSequenceClassification"})


def __getattr__(name: str) -> Any:
    import hubloader

    if name in _FACTORIES:
        return getattr(hubloader, name)
    value = None if name.startswith(("TF", "Np", "_")) else class_names.find(name)
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return value
