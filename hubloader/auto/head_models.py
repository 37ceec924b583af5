"""Models with other heads by name: tokens, answers, masked words, choices, for each framework."""

from __future__ import annotations

from hubloader.architectures import (
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    TOKEN_CLASSIFICATION,
)
from hubloader.auto.facade import AutoFacade

__all__ = [
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForQuestionAnswering",
    "AutoModelForTokenClassification",
    "NpAutoModelForMaskedLM",
    "NpAutoModelForMultipleChoice",
    "NpAutoModelForQuestionAnswering",
    "NpAutoModelForTokenClassification",
    "TFAutoModelForMaskedLM",
    "TFAutoModelForMultipleChoice",
    "TFAutoModelForQuestionAnswering",
    "TFAutoModelForTokenClassification",
]


class AutoModelForTokenClassification(AutoFacade):
    """Loads token classifiers on PyTorch: real ``nn.Module`` objects."""

    __module__ = "hubloader"
    backend = "torch"
    task = TOKEN_CLASSIFICATION


class TFAutoModelForTokenClassification(AutoFacade):
    """Loads token classifiers on TensorFlow: ``keras.Model`` objects."""

    __module__ = "hubloader"
    backend = "tf"
    task = TOKEN_CLASSIFICATION


class NpAutoModelForTokenClassification(AutoFacade):
    """Loads token classifiers on numpy, on memory-mapped weights, without a framework."""

    __module__ = "hubloader"
    backend = "numpy"
    task = TOKEN_CLASSIFICATION


class AutoModelForQuestionAnswering(AutoFacade):
    """Loads models that find answers in a text on PyTorch: real ``nn.Module`` objects."""

    __module__ = "hubloader"
    backend = "torch"
    task = QUESTION_ANSWERING


class TFAutoModelForQuestionAnswering(AutoFacade):
    """Loads models that find answers in a text on TensorFlow: ``keras.Model`` objects."""

    __module__ = "hubloader"
    backend = "tf"
    task = QUESTION_ANSWERING


class NpAutoModelForQuestionAnswering(AutoFacade):
    """Loads models that find answers in a text on numpy, on mapped weights, without a framework."""

    __module__ = "hubloader"
    backend = "numpy"
    task = QUESTION_ANSWERING


class AutoModelForMaskedLM(AutoFacade):
    """Loads models of masked words on PyTorch: real ``nn.Module`` objects."""

    __module__ = "hubloader"
    backend = "torch"
    task = MASKED_LM


class TFAutoModelForMaskedLM(AutoFacade):
    """Loads models of masked words on TensorFlow: ``keras.Model`` objects."""

    __module__ = "hubloader"
    backend = "tf"
    task = MASKED_LM


class NpAutoModelForMaskedLM(AutoFacade):
    """Loads models of masked words on numpy, on memory-mapped weights, without a framework."""

    __module__ = "hubloader"
    backend = "numpy"
    task = MASKED_LM


class AutoModelForMultipleChoice(AutoFacade):
    """Loads models that choose on PyTorch: real ``nn.Module`` objects."""

    __module__ = "hubloader"
    backend = "torch"
    task = MULTIPLE_CHOICE


class TFAutoModelForMultipleChoice(AutoFacade):
    """Loads models that choose on TensorFlow: ``keras.Model`` objects."""

    __module__ = "hubloader"
    backend = "tf"
    task = MULTIPLE_CHOICE


class NpAutoModelForMultipleChoice(AutoFacade):
    """Loads models that choose on numpy, on memory-mapped weights, without a framework."""

    __module__ = "hubloader"
    backend = "numpy"
    task = MULTIPLE_CHOICE
