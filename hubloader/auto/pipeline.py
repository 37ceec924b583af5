"""``pipeline(task)``: which pipeline, which facade loads its model, and whose the keywords are.

Source: transformers 5.23 ``pipelines/__init__.py``.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hubloader.auto.pipeline_base import framework_of
from hubloader.auto.source import HubArguments
from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import BackendUnavailable, UnsupportedTask

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["DEFAULT_MODEL", "pipeline"]

DEFAULT_MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


@dataclass(frozen=True)
class _Task:
    """Where a task's pipeline is, and what loads its model; all in ``hubloader.auto``."""

    module: str
    pipeline: str
    facades: str
    ending: str  # of the facades' names


_TEXTS = _Task(
    "pipeline_texts", "TextClassificationPipeline", "classifier", "ForSequenceClassification"
)
_TOKENS = _Task(
    "pipeline_tokens", "TokenClassificationPipeline", "head_models", "ForTokenClassification"
)
_TASKS = {
    "text-classification": _TEXTS,
    "sentiment-analysis": _TEXTS,
    "token-classification": _TOKENS,
    "ner": _TOKENS,
    "question-answering": _Task(
        "pipeline_answers", "QuestionAnsweringPipeline", "head_models", "ForQuestionAnswering"
    ),
    "fill-mask": _Task("pipeline_words", "FillMaskPipeline", "head_models", "ForMaskedLM"),
    "feature-extraction": _Task("pipeline_words", "FeatureExtractionPipeline", "encoder", ""),
}
_FRAMEWORKS = {  # pipeline's word: the module it needs, what its facades' names begin with
    "pt": ("torch", ""),
    "tf": ("tensorflow", "TF"),
    "np": ("numpy", "Np"),
}
_KEYWORDS = (
    *("task", "model", "config", "tokenizer", "framework", "device", "device_map"),
    *("dtype", "torch_dtype", "model_kwargs", *(item.name for item in fields(HubArguments))),
)
# transformers' keywords that mean nothing here: there are no worker processes, no slow tokenizers,
# and text has no features to extract
_PASSED_OVER = frozenset({"num_workers", "use_fast", "feature_extractor", "image_processor"})


def pipeline(  # noqa: PLR0913  the arguments of transformers' function
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    *,
    framework: str | None = None,
    revision: str | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = "auto",
    token: str | bool | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Make a pipeline.

    Args:
        task: ``"text-classification"`` or ``"sentiment-analysis"``, which are the same and may be
            left out when a model is given; ``"token-classification"`` or ``"ner"``,
            ``"question-answering"``, ``"fill-mask"``, ``"feature-extraction"``.
        model: a name, a folder, or a loaded model; without it, of texts' classes, the quick tour's.
        config: a config to load the model with.
        tokenizer: a name, a folder, or a loaded tokenizer; by default the model's.
        framework: ``"pt"``, ``"tf"`` or ``"np"``; by default the first that is installed.
        revision: branch, tag or commit.
        device: where to compute (torch): ``"cuda"``, ``0``, ``-1`` for the CPU.
        device_map: the same as for a model's ``from_pretrained``.
        dtype: of the parameters.
        token: a Hub token, True, or False.
        model_kwargs: more keywords for the model's ``from_pretrained``.
        options: defaults of each call: of texts' classes ``top_k``, ``function_to_apply``,
            ``batch_size``, and the tokenizer's own (``truncation``, ``max_length`` …);
            ``torch_dtype``, and the Hub's keywords, go to where they belong.

    Raises:
        UnsupportedTask: another task.
        BackendUnavailable: the framework is not installed.

    """
    chosen = _chosen(task, model)
    name = DEFAULT_MODEL if model is None else model
    options = {key: value for key, value in options.items() if key not in _PASSED_OVER}
    hub, options = _split(options, {"revision": revision, "token": token})
    dtype = options.pop("torch_dtype", dtype)
    made = getattr(importlib.import_module(f"hubloader.auto.{chosen.module}"), chosen.pipeline)
    made.check_options(options, _KEYWORDS)
    loading = {
        "config": config,
        "dtype": dtype,
        "device_map": device_map,
        "device": _torch_device(device),
        **(model_kwargs or {}),
    }
    if _is_name(name):
        loaded = _load(name, framework, chosen, {**hub, **loading})
    else:
        loaded = _placed(name, framework, _torch_device(device))
    return made(loaded, _tokenizer(tokenizer, name, loaded, hub), **options)


def _chosen(task: str | None, model: Any) -> _Task:
    if task is None and model is None:
        raise UnsupportedTask(
            "pipeline() needs a task or a model", hint="give 'text-classification'"
        )
    if task is not None and task not in _TASKS:
        raise UnsupportedTask(
            f"there is no pipeline for the task {task!r} here",
            hint=f"there is one for {', '.join(map(repr, _TASKS))}",
        )
    chosen = _TEXTS if task is None else _TASKS[task]
    if model is None and chosen is not _TEXTS:
        raise UnsupportedTask(
            f"a pipeline for the task {task!r} needs a model", hint="give model= a name or a folder"
        )
    return chosen


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


def _tokenizer(given: Any, model: Any, loaded: Any, hub: Mapping[str, Any]) -> Any:
    """The tokenizer that was given, loaded if it is a name; else the one of the model's name."""
    chosen = given
    if chosen is None:
        chosen = model if _is_name(model) else loaded.name_or_path or None
    if chosen is None:
        raise TypeError("pipeline() needs a tokenizer beside a model that was not loaded by name")
    return AutoTokenizer.from_pretrained(chosen, **hub) if _is_name(chosen) else chosen


def _split(
    options: Mapping[str, Any], named: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Hub's keywords, and the rest."""
    from hubloader.auto.config import split_names

    names = frozenset(split_names())
    hub = {key: value for key, value in options.items() if key in names}
    hub.update({key: value for key, value in named.items() if value is not None})
    return hub, {key: value for key, value in options.items() if key not in names}


def _torch_device(device: Any) -> Any:
    if isinstance(device, int):
        return "cpu" if device < 0 else f"cuda:{device}"
    return device


def _load(
    name: str | os.PathLike[str], framework: str | None, task: _Task, keywords: dict[str, Any]
) -> Any:
    word = framework or _installed()
    if word not in _FRAMEWORKS:
        raise ValueError(f"framework={framework!r} is none of 'pt', 'tf' and 'np'")
    module = importlib.import_module(f"hubloader.auto.{task.facades}")
    facade = getattr(module, f"{_FRAMEWORKS[word][1]}AutoModel{task.ending}")
    if word != "pt":
        keywords = {key: value for key, value in keywords.items() if value is not None}
    return facade.from_pretrained(name, **keywords)


def _installed() -> str:
    for word, (module, _) in _FRAMEWORKS.items():
        if importlib.util.find_spec(module) is not None:
            return word
    raise BackendUnavailable("numpy is not installed", hint="install hubloader again")


def _placed(model: Any, framework: str | None, device: Any) -> Any:
    word = framework_of(model)
    if framework not in {None, word}:
        raise ValueError(f"framework={framework!r}, and the model runs on {word!r}")
    return model.to(device) if word == "pt" and device is not None else model
