"""The pipeline of texts' classes: text in, labels and scores out.

A window of texts is tokenized and ordered by length together (``pipeline_base.py``). A generator is
read a window at a time and answered as it goes. Where nothing is known to be padding, as with many
decoders, each text is computed by itself.

Source: transformers 5.23 ``pipelines/text_classification.py`` for what goes in and comes out; the
batching is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from hubloader.auto.pipeline_base import BATCH, TextPipeline
from hubloader.names import suggestion
from hubloader.tokenizers.options import CallOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["TextClassificationPipeline"]

_WINDOW = 16  # batches that are ordered by length together
_OPTIONS = frozenset(
    {"top_k", "function_to_apply", "batch_size", "tokenizer_kwargs", *CallOptions._fields}
)
_UNSET: Any = object()

Function = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True)
class _Call:
    """How one call is answered."""

    top_k: int | None = 1
    listed: bool = False  # whether each answer is a list, even of one label
    function: Function | None = None
    batch_size: int = BATCH


class TextClassificationPipeline(TextPipeline):
    """A model and its tokenizer, called with texts.

    Args:
        model: a text classifier of hubloader's.
        tokenizer: its tokenizer.
        options: defaults of each call; see ``__call__``.

    """

    task = "text-classification"

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(model, tokenizer)
        self._call, self._tokenizing = _read(_Call(), options, type(self).__name__)

    @staticmethod
    def check_options(options: Mapping[str, Any], more: Iterable[str] = ()) -> None:
        """Refuse a keyword that neither this pipeline nor its tokenizer knows.

        Args:
            options: what was given.
            more: what could have been meant besides.

        Raises:
            TypeError: with the nearest name.

        """
        _read(_Call(), options, "pipeline()", more)

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
        return iter(self.in_batches(rows, call.batch_size, lambda part: self._batch(part, call)))

    def pads(self) -> bool:
        """Whether tokenizer and model know what padding is: a decoder looks for what is none."""
        return super().pads() and getattr(self.model.config, "pad_token_id", 0) is not None

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
        return _applied(self.array(self.output_of(rows).logits), self._function(call))

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
    import numpy as np  # first use: a pipeline is made before it is needed

    if function == "none":
        return logits
    if function == "sigmoid":
        found: NDArray[Any] = 1 / (1 + np.exp(-logits))
        return found
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    scores: NDArray[Any] = shifted / shifted.sum(-1, keepdims=True)
    return scores
