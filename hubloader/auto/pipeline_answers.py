"""``pipeline("question-answering")``: a question and a text in, where the text answers it out.

A long text is read in windows that overlap; the best answers of all windows are compared.

Source: transformers 4.57 ``pipelines/question_answering.py``; transformers 5 has this pipeline no
more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.auto.pipeline_base import HeadPipeline, no_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["QuestionAnsweringPipeline"]

_MOST_TOKENS = 384
_MOST_STRIDE = 128


class QuestionAnsweringPipeline(HeadPipeline):
    """Finds answers to questions in texts.

    Called with ``question=`` and ``context=``, or with dictionaries of both. A call takes
    ``top_k`` (or ``topk``), ``max_answer_len`` (tokens, 15), ``max_seq_len`` (384), ``doc_stride``
    (128), ``handle_impossible_answer`` and ``align_to_words``. ``max_question_len`` and ``padding``
    are taken and change nothing: no question is cut, and windows are padded to the longest.
    """

    task = "question-answering"
    outputs = ("start_logits", "end_logits")
    known: ClassVar[Mapping[str, Any]] = {
        "top_k": 1,
        "max_answer_len": 15,
        "max_seq_len": None,
        "doc_stride": None,
        "handle_impossible_answer": False,
        "align_to_words": True,
        "max_question_len": None,
        "padding": None,
    }

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(model, tokenizer, **_today(options))

    def __call__(
        self, inputs: Any = None, *, question: Any = None, context: Any = None, **options: Any
    ) -> Any:
        """Answer a question, or each of several.

        Args:
            inputs: ``{"question": …, "context": …}``, or a list of such.
            question: the question, or a list of questions.
            context: the text; of a list of questions, one for all or a list.
            options: see the class.

        Returns:
            ``{"score", "start", "end", "answer"}``: a span of the text's characters; a list of
            such with ``top_k`` above 1. Of several questions, a list of that; of a list of one
            question, the answer itself.

        Raises:
            ValueError: there is no question, or no text.
            TypeError: an option that this pipeline does not know.

        """
        if inputs is None:
            if isinstance(question, str):
                inputs = {"question": question, "context": context}
            else:
                contexts = [context] * len(question) if isinstance(context, str) else context
                pairs = zip(question, contexts, strict=True)
                inputs = [{"question": q, "context": c} for q, c in pairs]
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]
        return super().__call__(inputs, **_today(options))

    def is_one(self, inputs: Any) -> bool:
        """Whether this is one question, and not several."""
        return isinstance(inputs, Mapping)

    def answers(self, inputs: list[Any], call: Mapping[str, Any]) -> Iterator[Any]:
        """Of each question, its answer, or its answers.

        Raises:
            ValueError: there is no question, or no text.

        """
        for name in ("top_k", "max_answer_len"):
            if call[name] < 1:
                raise ValueError(f"{name}={call[name]} is not above 0")
        for pair in inputs:
            windows = self._windows(pair, call)
            rows = [window.row for window in windows]
            ends = self.compute(rows, call["batch_size"])
            yield self._best(pair["context"], windows, ends, call)

    def _windows(self, pair: Any, call: Mapping[str, Any]) -> list[_Window]:
        given = pair if isinstance(pair, Mapping) else {}
        for name in ("question", "context"):
            text = given.get(name)
            if text == "" or not isinstance(text, str):
                raise no_text(pair, f"a question needs a {name} that is a string, not empty")
        longest = call["max_seq_len"] or min(self.tokenizer.model_max_length, _MOST_TOKENS)
        stride = call["doc_stride"] or min(longest // 2, _MOST_STRIDE)
        if stride > longest:
            raise ValueError(f"doc_stride={stride} is more than max_seq_len={longest}")
        first = self.tokenizer.padding_side == "right"  # the question
        texts = (pair["question"], pair["context"])
        encoded = self.tokenizer(
            *(texts if first else texts[::-1]),
            truncation="only_second" if first else "only_first",
            max_length=longest,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        keys = [key for key in encoded if key in self.tokenizer.model_input_names]
        return [
            _Window(encoded, i, {key: encoded[key][i] for key in keys}, int(first))
            for i in range(len(encoded["input_ids"]))
        ]

    def _best(
        self,
        context: str,
        windows: list[_Window],
        ends: list[tuple[NDArray[Any], ...]],
        call: Mapping[str, Any],
    ) -> Any:
        found: dict[str, dict[str, Any]] = {}
        nothing = 1_000_000.0  # any score of "there is no answer" is less
        top_k = call["top_k"]
        for window, (start, end) in zip(windows, ends, strict=True):
            spans, none = window.spans(
                *(start, end),
                keep=2 * top_k + 10 if call["align_to_words"] else top_k,
                longest=call["max_answer_len"],
                cls=self.tokenizer.cls_token_id,
            )
            nothing = min(nothing, none)
            for first, last, score in spans:
                a, b = window.characters(first, last, words=call["align_to_words"])
                text = context[a:b]
                known = found.get(text.lower())
                if known is not None:
                    known["score"] += score
                else:
                    found[text.lower()] = {"score": score, "start": a, "end": b, "answer": text}
        answers = list(found.values())
        if call["handle_impossible_answer"]:
            answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        answers = sorted(answers, key=lambda answer: answer["score"], reverse=True)[:top_k]
        return answers[0] if len(answers) == 1 else answers


def _today(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options, by the names that they have today."""
    return {"top_k" if name == "topk" else name: value for name, value in options.items()}


class _Window:
    """Some of a text beside its question, tokenized.

    Args:
        encoded: all windows, as the tokenizer gave them.
        index: which of them.
        row: what the model takes of it.
        side: 1 if the text stands second, 0 if it stands first.

    """

    def __init__(self, encoded: Any, index: int, row: Mapping[str, Any], side: int) -> None:
        self.encoded, self.index, self.row, self.side = encoded, index, row, side

    def spans(
        self, start: NDArray[Any], end: NDArray[Any], *, keep: int, longest: int, cls: int | None
    ) -> tuple[list[tuple[int, int, float]], float]:
        """Best spans of tokens (first, last, score), and the score of there being none."""
        import numpy as np  # first use

        sides = self.encoded.sequence_ids(self.index)
        ids = list(self.row["input_ids"])
        inside = np.array([s == self.side for s in sides])
        allowed = inside | np.array([cls is not None and token == cls for token in ids])
        start, end = (_softmax(np.where(allowed, x, -10_000.0)) for x in (start, end))
        none = float(start[0] * end[0])
        start[0] = end[0] = 0.0
        scores = np.tril(np.triu(np.outer(start, end)), longest - 1)
        order = np.argsort(-scores, axis=None, kind="stable")[:keep]
        firsts, lasts = np.unravel_index(order, scores.shape)
        found = [
            (int(i), int(j), float(scores[i, j]))
            for i, j in zip(firsts, lasts, strict=True)
            if inside[i] and inside[j]
        ]
        return found, none

    def characters(self, first: int, last: int, *, words: bool) -> tuple[int, int]:
        """Characters of the text that tokens stand for; of whole words, if asked and known."""
        offsets = self.encoded["offset_mapping"][self.index]
        ends = (offsets[first][0], offsets[last][1])
        if not words:
            return ends
        word_ids = self.encoded.word_ids(self.index)
        one, other = word_ids[first], word_ids[last]
        if one is None or other is None:
            return ends
        begin = self.encoded.word_to_chars(self.index, one, sequence_index=self.side)
        finish = self.encoded.word_to_chars(self.index, other, sequence_index=self.side)
        return begin[0], finish[1]


def _softmax(x: NDArray[Any]) -> NDArray[Any]:
    import numpy as np  # first use

    shifted = np.exp(x - x.max())
    found: NDArray[Any] = shifted / shifted.sum()
    return found
