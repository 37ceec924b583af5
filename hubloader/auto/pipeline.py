"""``pipeline(task)``, and the one for text-classification: text in, labels and scores out.

Texts are tokenized many at a time, ordered by length, so that a batch holds texts of nearly the
same length and little is computed on padding; answers come back in the order of the texts. A
generator is read a window at a time and answered as it goes. Where nothing is known to be padding,
as with many decoders, each text is computed by itself.

Source: transformers 5.23 ``pipelines/text_classification.py`` and ``pipelines/__init__.py`` for
what goes in and comes out; the batching is ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from hubloader.auto.classifier import (
    AutoModelForSequenceClassification,
    NpAutoModelForSequenceClassification,
    TFAutoModelForSequenceClassification,
)
from hubloader.auto.pipeline_base import framework_of, inputs_of
from hubloader.auto.source import HubArguments
from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import BackendUnavailable, UnsupportedTask
from hubloader.names import suggestion
from hubloader.nn import get_kit
from hubloader.tokenizers.options import CallOptions

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["DEFAULT_MODEL", "TextClassificationPipeline", "pipeline"]

DEFAULT_MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
_TASKS = ("text-classification", "sentiment-analysis")
_HEADS = {  # task: where its pipeline is, where the facades are, what their names end with
    "token-classification": (
        "pipeline_tokens.TokenClassificationPipeline",
        "ForTokenClassification",
    ),
    "ner": ("pipeline_tokens.TokenClassificationPipeline", "ForTokenClassification"),
    "question-answering": ("pipeline_answers.QuestionAnsweringPipeline", "ForQuestionAnswering"),
    "fill-mask": ("pipeline_words.FillMaskPipeline", "ForMaskedLM"),
    "feature-extraction": ("pipeline_words.FeatureExtractionPipeline", ""),
}
_FRAMEWORKS = {  # pipeline's word: the module it needs, the facade that loads for it
    "pt": ("torch", AutoModelForSequenceClassification),
    "tf": ("tensorflow", TFAutoModelForSequenceClassification),
    "np": ("numpy", NpAutoModelForSequenceClassification),
}
_FACADES = {"pt": "", "tf": "TF", "np": "Np"}
_BATCH = 32  # texts computed at a time unless told
_WINDOW = 16  # batches that are ordered by length together
_OPTIONS = frozenset(
    {"top_k", "function_to_apply", "batch_size", "tokenizer_kwargs", *CallOptions._fields}
)
_KEYWORDS = (
    *("task", "model", "config", "tokenizer", "framework", "device", "device_map"),
    *("dtype", "torch_dtype", "model_kwargs", *(item.name for item in fields(HubArguments))),
)
# transformers' keywords that mean nothing here: there are no worker processes, no slow tokenizers,
# and text has no features to extract
_PASSED_OVER = frozenset({"num_workers", "use_fast", "feature_extractor", "image_processor"})
_UNSET: Any = object()

Function = Literal["softmax", "sigmoid", "none"]


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
    _refuse_task(task, model)
    name = DEFAULT_MODEL if model is None else model
    options = {key: value for key, value in options.items() if key not in _PASSED_OVER}
    hub, options = _split(options, {"revision": revision, "token": token})
    dtype = options.pop("torch_dtype", dtype)
    if task not in _HEADS:
        _read(_Call(), options, "pipeline()", _KEYWORDS)
    loading = {
        "config": config,
        "dtype": dtype,
        "device_map": device_map,
        "device": _torch_device(device),
        **(model_kwargs or {}),
    }
    if _is_name(name):
        loaded = _load(name, framework, task, {**hub, **loading})
    else:
        loaded = _placed(name, framework, _torch_device(device))
    return _class_of(task)(loaded, _tokenizer(tokenizer, name, loaded, hub), **options)


def _refuse_task(task: str | None, model: Any) -> None:
    if task is not None and task not in {*_TASKS, *_HEADS}:
        raise UnsupportedTask(
            f"there is no pipeline for the task {task!r} here",
            hint=f"there is one for {', '.join(map(repr, (*_TASKS, *_HEADS)))}",
        )
    if task is None and model is None:
        raise UnsupportedTask("pipeline() needs a task or a model", hint=f"give {_TASKS[0]!r}")
    if task in _HEADS and model is None:
        raise UnsupportedTask(
            f"a pipeline for the task {task!r} needs a model", hint="give model= a name or a folder"
        )


def _class_of(task: str | None) -> Any:
    if task not in _HEADS:
        return TextClassificationPipeline
    module, name = _HEADS[task][0].split(".")
    return getattr(importlib.import_module(f"hubloader.auto.{module}"), name)


def _facade(task: str | None, word: str) -> Any:
    """What loads a model for a task, on the framework that a word means."""
    if task not in _HEADS:
        return _FRAMEWORKS[word][1]
    ending = _HEADS[task][1]
    module = importlib.import_module(f"hubloader.auto.{'head_models' if ending else 'encoder'}")
    return getattr(module, f"{_FACADES[word]}AutoModel{ending}")


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
    name: str | os.PathLike[str], framework: str | None, task: str | None, keywords: dict[str, Any]
) -> Any:
    word = framework or _installed()
    if word not in _FRAMEWORKS:
        raise ValueError(f"framework={framework!r} is none of 'pt', 'tf' and 'np'")
    facade = _facade(task, word)
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


@dataclass(frozen=True)
class _Call:
    """How one call is answered."""

    top_k: int | None = 1
    listed: bool = False  # whether each answer is a list, even of one label
    function: Function | None = None
    batch_size: int = _BATCH


class TextClassificationPipeline:
    """A model and its tokenizer, called with texts.

    Args:
        model: a text classifier of hubloader's.
        tokenizer: its tokenizer.
        options: defaults of each call; see ``__call__``.

    """

    task = "text-classification"

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.framework = framework_of(model)
        self._kit = get_kit({"pt": "torch", "np": "numpy"}.get(self.framework, self.framework))
        self._call, self._tokenizing = _read(_Call(), options, type(self).__name__)

    @property
    def device(self) -> Any:
        """Where the model computes."""
        return getattr(self.model, "device", "cpu")

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify.

        Args:
            inputs: a text; a pair as ``{"text": …, "text_pair": …}``; a list of either; or an
                iterator of either, which is answered by an iterator.
            options: ``top_k`` (how many labels, None for all), ``function_to_apply``
                (``"softmax"``, ``"sigmoid"``, ``"none"``; by default what the config's
                problem_type means), ``batch_size``, and keywords of the tokenizer
                (``truncation=True``, ``max_length=512`` …).

        Returns:
            ``[{"label": …, "score": …}]`` for one text, one such dictionary each for a list; lists
            of dictionaries, the best first, where ``top_k`` was given.

        """
        call, tokenizing = _read(self._call, options, "a text-classification pipeline")
        tokenizing = {**self._tokenizing, **tokenizing}
        if isinstance(inputs, str):
            (answer,) = self._answers([inputs], call, tokenizing)
            return answer if "top_k" in options else [answer]
        if isinstance(inputs, Mapping):
            (answer,) = self._answers([inputs], call, tokenizing)
            return answer
        if not hasattr(inputs, "__iter__") and not hasattr(inputs, "__getitem__"):
            raise _no_text(inputs)
        answers = self._answers(inputs, call, tokenizing)
        return list(answers) if hasattr(inputs, "__len__") else answers

    def _answers(
        self, texts: Iterable[Any], call: _Call, tokenizing: Mapping[str, Any]
    ) -> Iterator[Any]:
        source = iter(texts)
        while window := list(itertools.islice(source, call.batch_size * _WINDOW)):
            for row in self._scores(window, call, tokenizing):
                yield self._labelled(row, call)

    def _scores(
        self, window: list[Any], call: _Call, tokenizing: Mapping[str, Any]
    ) -> Iterator[NDArray[Any]]:
        """Scores (num_labels,) of each text, in order."""
        rows = [self._tokenized(text, tokenizing) for text in window]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        size = call.batch_size if self._pads() else 1
        found: dict[int, NDArray[Any]] = {}
        for start in range(0, len(order), size):
            part = order[start : start + size]
            found.update(zip(part, self._batch([rows[i] for i in part], call), strict=True))
        return (found[i] for i in range(len(rows)))

    def _pads(self) -> bool:
        """Whether tokenizer and model know what padding is: a decoder looks for what is none."""
        known = (self.tokenizer.pad_token_id, getattr(self.model.config, "pad_token_id", 0))
        return None not in known

    def _tokenized(self, text: Any, tokenizing: Mapping[str, Any]) -> Any:
        if isinstance(text, Mapping):
            return self.tokenizer(**text, **tokenizing)
        if isinstance(text, str):
            return self.tokenizer(text, **tokenizing)
        is_pair = isinstance(text, list) and len(text) == 1 and isinstance(text[0], list)
        if is_pair and len(text[0]) == 2:
            return self.tokenizer(text[0][0], text[0][1], **tokenizing)
        raise _no_text(text)

    def _batch(self, rows: list[Any], call: _Call) -> NDArray[Any]:
        """Compute one batch: (rows, num_labels) of scores."""
        import numpy as np  # first use: a pipeline is made before it is needed

        keys = inputs_of(self.model, self.tokenizer, rows[0])
        plain = [{key: row[key] for key in keys} for row in rows]
        padding = self.tokenizer.pad_token_id is not None
        batch = self.tokenizer.pad(plain, padding=padding, return_tensors=self.framework)
        if self.framework == "pt":
            batch = batch.to(self.device)
        with self._kit.inference():
            logits = self.model(**batch).logits
        if self.framework == "pt":  # numpy has no bfloat16, and no GPU
            logits = logits.float().cpu()
        return _applied(np.asarray(logits).astype(np.float32), self._function(call))

    def _function(self, call: _Call) -> Function:
        if call.function is not None:
            return call.function
        config = self.model.config
        if config.problem_type == "regression":
            return "none"
        several = config.problem_type == "multi_label_classification"
        return "sigmoid" if several or config.num_labels == 1 else "softmax"

    def _labelled(self, scores: NDArray[Any], call: _Call) -> Any:
        names = self.model.config.id2label
        if call.top_k == 1 and not call.listed:
            best = int(scores.argmax())
            return {"label": _label(names, best), "score": float(scores[best])}
        ranked = sorted(enumerate(scores.tolist()), key=lambda item: item[1], reverse=True)
        return [{"label": _label(names, i), "score": score} for i, score in ranked[: call.top_k]]


def _label(names: Mapping[int, str], index: int) -> str:
    """The label's name; the one that transformers makes up where a config left it out."""
    return names.get(index, f"LABEL_{index}")


def _no_text(value: Any) -> ValueError:
    return ValueError(
        f"a text is a string, or {{'text': …, 'text_pair': …}} for a pair, not {value!r}"
    )


def _read(
    call: _Call, options: Mapping[str, Any], who: str, more: Iterable[str] = ()
) -> tuple[_Call, dict[str, Any]]:
    """Take a call's own options; the rest is the tokenizer's.

    Args:
        call: the options until now.
        options: what was given.
        who: takes them, in words for a message.
        more: what could have been meant besides.

    Raises:
        TypeError: neither knows one of them; with the nearest name.

    """
    rest = {name: value for name, value in options.items() if name != "num_workers"}
    if rest.pop("return_all_scores", False):  # as transformers called top_k=None before 2023
        rest.setdefault("top_k", None)
    for name in rest:
        if name not in _OPTIONS:
            near = suggestion(name, {*_OPTIONS, *more})
            raise TypeError(f"{who} got an unexpected keyword {name!r}{near}")
    top_k = rest.pop("top_k", _UNSET)
    if top_k is None or isinstance(top_k, int):
        call = replace(call, top_k=top_k, listed=True)
    function = rest.pop("function_to_apply", None)
    if function is not None:
        word = str(getattr(function, "value", function)).lower()
        if word not in {"softmax", "sigmoid", "none"}:
            raise ValueError(
                f"function_to_apply={function!r} is none of 'softmax', 'sigmoid' and 'none'"
            )
        call = replace(call, function=word)  # type: ignore[arg-type]  # one of the three
    size = rest.pop("batch_size", None)
    if size is not None:
        if size < 1:
            raise ValueError(f"batch_size={size} is not above 0")
        call = replace(call, batch_size=size)
    return call, rest


def _applied(logits: NDArray[Any], function: Function) -> NDArray[Any]:
    import numpy as np  # first use: see _batch

    if function == "none":
        return logits
    if function == "sigmoid":
        found: NDArray[Any] = 1 / (1 + np.exp(-logits))
        return found
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    scores: NDArray[Any] = shifted / shifted.sum(-1, keepdims=True)
    return scores
