"""Answers by beams, as XLNet's kin find them: for the likeliest beginnings, the likeliest ends.

An end is scored beside a beginning: the one that training was told, or else each of the likeliest.

Source: transformers 5.23 ``modeling_xlnet.py`` (``XLNetForQuestionAnswering``),
``modeling_xlm.py`` (``XLMSQuADHead``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hubloader.architectures._heads import Head
from hubloader.nn.layer import UNTRACED, Kit, Layer
from hubloader.nn.picking import take_tokens

if TYPE_CHECKING:
    from hubloader.nn.layer import Tensor, Trace

__all__ = ["BeamAnswers", "Beams", "Ends"]


class Beams(NamedTuple):
    """What a text may be answered by; E ends for each of S beginnings, each beginning's by turns.

    Args:
        starts: probabilities of the likeliest beginnings: (B, S).
        start_index: the tokens that they are: (B, S).
        ends: probabilities of ends, each given its beginning: (B, E * S).
        end_index: the tokens that they are: (B, E * S).
        no_answer: a logit of there being none: (B,).

    """

    starts: Tensor
    start_index: Tensor
    ends: Tensor
    end_index: Tensor
    no_answer: Tensor


class Ends(NamedTuple):
    """What is learned from, of texts whose answers' beginnings are told.

    Args:
        starts: logits of every token as a beginning: (B, T).
        ends: logits of every token as the end: (B, T).
        no_answer: a logit of there being none: (B,); None where no token to tell it by was named.

    """

    starts: Tensor
    ends: Tensor
    no_answer: Tensor | None


class StartLogits(Layer):
    """How well an answer would begin with each token."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = self.nn.Linear(c.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, width) -> (B, T)."""
        return self.dense(hidden)[..., 0]


class EndLogits(Layer):
    """How well an answer that begins with one token would end with another."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense_0 = self.nn.Linear(2 * c.hidden_size, c.hidden_size)
        self.LayerNorm = self.nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dense_1 = self.nn.Linear(c.hidden_size, 1)

    def forward(self, hidden: Tensor, starts: Tensor) -> Tensor:
        """(B, T, width), (B, S, width) -> (B, S, T)."""
        nn = self.nn
        ends = nn.concat([hidden[:, None]] * starts.shape[1], 1)
        begun = starts[:, :, None] + nn.zeros_like(ends)
        x = nn.tanh(self.dense_0(nn.concat([ends, begun], -1)))
        return self.dense_1(self.LayerNorm(x))[..., 0]


class AnswerClass(Layer):
    """Whether there is no answer, by a beginning and the token that was trained to tell of all."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense_0 = self.nn.Linear(2 * c.hidden_size, c.hidden_size)
        self.dense_1 = self.nn.Linear(c.hidden_size, 1, bias=False)

    def forward(self, start: Tensor, token: Tensor) -> Tensor:
        """(B, width) twice -> (B,)."""
        both = self.nn.concat([start, token], -1)
        return self.dense_1(self.nn.tanh(self.dense_0(both)))[:, 0]


class Parts(Layer):
    """What holds the head's own layers, where they lie together."""


class BeamAnswers(Head):
    """Hidden states -> ``Beams``; of texts whose ``start_positions`` are told, ``Ends``.

    Beside what the body takes: ``p_mask`` (B, T), 1 for a token that no answer begins or ends with;
    ``cls_index`` (B,), the token that tells whether there is one (the last, if None);
    ``start_positions`` (B,).
    """

    pools: ClassVar[bool | None] = None
    besides: ClassVar[tuple[str, ...]] = ("p_mask", "cls_index", "start_positions")

    held: ClassVar[str | None] = None
    """Under which name checkpoints have the head's own layers together, if they do."""

    def __init__(self, c: Any) -> None:
        super().__init__(c)
        self.wanted = (c.start_n_top, c.end_n_top)
        if self.held is not None:
            setattr(self, self.held, self.nn.make(Parts))
        parts = self.parts
        parts.start_logits = self.nn.make(StartLogits, c)
        parts.end_logits = self.nn.make(EndLogits, c)
        parts.answer_class = self.nn.make(AnswerClass, c)

    @property
    def parts(self) -> Any:
        """What holds the head's own layers."""
        return self if self.held is None else getattr(self, self.held)

    def forward(
        self,
        *inputs: Tensor,
        trace: Trace = UNTRACED,
        p_mask: Tensor | None = None,
        cls_index: Tensor | None = None,
        start_positions: Tensor | None = None,
        **named: Tensor | None,
    ) -> Beams | Ends:
        """(B, T) -> what answers, or what is learned from."""
        hidden = self.body(*inputs, trace=trace, **named)
        token = hidden[:, -1] if cls_index is None else take_tokens(self.nn, hidden, cls_index)
        if start_positions is None:
            return self.search(hidden, token, p_mask)
        parts = self.parts
        start = take_tokens(self.nn, hidden, self.nn.reshape(start_positions, (-1,)))
        return Ends(
            without(self.nn, parts.start_logits(hidden), p_mask),
            without(self.nn, parts.end_logits(hidden, start[:, None])[:, 0], p_mask),
            None if cls_index is None else parts.answer_class(start, token),
        )

    def search(self, hidden: Tensor, token: Tensor, p_mask: Tensor | None) -> Beams:
        """Find the likeliest beginnings, and for each of them the likeliest ends."""
        nn, parts, (starts, ends) = self.nn, self.parts, self.wanted
        begins = nn.softmax(without(nn, parts.start_logits(hidden), p_mask))
        likeliest, start_index = nn.top(begins, starts)
        logits = parts.end_logits(hidden, take_tokens(nn, hidden, start_index))
        apart = None if p_mask is None else p_mask[:, None]
        likely_ends, end_index = (
            nn.reshape(nn.transpose(x, (0, 2, 1)), (-1, starts * ends))
            for x in nn.top(nn.softmax(without(nn, logits, apart)), ends)
        )
        no_answer = parts.answer_class(nn.sum(hidden * begins[:, :, None], 1), token)
        return Beams(likeliest, start_index, likely_ends, end_index, no_answer)


def without(nn: Kit, logits: Tensor, impossible: Tensor | None) -> Tensor:
    """Take tokens out of the competition: those for which ``impossible`` is 1, not 0."""
    if impossible is None:
        return logits
    out = nn.cast_like(impossible, logits)
    kind = str(logits.dtype)
    lowest = 65_500.0 if "float16" in kind and "bfloat16" not in kind else 1e30
    return logits * (1 - out) - lowest * out
