"""Text classifiers by name: one facade for each framework, the same checkpoint behind all."""

from __future__ import annotations

from hubloader.architectures import SEQUENCE_CLASSIFICATION
from hubloader.auto.facade import AutoFacade

__all__ = [
    "AutoModelForSequenceClassification",
    "NpAutoModelForSequenceClassification",
    "TFAutoModelForSequenceClassification",
]


class AutoModelForSequenceClassification(AutoFacade):
    """Loads text classifiers on PyTorch: real ``nn.Module`` objects."""

    __module__ = "hubloader"
    backend = "torch"
    task = SEQUENCE_CLASSIFICATION


class TFAutoModelForSequenceClassification(AutoFacade):
    """Loads text classifiers on TensorFlow: ``keras.Model`` objects."""

    __module__ = "hubloader"
    backend = "tf"
    task = SEQUENCE_CLASSIFICATION


class NpAutoModelForSequenceClassification(AutoFacade):
    """Loads text classifiers on numpy, on memory-mapped weights, without a framework."""

    __module__ = "hubloader"
    backend = "numpy"
    task = SEQUENCE_CLASSIFICATION
