"""hubloader: a Hub-compatible model cache and loader.

A name goes in; the right tokenizer and classifier come out, on PyTorch, TensorFlow or numpy, online
and offline. Every public name is resolved at its first use: importing this package loads no
framework and no network library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubloader.auto.classifier import (
        AutoModelForSequenceClassification as AutoModelForSequenceClassification,
    )
    from hubloader.auto.classifier import (
        NpAutoModelForSequenceClassification as NpAutoModelForSequenceClassification,
    )
    from hubloader.auto.classifier import (
        TFAutoModelForSequenceClassification as TFAutoModelForSequenceClassification,
    )
    from hubloader.auto.config import AutoConfig as AutoConfig
    from hubloader.auto.downloads import hf_hub_download as hf_hub_download
    from hubloader.auto.downloads import scan_cache_dir as scan_cache_dir
    from hubloader.auto.downloads import snapshot_download as snapshot_download
    from hubloader.auto.downloads import try_to_load_from_cache as try_to_load_from_cache
    from hubloader.auto.encoder import AutoModel as AutoModel
    from hubloader.auto.encoder import NpAutoModel as NpAutoModel
    from hubloader.auto.encoder import TFAutoModel as TFAutoModel
    from hubloader.auto.head_models import AutoModelForMaskedLM as AutoModelForMaskedLM
    from hubloader.auto.head_models import AutoModelForMultipleChoice as AutoModelForMultipleChoice
    from hubloader.auto.head_models import (
        AutoModelForQuestionAnswering as AutoModelForQuestionAnswering,
    )
    from hubloader.auto.head_models import (
        AutoModelForTokenClassification as AutoModelForTokenClassification,
    )
    from hubloader.auto.head_models import NpAutoModelForMaskedLM as NpAutoModelForMaskedLM
    from hubloader.auto.head_models import (
        NpAutoModelForMultipleChoice as NpAutoModelForMultipleChoice,
    )
    from hubloader.auto.head_models import (
        NpAutoModelForQuestionAnswering as NpAutoModelForQuestionAnswering,
    )
    from hubloader.auto.head_models import (
        NpAutoModelForTokenClassification as NpAutoModelForTokenClassification,
    )
    from hubloader.auto.head_models import TFAutoModelForMaskedLM as TFAutoModelForMaskedLM
    from hubloader.auto.head_models import (
        TFAutoModelForMultipleChoice as TFAutoModelForMultipleChoice,
    )
    from hubloader.auto.head_models import (
        TFAutoModelForQuestionAnswering as TFAutoModelForQuestionAnswering,
    )
    from hubloader.auto.head_models import (
        TFAutoModelForTokenClassification as TFAutoModelForTokenClassification,
    )
    from hubloader.auto.locks import lock as lock
    from hubloader.auto.locks import sync as sync
    from hubloader.auto.pipeline import pipeline as pipeline
    from hubloader.auto.prefetch import plan as plan
    from hubloader.auto.prefetch import prefetch as prefetch
    from hubloader.auto.tokenizer import AutoTokenizer as AutoTokenizer
    from hubloader.auto.verifying import verify as verify

__version__ = "0.1.0"

# Where each public name lives; resolved at its first use (PEP 562).
_HOMES = {
    "AutoConfig": "auto.config",
    "AutoModel": "auto.encoder",
    "AutoModelForMaskedLM": "auto.head_models",
    "AutoModelForMultipleChoice": "auto.head_models",
    "AutoModelForQuestionAnswering": "auto.head_models",
    "AutoModelForSequenceClassification": "auto.classifier",
    "AutoModelForTokenClassification": "auto.head_models",
    "AutoTokenizer": "auto.tokenizer",
    "NpAutoModel": "auto.encoder",
    "NpAutoModelForMaskedLM": "auto.head_models",
    "NpAutoModelForMultipleChoice": "auto.head_models",
    "NpAutoModelForQuestionAnswering": "auto.head_models",
    "NpAutoModelForSequenceClassification": "auto.classifier",
    "NpAutoModelForTokenClassification": "auto.head_models",
    "TFAutoModel": "auto.encoder",
    "TFAutoModelForMaskedLM": "auto.head_models",
    "TFAutoModelForMultipleChoice": "auto.head_models",
    "TFAutoModelForQuestionAnswering": "auto.head_models",
    "TFAutoModelForSequenceClassification": "auto.classifier",
    "TFAutoModelForTokenClassification": "auto.head_models",
    "hf_hub_download": "auto.downloads",
    "lock": "auto.locks",
    "pipeline": "auto.pipeline",
    "plan": "auto.prefetch",
    "prefetch": "auto.prefetch",
    "scan_cache_dir": "auto.downloads",
    "snapshot_download": "auto.downloads",
    "sync": "auto.locks",
    "try_to_load_from_cache": "auto.downloads",
    "verify": "auto.verifying",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list, not two that drift


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is not None:
        value = getattr(import_module(f"hubloader.{home}"), name)
    else:  # transformers' class names: BertConfig, BertTokenizer, BertForSequenceClassification
        named = name[:1].isupper()
        value = import_module("hubloader.auto.class_names").find(name) if named else None
        if value is None:
            raise AttributeError(f"module 'hubloader' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__", "errors"]
