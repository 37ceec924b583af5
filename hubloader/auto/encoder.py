"""Encoders without a head, by name: hidden states instead of labels."""

from __future__ import annotations

from hubloader.architectures import ENCODER
from hubloader.auto.facade import AutoFacade

__all__ = [
    "AutoModel",
    "NpAutoModel",
    "TFAutoModel",
]


class AutoModel(AutoFacade):
    """Loads bare encoders on PyTorch: real ``nn.Module`` objects."""

    __module__ = "hubloader"
    backend = "torch"
    task = ENCODER


class TFAutoModel(AutoFacade):
    """Loads bare encoders on TensorFlow: ``keras.Model`` objects."""

    __module__ = "hubloader"
    backend = "tf"
    task = ENCODER


class NpAutoModel(AutoFacade):
    """Loads bare encoders on numpy, on memory-mapped weights, without a framework."""

    __module__ = "hubloader"
    backend = "numpy"
    task = ENCODER
