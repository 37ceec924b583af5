"""Heads that families share: token classification, question answering, choices.

A family names its body and where checkpoints keep it; a head takes what the body takes. What a
family's own head does differently stands in the family's file.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures._entry import (
    BEAM_ANSWERING,
    DOCUMENT_ANSWERING,
    MASKED_LM,
    MULTIPLE_CHOICE,
    QUESTION_ANSWERING,
    TOKEN_CLASSIFICATION,
)
from hubloader.architectures._summary import SequenceSummary
from hubloader.nn.layer import UNTRACED, Layer

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

__all__ = [
    "Head",
    "MultipleChoice",
    "PreClassifiedChoice",
    "QuestionAnswering",
    "ScoredTokens",
    "SummarisedChoice",
    "SummaryMultipleChoice",
    "TokenClassification",
    "heads",
]


def heads(  # noqa: PLR0913  one for each head
    module: str,
    class_prefix: str,
    body: type[Layer],
    prefix: str,
    *,
    pooler: bool | None = False,
    tokens: type[Head] | None = None,
    answers: type[Head] | None = None,
    words: type[Head] | None = None,
    choices: type[Head] | None = None,
    beams: type[Head] | None = None,
    page_answers: type[Head] | None = None,
) -> dict[str, type[Layer]]:
    """Make a family's heads: classes of its module, by transformers' names.

    Args:
        module: the family's ``__name__``; the classes are put there, so that they can be pickled.
        class_prefix: what transformers' class names begin with, ``"Bert"``.
        body: what the heads stand on.
        prefix: where checkpoints keep it, ``"bert"``.
        pooler: whether checkpoints of these heads have the body's pooler, though only choices use
            one; None for a body that knows of none.
        tokens: labels tokens.
        answers: finds answers.
        words: finds masked words.
        choices: chooses.
        beams: finds answers by beams; its class has the plain name then, as in transformers.
        page_answers: finds answers on a page, as of a family whose words have a place there.

    Returns:
        Task -> layer.

    """
    asked = {
        TOKEN_CLASSIFICATION: (tokens, "ForTokenClassification", pooler),
        QUESTION_ANSWERING: (answers, f"ForQuestionAnswering{'Simple' if beams else ''}", pooler),
        BEAM_ANSWERING: (beams, "ForQuestionAnswering", pooler),
        DOCUMENT_ANSWERING: (page_answers, "ForQuestionAnswering", pooler),
        MASKED_LM: (words, "ForMaskedLM", pooler),
        MULTIPLE_CHOICE: (choices, "ForMultipleChoice", None),
    }
    made: dict[str, type[Layer]] = {}
    for task, (head, suffix, pools) in asked.items():
        if head is None:
            continue
        name = f"{class_prefix}{suffix}"
        own = {"model_class": body, "prefix": prefix, "__module__": module, "__doc__": head.__doc__}
        if head.pools is not None and (pooler is None or task != MULTIPLE_CHOICE):
            own["pools"] = pools
        made[task] = type(name, (head,), own)
        setattr(sys.modules[module], name, made[task])
    return made


class Head(Layer):
    """What stands on a body; its ``forward`` takes what the body's takes.

    ``pools`` is what the body is told about its pooler; None for a body that knows of none.
    ``besides`` are the inputs that the head has for itself, each given by name or None.
    """

    model_class: ClassVar[type[Layer]]
    prefix: ClassVar[str]
    pools: ClassVar[bool | None] = False
    besides: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Show the body's arguments as the head's own."""
        super().__init_subclass__(**keywords)
        own = vars(cls)
        if "model_class" in own and "origin" not in own and "forward" not in own:
            cls.forward = _taking(cls, cls.model_class)  # type: ignore[method-assign]  # the same

    def __init__(self, c: Any) -> None:
        super().__init__()
        told = {} if self.pools is None else {"pooler": self.pools}
        setattr(self, self.prefix, self.nn.make(self.model_class, c, **told))

    @property
    def body(self) -> Any:
        """The body, wherever the checkpoint has it."""
        return getattr(self, self.prefix)

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """(B, T) -> what the head makes of the hidden states."""
        return self.read(self.body(*inputs, trace=trace, **named))

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> the head's answer; every head has its own."""
        raise NotImplementedError


def _taking(cls: type[Head], body: type[Layer]) -> Any:
    computes: Any = getattr(cls.forward, "computes", cls.forward)  # another body's, as it was

    def forward(self: Head, *inputs: Tensor, **named: Any) -> Tensor:
        return computes(self, *inputs, **named)

    taken = inspect.signature(body.forward)
    by_name = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in cls.besides
    ]
    both = taken.replace(parameters=[*taken.parameters.values(), *by_name])
    forward.__signature__ = both  # type: ignore[attr-defined]  # may be set
    forward.computes = computes  # type: ignore[attr-defined]  # the same
    forward.__doc__ = computes.__doc__
    return forward


class TokenClassification(Head):
    """Hidden states -> logits of every token: (B, T, num_labels)."""

    layer_name: ClassVar[str] = "classifier"

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.dropout = self.nn.Dropout(getattr(c, "head_dropout", 0.0))
        setattr(self, self.layer_name, self.nn.Linear(c.hidden_size, c.num_labels))

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, num_labels)."""
        return getattr(self, self.layer_name)(self.dropout(hidden))


class ScoredTokens(TokenClassification):
    """The same, by the name that most decoders have for it."""

    layer_name = "score"


class QuestionAnswering(Head):
    """Hidden states -> how well an answer would begin, and end, with each token: (B, T, 2)."""

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.qa_outputs = self.nn.Linear(getattr(c, "score_width", c.hidden_size), 2)

    def read(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden_size) -> (B, T, 2)."""
        return self.qa_outputs(hidden)


class MultipleChoice(Head):
    """Inputs (B, choices, T) -> logits of the choices: (B, choices)."""

    pools: ClassVar[bool | None] = True

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.dropout = self.nn.Dropout(getattr(c, "head_dropout", 0.0))
        self.classifier = self.nn.Linear(c.hidden_size, 1)

    def forward(self, *inputs: Tensor, trace: Trace = UNTRACED, **named: Tensor) -> Tensor:
        """Every choice as a text of its own, then side by side again."""
        nn = self.nn

        def flat(x: Tensor | None) -> Tensor | None:
            return None if x is None else nn.reshape(x, (-1, *nn.shape(x)[2:]))

        first = inputs[0] if inputs else named["input_ids"]
        as_given: frozenset[str] = getattr(self.body, "of_batches", frozenset())
        given = {n: value if n in as_given else flat(value) for n, value in named.items()}
        hidden = self.body(*map(flat, inputs), trace=trace, **given)
        return nn.reshape(self.read(hidden), (-1, nn.shape(first)[1]))

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, T, hidden_size) -> (B * choices, 1)."""
        return self.classifier(self.dropout(self.body.pooled(hidden)))


class PreClassifiedChoice(MultipleChoice):
    """The same, of the first token through one more layer."""

    pools = False

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.pre_classifier = self.nn.Linear(c.hidden_size, c.hidden_size)

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, T, hidden_size) -> (B * choices, 1)."""
        return self.classifier(self.dropout(self.nn.relu(self.pre_classifier(hidden[:, 0]))))


class SummarisedChoice(MultipleChoice):
    """The same, of a summary."""

    pools = False

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.sequence_summary = self.nn.make(SequenceSummary, c)

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, T, hidden_size) -> (B * choices, 1)."""
        return self.classifier(self.sequence_summary(hidden))


class SummaryMultipleChoice(MultipleChoice):
    """The same, by a summary as XLM's kin make it."""

    pools = None

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        del self.classifier, self.dropout
        self.sequence_summary = self.nn.make(SequenceSummary, c)
        projected = c.summary_use_proj and c.summary_proj_to_labels
        # as wide as the labels, whatever comes in: so it is in checkpoints
        self.logits_proj = self.nn.Linear(c.num_labels if projected else c.hidden_size, 1)

    def read(self, hidden: Tensor) -> Tensor:
        """(B * choices, T, hidden_size) -> (B * choices, 1)."""
        return self.logits_proj(self.sequence_summary(hidden))
